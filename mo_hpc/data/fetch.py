"""``fetch NAME``: brings a registered dataset or foundation to the data root."""

from __future__ import annotations

import sys
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from mo_hpc.core.config import dataset_config, foundation_config, names
from mo_hpc.core.errors import UserError, unknown_name
from mo_hpc.core.files import sha256_file
from mo_hpc.core.schema import DatasetConfig, FoundationConfig
from mo_hpc.data.download import MODEL_MAGIC, Download, RetryPolicy, download, is_address
from mo_hpc.data.hints import data_command
from mo_hpc.data.location import confined, dataset_files, search_folders
from mo_hpc.data.trust import foundation_file


def fetch(
    name: str,
    data_root: Path,
    cache_root: Path,
    *,
    mirror: str | None = None,
    retry: RetryPolicy | None = None,
) -> str:
    """Fetches a dataset or a foundation by its registered name.

    Args:
        name: The name of a dataset or foundation.
        data_root: Folder of the datasets.
        cache_root: Folder of generated datasets.
        mirror: A folder or http(s) address that holds the same files under the same paths.
        retry: How often a broken connection is tried again.

    Returns:
        One sentence on what is there now.

    Raises:
        UserError: If there is no such name, it cannot be fetched, or fetching failed.
    """
    if mirror is not None:
        _require_mirror(mirror)
    if name in names("foundation"):
        return _fetch_foundation(foundation_config(name), data_root, cache_root, mirror, retry)
    if name not in names("dataset"):
        raise unknown_name("dataset", name, [*names("dataset"), *names("foundation")])
    config = dataset_config(name)
    if config.source.kind == "download":
        return _fetch_files(config, data_root, cache_root, mirror, retry)
    return _explain(config, data_root, cache_root)


def _fetch_files(
    config: DatasetConfig,
    data_root: Path,
    cache_root: Path,
    mirror: str | None,
    retry: RetryPolicy | None,
) -> str:
    folders = search_folders(config, data_root, cache_root)
    wanted = []
    for path, pinned in config.source.sha256.items():
        confined(path, where=f"dataset={config.name}: source.sha256")
        if not any(_is_pinned(folder / path, pinned) for folder in folders):
            source = _source(config, path, mirror)
            wanted.append(Download(source, data_root / path, pinned))
    n_fetched = _download_all(wanted, retry)
    n_files = len(config.source.sha256)
    return (
        f"{config.name}: {n_fetched} files fetched, {n_files - n_fetched} were there; "
        f"all {n_files} have the pinned sha256."
    )


def _fetch_foundation(
    config: FoundationConfig,
    data_root: Path,
    cache_root: Path,
    mirror: str | None,
    retry: RetryPolicy | None,
) -> str:
    target = foundation_file(config, data_root)
    source = _below(mirror, config.file) if mirror else config.url
    fetched = _download_all([Download(source, target, config.sha256, MODEL_MAGIC)], retry)
    return (
        f"{config.name}: {'fetched' if fetched else 'was there'}, {target}\n"
        f"sha256 {sha256_file(target)}\n"
        "It is a pickle and is not opened before you accept it: look at the hash, then\n"
        + data_command("trust", str(target), cache_root=cache_root)
    )


def _download_all(items: Sequence[Download], retry: RetryPolicy | None) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        return sum(
            download(item, progress, progress.add_task(item.target.name, total=None), retry)
            for item in items
        )


def _explain(config: DatasetConfig, data_root: Path, cache_root: Path) -> str:
    """Says that a dataset which cannot be fetched is there, or where to get it.

    Raises:
        UserError: If it is not there, or its files are not the pinned ones.
    """
    if config.source.kind == "generated":
        raise UserError(
            f"Dataset '{config.name}' is made here, not fetched.",
            where=f"dataset={config.name}",
            remedy=config.source.how_to_get,
        )
    files = dataset_files(config, data_root, cache_root)
    pinned = {Path(path).name: sha256 for path, sha256 in config.source.sha256.items()}
    for path in files:
        if path.name in pinned and not _is_pinned(path, pinned[path.name]):
            raise UserError(
                f"'{path.name}' is not the file that dataset '{config.name}' pins.",
                where=str(path),
                remedy=f"{config.source.how_to_get}\nTo use your own version, copy the dataset's "
                "configuration under another name.",
            )
    verified = " with the pinned sha256" if pinned else ""
    return f"{config.name}: nothing to fetch, {len(files)} files are there{verified}."


def _is_pinned(path: Path, pinned: str) -> bool:
    return path.is_file() and sha256_file(path) == pinned


def _source(config: DatasetConfig, path: str, mirror: str | None) -> str:
    if mirror:
        return _below(mirror, path)
    assert config.source.base_url is not None
    return config.source.base_url + urllib.parse.quote(path.removeprefix(config.source.base_path))


def _require_mirror(mirror: str) -> None:
    if "://" in mirror and not is_address(mirror):
        raise UserError(
            f"The mirror {mirror} is neither a folder nor an http(s) address.",
            where="--mirror",
            valid=["DIR", "http://…", "https://…"],
            remedy="Give a folder by its path alone.",
        )


def _below(mirror: str, path: str) -> str:
    if is_address(mirror):
        return f"{mirror.rstrip('/')}/{urllib.parse.quote(path)}"
    return str(Path(mirror).expanduser() / path)

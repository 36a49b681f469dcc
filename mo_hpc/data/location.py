"""Where a dataset's files lie and which version of them it is. Light: imports no ASE."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import canonical_json, sha256_file
from mo_hpc.core.paths import default_cache_root, default_data_root
from mo_hpc.core.schema import DatasetConfig
from mo_hpc.data.hints import data_command

READING_VERSION = 1
"""Raised when the same files and configuration begin to give other frames."""

MIRROR_FOLDER = "mirror"
"""A copy of public repositories below the data root is searched as well."""

_DEFINES_FRAMES = (
    "reader",
    "keys",
    "group_key",
    "host_key",
    "tag_keys",
    "where",
)


def resolve_roots(data_root: str | None, cache_root: str | None) -> tuple[Path, Path]:
    """The data root and the cache root as absolute paths.

    Args:
        data_root: Folder of the datasets; None: ``$MO_HPC_DATA``, else ``data``.
        cache_root: Folder of indices and generated datasets; None: ``$MO_HPC_CACHE``, else
            the user's cache.
    """
    data = Path(data_root).expanduser() if data_root else default_data_root()
    cache = Path(cache_root).expanduser() if cache_root else default_cache_root()
    return data.absolute(), cache.absolute()


def search_folders(config: DatasetConfig, data_root: Path, cache_root: Path) -> tuple[Path, ...]:
    """The folders below which the dataset's ``files`` are looked for, in that order."""
    if config.source.kind == "generated":
        return (cache_root / "datasets",)
    return (data_root, data_root / MIRROR_FOLDER)


def dataset_files(config: DatasetConfig, data_root: Path, cache_root: Path) -> tuple[Path, ...]:
    """The dataset's files, in the order of its patterns and sorted within each.

    Raises:
        UserError: If a pattern matches nothing, leaves its folder, or two files share a name.
    """
    folders = search_folders(config, data_root, cache_root)
    found: list[Path] = []
    for pattern in config.files:
        confined(pattern, where=f"dataset={config.name}: files")
        matches = next((hits for folder in folders if (hits := sorted(folder.glob(pattern)))), [])
        if not matches:
            raise missing_dataset(config, pattern, data_root, cache_root)
        found.extend(path for path in matches if path not in found)
    _require_unique_names(config, found)
    return tuple(found)


def dataset_hash(config: DatasetConfig, files: tuple[Path, ...]) -> str:
    """The sha256 over the files' contents and what of the configuration changes the frames."""
    definition = config.model_dump(mode="json", include=set(_DEFINES_FRAMES))
    document = {
        "reading_version": READING_VERSION,
        "definition": definition,
        "files": [[path.name, sha256_file(path)] for path in files],
    }
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()


def confined(pattern: str, *, where: str) -> PurePosixPath:
    """A relative path that stays below the folder it is joined to.

    Raises:
        UserError: If it is absolute or climbs with ``..``.
    """
    path = PurePosixPath(pattern)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise UserError(
            f"The path '{pattern}' leaves the folder it belongs to.",
            where=where,
            remedy="Give a path below the data root, without a leading '/' and without '..'.",
        )
    return path


def missing_dataset(
    config: DatasetConfig, pattern: str, data_root: Path, cache_root: Path
) -> UserError:
    """What to tell someone whose dataset is not there."""
    folders = search_folders(config, data_root, cache_root)
    searched = "\n".join(str(folder / pattern) for folder in folders)
    remedy = config.source.how_to_get.strip()
    command = _command_for(config, data_root, cache_root)
    if command not in remedy:
        remedy += f"\nWith the roots in use:\n{command}"
    if config.source.kind != "generated":
        remedy += "\nThe data root is data_root=DIR or the environment variable MO_HPC_DATA."
        remedy += f"\nWithout these data: {_alternatives(config, data_root)}"
    return UserError(
        f"The files of dataset '{config.name}' are not there.",
        where=f"dataset={config.name}, searched:\n{searched}",
        remedy=remedy,
    )


def _command_for(config: DatasetConfig, data_root: Path, cache_root: Path) -> str:
    """The command that brings the dataset; empty where none can."""
    if config.source.kind == "generated":
        return data_command("build", config.name, cache_root=cache_root)
    if config.source.kind == "download":
        return data_command("fetch", config.name, data_root=data_root)
    return ""


def _alternatives(config: DatasetConfig, data_root: Path) -> str:
    """What runs without the dataset."""
    demo = "'grid=demo' runs on data made on the spot"
    if config.name == "nbmotaw":
        return f"{demo}."
    return (
        f"{demo}, 'grid=lodo_nbmotaw' (dataset=nbmotaw) on public DFT data, to be had with\n"
        f"{data_command('fetch', 'nbmotaw', data_root=data_root)}"
    )


def _require_unique_names(config: DatasetConfig, files: list[Path]) -> None:
    """Frame ids carry the file name only, so that they do not depend on where data lie."""
    seen: dict[str, Path] = {}
    for path in files:
        if other := seen.get(path.name):
            raise UserError(
                f"Two files of dataset '{config.name}' have the name '{path.name}'.",
                where=f"{other} and {path}",
                remedy="Rename one: frame ids are made from the file name.",
            )
        seen[path.name] = path

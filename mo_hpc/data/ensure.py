"""The index of a dataset for planning: read, or built first in a child process. Light."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mo_hpc.core.errors import UserError
from mo_hpc.core.index import DatasetIndex, index_folder, read_index
from mo_hpc.core.schema import DatasetConfig
from mo_hpc.data.child import raise_reported, run_module
from mo_hpc.data.hints import data_command
from mo_hpc.data.location import dataset_files, dataset_hash


def ensure_index(
    config: DatasetConfig,
    data_root: Path,
    cache_root: Path,
    python: Sequence[str] = (sys.executable,),
) -> DatasetIndex:
    """Returns a dataset's index; builds it, and a generated dataset, where they are missing.

    Reading structures needs ASE and NumPy, which a launch does not import; a child process
    does that work once per version of the dataset.

    Args:
        config: The dataset.
        data_root: Where datasets lie.
        cache_root: Where indices and generated datasets lie.
        python: The words that start a Python with ASE and NumPy.

    Raises:
        UserError: If the files are missing, unreadable or hold no usable frame.
        OSError: If the cache cannot be written.
    """
    index = None
    if config.generator is None or _is_generated(config, data_root, cache_root):
        index = _stored(config, data_root, cache_root)
    if index is None:
        print(f"Indexing dataset '{config.name}' (once per version) …", file=sys.stderr)
        _build_in_child(config, data_root, cache_root, python)
        index = _stored(config, data_root, cache_root)
    if index is None:
        raise UserError(
            f"The index of dataset '{config.name}' vanished while it was read.",
            where=str(cache_root),
            remedy="Launch again, with a cache_root that nothing else cleans.",
        )
    if index.n_problems:
        print(
            f"{index.n_problems} frames of dataset '{config.name}' have errors and are left out. "
            f"To see them:\n{_check_command(config, data_root, cache_root)}",
            file=sys.stderr,
        )
    return index


def stored_index(config: DatasetConfig, data_root: Path, cache_root: Path) -> DatasetIndex | None:
    """A dataset's index if the dataset is there and was indexed; builds nothing."""
    try:
        return _stored(config, data_root, cache_root)
    except (UserError, OSError):
        return None


def _stored(config: DatasetConfig, data_root: Path, cache_root: Path) -> DatasetIndex | None:
    files = dataset_files(config, data_root, cache_root)
    index = read_index(index_folder(cache_root, dataset_hash(config, files)))
    return index if index is not None and index.frames else None


def _is_generated(config: DatasetConfig, data_root: Path, cache_root: Path) -> bool:
    try:
        return bool(dataset_files(config, data_root, cache_root))
    except UserError:
        return False


def _build_in_child(
    config: DatasetConfig, data_root: Path, cache_root: Path, python: Sequence[str]
) -> None:
    finished = run_module(
        "mo_hpc.data.index",
        [str(data_root), str(cache_root)],
        python,
        input=config.model_dump_json(),
        stdout=subprocess.PIPE,
    )
    if finished.returncode == 0:
        return
    raise_reported(finished.stdout)
    raise UserError(
        f"Dataset '{config.name}' could not be indexed: the process that reads it ended with "
        f"status {finished.returncode}.",
        where=f"dataset={config.name}",
        remedy=f"Look at it with\n{_check_command(config, data_root, cache_root)}",
    )


def _check_command(config: DatasetConfig, data_root: Path, cache_root: Path) -> str:
    return data_command("check", config.name, data_root=data_root, cache_root=cache_root)

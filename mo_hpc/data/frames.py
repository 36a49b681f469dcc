"""Frames by id, for training and evaluation: parsed once per dataset version, kept per process."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mo_hpc.core.errors import BadDataError
from mo_hpc.core.index import index_folder
from mo_hpc.core.schema import DatasetConfig
from mo_hpc.data.index import FRAMES_FILE, build_index
from mo_hpc.data.location import dataset_files, dataset_hash
from mo_hpc.data.store import FrameTable

if TYPE_CHECKING:
    from ase import Atoms


def load_frames(
    config: DatasetConfig,
    data_root: Path,
    cache_root: Path,
    ids: Sequence[str] | None = None,
    *,
    planned_hash: str | None = None,
) -> list[Atoms]:
    """Loads labelled frames.

    Every frame has ``info["REF_energy"]`` (total, eV), ``arrays["REF_forces"]`` (eV/Å) and in
    ``info`` its ``frame_id``, ``group``, ``host`` and ``tags``. Each call makes new objects.

    Args:
        config: The dataset.
        data_root: Folder of the datasets.
        cache_root: Folder of the caches.
        ids: The frames wanted, in this order; None: all, in file order.
        planned_hash: The dataset hash that the ids were chosen from; None: not known. The
            files are read for it once, here.

    Raises:
        UserError: If the files are missing or cannot be read.
        BadDataError: If an id is not in the dataset's index, or the hash is not the planned one.
    """
    digest = dataset_hash(config, dataset_files(config, data_root, cache_root))
    if planned_hash not in (None, digest):
        raise BadDataError(
            f"The dataset {config.name} has changed since the run was planned: its hash is "
            f"{digest[:12]}, planned with {str(planned_hash)[:12]}. Launch again."
        )
    path = index_folder(cache_root, digest) / FRAMES_FILE
    try:
        table, rows = _table(path)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        build_index(config, data_root, cache_root)
        table, rows = _table(path)
    if ids is None:
        return [table.frame(row) for row in range(len(rows))]
    if unknown := [name for name in ids if name not in rows]:
        raise BadDataError(
            f"{len(unknown)} frames, such as '{unknown[0]}', are not in dataset '{config.name}' "
            f"(hash {digest[:12]}); the files have changed since the run was planned."
        )
    return [table.frame(rows[name]) for name in ids]


@lru_cache(maxsize=4)
def _table(path: Path) -> tuple[FrameTable, dict[str, int]]:
    """A dataset's table; one process often runs many tasks on the same dataset."""
    table = FrameTable.load(path)
    return table, {described["id"]: row for row, described in enumerate(table.descriptions)}

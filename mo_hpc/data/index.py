"""Builds a dataset's index: checks the frames, and writes what planning and training read.

Run as ``python -m mo_hpc.data.index DATA_ROOT CACHE_ROOT < config.json`` it is the child
process of `mo_hpc.data.ensure`. It imports libraries only when it needs them, so that it can
report that one is missing.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mo_hpc.core.errors import UserError
from mo_hpc.core.index import DatasetIndex, FrameEntry, index_folder, write_index
from mo_hpc.core.libraries import READING, require_libraries
from mo_hpc.core.schema import DatasetConfig
from mo_hpc.data.build import build_if_missing
from mo_hpc.data.child import reported
from mo_hpc.data.findings import CheckReport
from mo_hpc.data.hints import data_command
from mo_hpc.data.location import dataset_files, dataset_hash

if TYPE_CHECKING:
    from ase import Atoms

    from mo_hpc.data.check import CheckedFrames
    from mo_hpc.data.describe import ReadFrame

FRAMES_FILE = "frames.npz"
"""The parsed frames, beside the index."""


def build_index(config: DatasetConfig, data_root: Path, cache_root: Path) -> DatasetIndex:
    """Checks a dataset and writes its index and parsed frames into the cache.

    Raises:
        UserError: If files are missing or unreadable, or no frame is usable.
    """
    _, index = check_and_index(config, data_root, cache_root)
    if not index.frames:
        raise _no_usable_frame(config, data_root, cache_root)
    return index


def _no_usable_frame(config: DatasetConfig, data_root: Path, cache_root: Path) -> UserError:
    check = data_command("check", config.name, data_root=data_root, cache_root=cache_root)
    remedy = f"See what is wrong:\n{check}"
    if config.generator is not None:
        build = data_command("build", config.name, cache_root=cache_root)
        remedy += f"\nor make it anew:\n{build}"
    return UserError(
        f"Dataset '{config.name}' has no usable frame.",
        where=f"dataset={config.name}",
        remedy=remedy,
    )


def check_and_index(
    config: DatasetConfig, data_root: Path, cache_root: Path
) -> tuple[CheckReport, DatasetIndex]:
    """Like `build_index`, with the report, and without refusing an empty dataset.

    The index of a dataset without a usable frame is not written.
    """
    from mo_hpc.data.check import check_frames
    from mo_hpc.data.describe import read_frames
    from mo_hpc.data.store import FrameTable

    files = dataset_files(config, data_root, cache_root)
    digest = dataset_hash(config, files)
    checked = check_frames(config, read_frames(config, files))
    index = DatasetIndex(
        dataset=config.name,
        dataset_hash=digest,
        frames=tuple(_entries(config, checked)),
        n_problems=checked.report.n_frames - checked.report.n_usable,
    )
    if index.frames:
        folder = index_folder(cache_root, digest)
        frames = [_labelled(frame, config) for frame in checked.usable]
        FrameTable.from_frames(frames).save(folder / FRAMES_FILE)
        write_index(folder, index)
    return checked.report, index


def _entries(config: DatasetConfig, checked: CheckedFrames) -> list[FrameEntry]:
    return [
        FrameEntry(
            id=frame.id,
            composition=dict(sorted(Counter(frame.atoms.get_chemical_symbols()).items())),
            group=frame.group,
            tags=frame.tags,
            host=frame.host,
            fingerprint=fingerprint,
            near=near,
            energy_ev=float(frame.atoms.info[config.keys.energy]),
        )
        for frame, fingerprint, near in zip(
            checked.usable, checked.fingerprints, checked.near, strict=True
        )
    ]


def _labelled(frame: ReadFrame, config: DatasetConfig) -> Atoms:
    """The frame with its labels under the names that the rest of the suite uses."""
    import numpy as np

    labelled = frame.atoms.copy()
    labelled.info = {
        "REF_energy": float(frame.atoms.info[config.keys.energy]),
        "frame_id": frame.id,
        "group": frame.group,
        "host": frame.host,
        "tags": frame.tags,
    }
    labelled.arrays["REF_forces"] = np.asarray(frame.atoms.arrays[config.keys.forces], dtype=float)
    return labelled


def _main(arguments: Sequence[str]) -> int:
    data_root, cache_root = (Path(argument) for argument in arguments)
    config = DatasetConfig.model_validate_json(sys.stdin.read())

    def index() -> None:
        require_libraries(READING, for_what="Indexing a dataset")
        build_if_missing(config, cache_root)
        build_index(config, data_root, cache_root)

    return reported(index)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))

"""The index of a dataset: what planning needs to know of each frame, and no more.

`python -m mo_hpc.data check` writes it once per dataset hash; `launch` reads it. It is
two files in ``<cache_root>/index/<dataset hash>/``: ``index.json`` (the header) and
``index.jsonl`` (one frame a line).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import read_json, write_atomic, write_json

INDEX_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class FrameEntry:
    """One labelled frame.

    Attributes:
        id: Stable name of the frame, ``<file>#<position in the file>``.
        composition: Number of atoms of each element.
        group: Name of the trajectory or family the frame belongs to; frames of one group
            are not independent.
        tags: What subsets select on, such as ``{"kind": "substituted", "is_final": True}``.
        host: Host crystal (``bcc``, ``fcc``, …) or ``-`` where it has none.
        fingerprint: Equal for duplicate frames.
        near: Equal for near-duplicate frames.
        energy_ev: Total energy in eV (reference label).
    """

    id: str
    composition: dict[str, int]
    group: str
    tags: dict[str, str | int | float | bool] = field(default_factory=dict)
    host: str = "-"
    fingerprint: str = ""
    near: str = ""
    energy_ev: float = 0.0

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the cell."""
        return sum(self.composition.values())

    def solutes(self, host_element: str) -> frozenset[str]:
        """D(s): the elements of the frame other than the host element."""
        return frozenset(self.composition) - {host_element}


@dataclass(frozen=True, slots=True)
class DatasetIndex:
    """All frames of a dataset in file order, with the hash of what they were read from."""

    dataset: str
    dataset_hash: str
    frames: tuple[FrameEntry, ...]
    n_problems: int = 0
    schema_version: int = INDEX_SCHEMA_VERSION


def index_folder(cache_root: Path, dataset_hash: str) -> Path:
    """The folder that holds the index of one version of a dataset."""
    return cache_root / "index" / dataset_hash


def write_index(folder: Path, index: DatasetIndex) -> None:
    """Writes an index; the header comes last, so that it exists only beside a whole index."""
    lines = "".join(json.dumps(asdict(frame)) + "\n" for frame in index.frames)
    write_atomic(folder / "index.jsonl", lines)
    header = {
        "schema_version": index.schema_version,
        "dataset": index.dataset,
        "dataset_hash": index.dataset_hash,
        "n_frames": len(index.frames),
        "n_problems": index.n_problems,
    }
    write_json(folder / "index.json", header)


def read_index(folder: Path) -> DatasetIndex | None:
    """Reads an index, or returns None where there is no whole one of this schema version."""
    try:
        return _read(folder)
    except (UserError, OSError, ValueError, KeyError, TypeError, AttributeError):
        # It is a cache: whatever is wrong with it, whoever needs it builds it anew.
        return None


def _read(folder: Path) -> DatasetIndex | None:
    header = read_json(folder / "index.json")
    if header["schema_version"] != INDEX_SCHEMA_VERSION:
        return None
    lines = (folder / "index.jsonl").read_text().splitlines()
    frames = tuple(FrameEntry(**json.loads(line)) for line in lines)
    if len(frames) != header["n_frames"]:
        return None
    return DatasetIndex(
        dataset=header["dataset"],
        dataset_hash=header["dataset_hash"],
        frames=frames,
        n_problems=header["n_problems"],
    )

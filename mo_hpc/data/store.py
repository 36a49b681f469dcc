"""All frames of a dataset as flat arrays, so that a worker loads them in a fraction of a second.

Parsing 7,000 extended XYZ frames takes seconds and every task needs them; this table is
written once beside the index. It holds no pickle.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mo_hpc.core.files import write_atomic

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class FrameTable:
    """Frames of one dataset, concatenated.

    Attributes:
        offsets: First atom of each frame and the end of the last, shape (n_frames + 1,).
        numbers: Atomic numbers, shape (n_atoms_total,).
        positions_ang: Positions in Å, shape (n_atoms_total, 3).
        forces_ev_per_ang: Reference forces in eV/Å, shape (n_atoms_total, 3).
        cells_ang: Cell vectors as rows, in Å, shape (n_frames, 3, 3).
        pbc: Periodic directions, shape (n_frames, 3).
        energies_ev: Reference total energies in eV, shape (n_frames,).
        descriptions: ``{"id", "group", "host", "tags"}`` of each frame.
    """

    offsets: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    positions_ang: npt.NDArray[np.float64]
    forces_ev_per_ang: npt.NDArray[np.float64]
    cells_ang: npt.NDArray[np.float64]
    pbc: npt.NDArray[np.bool_]
    energies_ev: npt.NDArray[np.float64]
    descriptions: tuple[dict[str, Any], ...]

    @classmethod
    def from_frames(cls, frames: Sequence[Atoms]) -> FrameTable:
        """Collects frames that carry ``REF_energy``, ``REF_forces`` and their description."""
        sizes = [len(frame) for frame in frames]
        return cls(
            offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            numbers=_stacked((frame.numbers for frame in frames), (0,)).astype(np.int64),
            positions_ang=_stacked((frame.positions for frame in frames), (0, 3)),
            forces_ev_per_ang=_stacked((frame.arrays["REF_forces"] for frame in frames), (0, 3)),
            cells_ang=np.array([frame.cell.array for frame in frames]).reshape(-1, 3, 3),
            pbc=np.array([frame.pbc for frame in frames], dtype=bool).reshape(-1, 3),
            energies_ev=np.array([frame.info["REF_energy"] for frame in frames], dtype=float),
            descriptions=tuple(
                {
                    "id": frame.info["frame_id"],
                    "group": frame.info["group"],
                    "host": frame.info["host"],
                    "tags": frame.info["tags"],
                }
                for frame in frames
            ),
        )

    def frame(self, number: int) -> Atoms:
        """One frame as a new ASE object, free for the caller to change."""
        from ase import Atoms

        atoms = slice(self.offsets[number], self.offsets[number + 1])
        described = self.descriptions[number]
        frame = Atoms(
            numbers=self.numbers[atoms],
            positions=self.positions_ang[atoms],
            cell=self.cells_ang[number],
            pbc=self.pbc[number],
        )
        frame.arrays["REF_forces"] = self.forces_ev_per_ang[atoms].copy()
        frame.info = {
            "REF_energy": float(self.energies_ev[number]),
            "frame_id": described["id"],
            "group": described["group"],
            "host": described["host"],
            "tags": dict(described["tags"]),
        }
        return frame

    def save(self, path: Path) -> None:
        """Writes the table atomically."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        described = json.dumps(self.descriptions).encode()
        buffer = io.BytesIO()
        np.savez(buffer, descriptions=np.frombuffer(described, dtype=np.uint8), **arrays)
        write_atomic(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> FrameTable:
        """Reads a table that `save` wrote.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If the file is damaged.
        """
        with np.load(path, allow_pickle=False) as archive:
            described = json.loads(archive["descriptions"].tobytes())
            return cls(**{name: archive[name] for name in _ARRAYS}, descriptions=tuple(described))


_ARRAYS = (
    "offsets",
    "numbers",
    "positions_ang",
    "forces_ev_per_ang",
    "cells_ang",
    "pbc",
    "energies_ev",
)


def _stacked(parts: Iterable[npt.NDArray[Any]], empty_shape: tuple[int, ...]) -> npt.NDArray[Any]:
    arrays = list(parts)
    return np.concatenate(arrays) if arrays else np.zeros(empty_shape)

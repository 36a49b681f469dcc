"""Reference and predicted energies and forces of one task's frames, in memory and on disk."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import write_atomic

PARTS = ("train", "valid", "test")

_TEXT = ("frame_ids", "part", "host", "group")
_WHOLE = ("n_atoms", "numbers")
_TRUTH = ("has_forces",)


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model predicted, beside the labels, frame by frame.

    Atoms of all frames are concatenated in frame order. Force arrays hold only the atoms of
    frames that have forces, in the same order: training frames are evaluated for energies
    alone.

    Attributes:
        frame_ids: Ids of the dataset's index, shape (n_frames,).
        part: ``train``, ``valid`` or ``test``, shape (n_frames,).
        host: Host crystal, ``-`` where there is none, shape (n_frames,).
        n_atoms: Atoms of each frame, shape (n_frames,).
        numbers: Atomic numbers, shape (n_atoms_total,).
        energy_ref_ev: Label energies of whole cells in eV, shape (n_frames,).
        energy_pred_ev: Predicted energies of whole cells in eV, shape (n_frames,).
        has_forces: Whether the frame's atoms are in the force arrays, shape (n_frames,).
        forces_ref_ev_per_ang: Label forces in eV/Å, shape (n_force_atoms, 3).
        forces_pred_ev_per_ang: Predicted forces in eV/Å, shape (n_force_atoms, 3).
        group: Trajectory of each frame, shape (n_frames,); left out, every frame is its own.
            Intervals resample groups, because frames of one trajectory are not independent.
    """

    frame_ids: NDArray[np.str_]
    part: NDArray[np.str_]
    host: NDArray[np.str_]
    n_atoms: NDArray[np.int64]
    numbers: NDArray[np.int64]
    energy_ref_ev: NDArray[np.float64]
    energy_pred_ev: NDArray[np.float64]
    has_forces: NDArray[np.bool_]
    forces_ref_ev_per_ang: NDArray[np.float64]
    forces_pred_ev_per_ang: NDArray[np.float64]
    group: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, dtype=np.str_))

    def __post_init__(self) -> None:
        """Converts the arrays to their types and compares their shapes.

        Raises:
            ValueError: If the shapes do not belong together or a part is unknown.
        """
        if len(self.group) == 0:
            object.__setattr__(self, "group", self.frame_ids)
        for entry in fields(self):
            object.__setattr__(self, entry.name, _typed(entry.name, getattr(self, entry.name)))
        n_frames = len(self.frame_ids)
        n_force_atoms = int(self.n_atoms[self.has_forces].sum()) if n_frames else 0
        expected: dict[str, tuple[int, ...]] = {
            entry.name: (n_frames,) for entry in fields(self)
        } | {
            "numbers": (int(self.n_atoms.sum()),),
            "forces_ref_ev_per_ang": (n_force_atoms, 3),
            "forces_pred_ev_per_ang": (n_force_atoms, 3),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                seen = getattr(self, name).shape
                raise ValueError(f"'{name}' has the shape {seen}, expected {shape}")
        unknown = sorted(set(self.part.tolist()) - set(PARTS))
        if unknown:
            raise ValueError(f"unknown part {unknown}; the parts are {', '.join(PARTS)}")

    @property
    def frame_of_atom(self) -> NDArray[np.int64]:
        """Index of the frame that each atom belongs to, shape (n_atoms_total,)."""
        return np.repeat(np.arange(len(self.n_atoms)), self.n_atoms)

    def select(self, mask: NDArray[np.bool_]) -> Predictions:
        """The frames where ``mask``, of shape (n_frames,), is true."""
        atoms = np.repeat(mask, self.n_atoms)
        force_atoms = np.repeat(mask[self.has_forces], self.n_atoms[self.has_forces])
        chosen: dict[str, Any] = {
            entry.name: getattr(self, entry.name)[mask]
            for entry in fields(self)
            if entry.name != "numbers" and not entry.name.startswith("forces_")
        }
        return Predictions(
            **chosen,
            numbers=self.numbers[atoms],
            forces_ref_ev_per_ang=self.forces_ref_ev_per_ang[force_atoms],
            forces_pred_ev_per_ang=self.forces_pred_ev_per_ang[force_atoms],
        )

    def only(self, part: str) -> Predictions:
        """The frames of one part."""
        return self.select(self.part == part)

    def save(self, path: Path) -> None:
        """Writes a compressed ``.npz`` atomically; arrays of objects cannot occur in it."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        np.savez_compressed(buffer, **arrays)
        write_atomic(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Reads what `save` wrote; nothing in the file is unpickled.

        Raises:
            UserError: If the file is missing, cut short, or not a file of predictions.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                return cls(**{entry.name: archive[entry.name] for entry in fields(cls)})
        except (OSError, KeyError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise UserError(
                f"The predictions cannot be read: {error}.",
                where=str(path),
                remedy="Remove the task's metrics.json and launch again; the task is redone.",
            ) from None


def _typed(name: str, values: Any) -> NDArray[Any]:
    """An array of the type that the field's name calls for."""
    if name in _TEXT:
        return np.asarray(values, dtype=np.str_)
    if name in _WHOLE:
        return np.asarray(values, dtype=np.int64)
    if name in _TRUTH:
        return np.asarray(values, dtype=np.bool_)
    return np.asarray(values, dtype=np.float64)

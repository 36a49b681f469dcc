"""The frames of a relaxation as a file that grows: whole frames count, half a one does not."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.io import read

from mo_hpc.core.files import write_atomic
from mo_hpc.core.labelling import Structure
from mo_hpc.data.design.folder import extended_xyz

ENERGY, FORCES = "REF_energy", "REF_forces"

DECIMALS = 8
"""Of Å and eV/Å in the file."""


def atoms_of(structure: Structure) -> Atoms:
    """The structure as ASE has it."""
    return Atoms(
        symbols=structure.symbols,
        positions=structure.positions_ang,
        cell=structure.cell_ang,
        pbc=True,
    )


def labelled_frame(
    atoms: Atoms,
    energy_ev: float,
    forces_ev_per_ang: npt.NDArray[np.float64],
    described: Mapping[str, str | int | bool],
) -> Atoms:
    """A bare frame with its labels, eV and eV/Å, and what is said of it."""
    frame = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell.array, pbc=True)
    frame.info = {ENERGY: energy_ev, **described}
    frame.arrays[FORCES] = forces_ev_per_ang
    return frame


def append_frame(path: Path, frame: Atoms) -> None:
    """Adds a frame to a file in a single write.

    Raises:
        OSError: If the disk takes only a part of it.
    """
    text = extended_xyz([frame]).encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        written = os.write(descriptor, text)
    finally:
        os.close(descriptor)
    if written < len(text):
        # A full disk takes what fits and says so only by the number of bytes.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def read_whole_frames(path: Path) -> list[Atoms]:
    """The whole frames of a file; a last one that was cut short is removed from it."""
    if not path.exists():
        return []
    text = path.read_text(errors="replace")
    whole = _whole_frames(text)
    if whole != text:
        write_atomic(path, whole)
    return read_frames(whole)


def read_frames(text: str) -> list[Atoms]:
    """All frames of an extended XYZ text."""
    frames: list[Atoms] = read(io.StringIO(text), index=":", format="extxyz") if text else []
    return frames


def write_frames(path: Path, frames: Iterable[Atoms]) -> None:
    """Writes a file of frames atomically."""
    write_atomic(path, extended_xyz(frames))


def _whole_frames(text: str) -> str:
    """The text up to where a frame lacks lines."""
    lines = text.splitlines(keepends=True)
    end = 0
    while end < len(lines) and lines[end].strip().isdigit():
        after = end + 2 + int(lines[end])
        if after > len(lines) or not lines[after - 1].endswith("\n"):
            break
        end = after
    return "".join(lines[:end])

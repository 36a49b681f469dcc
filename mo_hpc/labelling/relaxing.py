"""Relaxing one structure: every step is recorded, and a recorded step is not computed again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import ase.optimize
import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, Calculator, all_changes

from mo_hpc.core.calculation import RelaxationConfig
from mo_hpc.core.errors import BadDataError
from mo_hpc.core.labelling import Structure
from mo_hpc.labelling.frames import (
    DECIMALS,
    ENERGY,
    FORCES,
    append_frame,
    atoms_of,
    labelled_frame,
    read_frames,
    read_whole_frames,
    write_frames,
)

_SAME_ANG = 1e-6
"""How far a recorded frame may be from where the optimizer comes again: the file is rounded."""


def relaxed(
    structure: Structure,
    calculator: BaseCalculator,
    relaxation: RelaxationConfig,
    *,
    labels: str,
    path: Path,
    before_step: Callable[[], None],
) -> tuple[list[Atoms], bool]:
    """Relaxes a structure in its fixed cell, from where an earlier process stopped.

    The optimizer begins anew and is given the recorded energies and forces as long as there are
    any: it then stands where it stood, whatever it remembers of its way. What it is given is
    what the file holds, to its last digit, so that it goes on as if nothing had happened.

    Args:
        structure: The structure.
        calculator: What computes energies and forces.
        relaxation: Optimizer and criterion.
        labels: What the frames call the labels.
        path: The file of its frames, which is there when it is done.
        before_step: Called before each frame that is computed.

    Returns:
        All frames with their labels, and whether the last one is relaxed.

    Raises:
        BadDataError: If the calculator gives a number that is not finite, or the recorded
            frames are of another relaxation.
    """
    if path.exists():
        frames = read_frames(path.read_text())
        return frames, bool(frames[-1].info["converged"])
    growing = path.with_suffix(".part.xyz")
    recorder = _Recorder(structure, calculator, labels, growing, before_step)
    atoms = atoms_of(structure)
    atoms.calc = recorder
    converged = _run(atoms, relaxation)
    frames = recorder.frames
    for frame in frames:
        frame.info["is_final"] = frame is frames[-1]
        frame.info["converged"] = converged
    write_frames(path, frames)
    growing.unlink()
    return frames, converged


def _run(atoms: Atoms, relaxation: RelaxationConfig) -> bool:
    if relaxation.optimizer == "none":
        atoms.get_forces()
        return True
    optimizer = getattr(ase.optimize, relaxation.optimizer)(atoms, logfile=None)
    return bool(optimizer.run(fmax=relaxation.fmax_ev_per_ang, steps=relaxation.max_steps))


class _Recorder(Calculator):  # type: ignore[misc]  # ASE has no type information
    """Passes on what a calculator computes, and keeps it."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(
        self,
        structure: Structure,
        calculator: BaseCalculator,
        labels: str,
        path: Path,
        before_step: Callable[[], None],
    ) -> None:
        super().__init__()
        self.frames = read_whole_frames(path)
        self._n_passed = 0
        self._path = path
        self._before_step = before_step
        self._probe = atoms_of(structure)
        self._probe.calc = calculator
        self._described: dict[str, str | int] = {
            "structure_id": structure.structure_id,
            "host": structure.host,
            "dopants": "-".join(structure.dopants) or "none",
            "n_dopants": len(structure.dopants),
            "shell": structure.shell,
            "label": labels,
        }

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Gives energy and forces (the interface of ASE's calculators)."""
        super().calculate(atoms, properties or ["energy"], system_changes)
        if self._n_passed == len(self.frames):
            self._before_step()
            self._compute()
        frame = self.frames[self._n_passed]
        if not np.allclose(frame.positions, self.atoms.positions, rtol=0, atol=_SAME_ANG):
            raise BadDataError(
                f"{self._path}: frame {self._n_passed} is of another relaxation; remove the file."
            )
        self._n_passed += 1
        self.results = {"energy": frame.info[ENERGY], "forces": frame.arrays[FORCES].copy()}

    def _compute(self) -> None:
        self._probe.positions = self.atoms.positions
        energy = float(self._probe.get_potential_energy())
        forces = np.asarray(self._probe.get_forces(), dtype=np.float64).round(DECIMALS)
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise BadDataError(
                f"{self._described['structure_id']}: the calculator gave an energy or a force "
                f"that is not a finite number at step {len(self.frames)}."
            )
        described = {**self._described, "frame": len(self.frames)}
        frame = labelled_frame(self.atoms, energy, forces, described)
        append_frame(self._path, frame)
        self.frames.append(frame)

"""Judging a run: is it of this structure, did it converge, and which of its steps are labels?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.geometry import find_mic

from mo_hpc.core.design import VaspConfig
from mo_hpc.data.design.outputs import Run, RunProblem, read_run
from mo_hpc.data.design.structures import DesignedStructure

_CELL_TOLERANCE_ANG = 1e-2


@dataclass(frozen=True)
class Step:
    """One labelled step of a relaxation.

    Attributes:
        number: Its number in the run, from 0.
        atoms: The structure.
        energy_ev: Total energy in eV.
        forces_ev_per_ang: Forces in eV/Å, shape (n_atoms, 3).
    """

    number: int
    atoms: Atoms
    energy_ev: float
    forces_ev_per_ang: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Relaxation:
    """A converged relaxation, its last step last.

    Attributes:
        source: The name of the file it was read from.
        steps: The steps whose electrons converged.
        n_left_out: How many did not.
    """

    source: str
    steps: tuple[Step, ...]
    n_left_out: int


def read_relaxation(folder: Path, structure: DesignedStructure, settings: VaspConfig) -> Relaxation:
    """Reads the relaxation of a structure from its folder.

    Args:
        folder: The structure's folder.
        structure: What the run must have begun with.
        settings: Which energy is the label; and the criterion, where the run does not say it.

    Raises:
        RunProblem: If there is no run, or it did not finish, did not converge, cannot be read,
            or is that of another structure.
    """
    run = read_run(folder)
    _require_structure(run, structure)
    _require_same_throughout(run)
    steps = tuple(
        _step(run, number, settings)
        for number, converged in enumerate(run.electrons_converged)
        if converged
    )
    if not run.electrons_converged[-1]:
        problem = f"{run.source}: the electrons of the last step did not converge."
        raise RunProblem("not converged", problem)
    if why := _why_not_converged(run, steps[-1], settings):
        problem = f"{run.source}: after {len(run.frames)} steps {why}."
        raise RunProblem("not converged", problem)
    return Relaxation(run.source, steps, len(run.frames) - len(steps))


def _step(run: Run, number: int, settings: VaspConfig) -> Step:
    frame = run.frames[number]
    results = frame.calc.results if frame.calc is not None else {}
    wanted = "energy" if settings.energy == "sigma_to_zero" else "free_energy"
    # Not every program tells the two energies apart.
    energy = frame.info.get("REF_energy", results.get(wanted, results.get("energy")))
    forces = frame.arrays.get("REF_forces", results.get("forces"))
    if energy is None or forces is None:
        problem = f"{run.source}: step {number} has no energy or no forces."
        raise RunProblem("unreadable", problem)
    atoms = Atoms(numbers=frame.numbers, positions=frame.positions, cell=frame.cell.array, pbc=True)
    energy_ev = _finite(energy, (), f"{run.source}: step {number}: energy")
    forces_ev_per_ang = _finite(forces, (len(atoms), 3), f"{run.source}: step {number}: forces")
    return Step(number, atoms, float(energy_ev), forces_ev_per_ang)


def _finite(values: object, shape: tuple[int, ...], what: str) -> npt.NDArray[np.float64]:
    """The values as an array, refused if they are not finite numbers in that shape."""
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RunProblem("unreadable", f"{what} cannot be read: {error}.") from error
    if numbers.shape != shape:
        problem = f"{what} has shape {numbers.shape}; it must be {shape}."
        raise RunProblem("unreadable", problem)
    if not np.isfinite(numbers).all():
        raise RunProblem("unreadable", f"{what} has a value that is not a finite number.")
    return numbers


def _require_structure(run: Run, structure: DesignedStructure) -> None:
    """Refuses a run that was copied into another structure's folder."""
    first, expected = run.frames[0], structure.atoms
    # No comparison with NaN is true, so NaN would pass for the right cell and the right sites.
    _require_finite_geometry(run, 0)
    if list(first.numbers) != list(expected.numbers):
        problem = f"{run.source} is of {first.symbols}; here belongs, in this order, "
        raise RunProblem("other structure", f"{problem}{expected.symbols}.")
    if np.abs(first.cell.array - expected.cell.array).max() > _CELL_TOLERANCE_ANG:
        edges = " × ".join(f"{length:.3f}" for length in first.cell.lengths())
        raise RunProblem("other structure", f"{run.source} has another cell: {edges} Å.")
    apart = expected.get_all_distances(mic=True)
    half_way = 0.5 * apart[apart > 0].min()
    moved = find_mic(first.positions - expected.positions, expected.cell)[1].max()
    if moved > half_way:
        problem = f"{run.source} begins with an atom {moved:.2f} Å from its site here."
        raise RunProblem("other structure", problem)


def _require_same_throughout(run: Run) -> None:
    """Refuses a file into which steps of several structures, or of several cells, came."""
    first = run.frames[0]
    for number, frame in enumerate(run.frames):
        _require_finite_geometry(run, number)
        where = f"{run.source}: step {number}"
        if list(frame.numbers) != list(first.numbers):
            problem = f"{where} is of {frame.symbols}; the first is, in this order, of "
            raise RunProblem("unreadable", f"{problem}{first.symbols}.")
        if np.abs(frame.cell.array - first.cell.array).max() > _CELL_TOLERANCE_ANG:
            edges = " × ".join(f"{length:.3f}" for length in frame.cell.lengths())
            problem = f"{where} has another cell than the first, {edges} Å: cells must be fixed."
            raise RunProblem("unreadable", problem)


def _require_finite_geometry(run: Run, number: int) -> None:
    frame, where = run.frames[number], f"{run.source}: step {number}"
    _finite(frame.cell.array, (3, 3), f"{where}: cell")
    _finite(frame.positions, (len(frame), 3), f"{where}: positions")


def _why_not_converged(run: Run, last: Step, settings: VaspConfig) -> str | None:
    """What keeps the last step from being the relaxed structure; None: nothing."""
    if run.declared is not None:
        return None if run.declared else "it says converged=F"
    if run.max_steps == 0:
        return None
    criterion = run.ediffg
    if criterion is None:
        criterion = float(settings.incar.get("EDIFFG", 0.0))
    if criterion < 0:
        largest = float(np.linalg.norm(last.forces_ev_per_ang, axis=1).max())
        above = f"the largest force is {largest:.3f} eV/Å, above {-criterion:g}"
        return above if largest > -criterion else None
    if run.max_steps is None:
        return "it does not say whether it converged: add converged=T or F"
    return "it stops at NSW" if len(run.frames) >= run.max_steps else None

"""Are energies in eV and forces in eV/Å? What a crystal's own numbers say.

Two tests. A total energy per atom must lie near minus the cohesive energy of the elements
(first-principles codes with pseudopotentials count from atoms without spin, which adds up to
7 eV). And along a trajectory the energy must change by the work of the forces,
``dE = -1/2 (F1 + F2) · dx``, which compares the unit of the one with that of the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ase import Atoms

COHESIVE_ENERGY_EV: dict[str, float] = {
    "Li": 1.63, "Be": 3.32, "B": 5.81, "C": 7.37, "Na": 1.11, "Mg": 1.51, "Al": 3.39,
    "Si": 4.63, "K": 0.93, "Ca": 1.84, "Sc": 3.90, "Ti": 4.85, "V": 5.31, "Cr": 4.10,
    "Mn": 2.92, "Fe": 4.28, "Co": 4.39, "Ni": 4.44, "Cu": 3.49, "Zn": 1.35, "Ga": 2.81,
    "Ge": 3.85, "Rb": 0.85, "Sr": 1.72, "Y": 4.37, "Zr": 6.25, "Nb": 7.57, "Mo": 6.82,
    "Tc": 6.85, "Ru": 6.74, "Rh": 5.75, "Pd": 3.89, "Ag": 2.95, "Cd": 1.16, "In": 2.52,
    "Sn": 3.14, "Sb": 2.75, "Cs": 0.80, "Ba": 1.90, "La": 4.47, "Hf": 6.44, "Ta": 8.10,
    "W": 8.90, "Re": 8.03, "Os": 8.17, "Ir": 6.94, "Pt": 5.84, "Au": 3.81, "Hg": 0.67,
    "Tl": 1.88, "Pb": 2.03, "Bi": 2.18,
}  # fmt: skip
"""eV per atom; C. Kittel, Introduction to Solid State Physics, chapter 3 (cohesive energies)."""

_OTHER_ELEMENTS_EV = (0.2, 15.0)
"""Range of cohesive energies where the table has none."""

EV_PER_UNIT = {
    "Hartree": 27.211386,
    "Rydberg": 13.605693,
    "meV": 1e-3,
    "kJ/mol": 1 / 96.485332,
    "kcal/mol": 1 / 23.060548,
}
PER_ATOM = "eV per atom instead of per cell"

_SMALL_STEP_ANG = 0.15
_LEAST_WORK_EV = 1e-3
_LEAST_STEPS = 5
_AGREEMENT = (0.5, 2.0)


def plausible_range_ev(symbols: Sequence[str]) -> tuple[float, float]:
    """Total energies per atom, in eV, that a crystal of these atoms may have."""
    counts = Counter(symbols)
    weak = sum(n * _cohesion(symbol)[0] for symbol, n in counts.items()) / len(symbols)
    strong = sum(n * _cohesion(symbol)[1] for symbol, n in counts.items()) / len(symbols)
    return -(1.2 * strong + 7.0), -0.3 * weak


def likely_units(energy: float, symbols: Sequence[str]) -> tuple[str, ...]:
    """Units in which an energy would be plausible; empty if it is so in eV, or in none.

    Args:
        energy: The number found for the whole cell.
        symbols: The chemical symbols of the cell's atoms.
    """
    if is_plausible(energy, symbols):
        return ()
    found = [unit for unit, factor in EV_PER_UNIT.items() if is_plausible(energy * factor, symbols)]
    if is_plausible(energy * len(symbols), symbols):
        found.append(PER_ATOM)
    return tuple(found)


def is_plausible(energy_ev: float, symbols: Sequence[str]) -> bool:
    """Whether a cell's energy in eV lies in the plausible range."""
    lowest, highest = plausible_range_ev(symbols)
    return lowest <= energy_ev / len(symbols) <= highest


def work_ratio(
    steps: Iterable[tuple[npt.NDArray[np.float64], Atoms, Atoms]], energy: str, forces: str
) -> float | None:
    """How many times the forces' work the energies change by, over the steps of trajectories.

    Args:
        steps: Displacements in Å, shape (n_atoms, 3), with the frames before and after.
        energy: Key of the energy in ``info``.
        forces: Key of the forces in ``arrays``.

    Returns:
        The median ratio, near 1 where units agree; None where too few steps can tell.
    """
    ratios = []
    for moved, before, after in steps:
        if float(np.linalg.norm(moved, axis=1).max()) > _SMALL_STEP_ANG:
            continue
        mean_forces = 0.5 * (before.arrays[forces] + after.arrays[forces])
        work = -float(np.sum(mean_forces * moved))
        if abs(work) > _LEAST_WORK_EV:
            ratios.append((after.info[energy] - before.info[energy]) / work)
    return float(np.median(ratios)) if len(ratios) >= _LEAST_STEPS else None


def agrees(ratio: float) -> bool:
    """Whether a ratio of energy change to work allows the same units for both."""
    return _AGREEMENT[0] <= ratio <= _AGREEMENT[1]


def _cohesion(symbol: str) -> tuple[float, float]:
    known = COHESIVE_ENERGY_EV.get(symbol)
    return (known, known) if known is not None else _OTHER_ELEMENTS_EV

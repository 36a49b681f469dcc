"""Perfect crystals at the lattice constant that a model gives them."""

from __future__ import annotations

from typing import Literal

from ase import Atoms
from ase.build import bulk
from ase.collections import dcdft
from scipy.optimize import minimize_scalar

from mo_hpc.checks.potential import Potential
from mo_hpc.checks.result import CheckFailedError

CubicLattice = Literal["bcc", "fcc"]
_SITES_PER_CELL = {"bcc": 2, "fcc": 4}
_SEARCHED = 0.12
"""Fraction of the expected lattice constant, below and above it, where the minimum is sought."""
_TOLERANCE = 1e-7


def crystal(element: str, lattice: CubicLattice, a_ang: float, repeat: int = 1) -> Atoms:
    """Conventional cells of a cubic crystal.

    Args:
        element: Its element.
        lattice: ``bcc`` or ``fcc``.
        a_ang: Lattice constant in Å.
        repeat: Cells along each edge.
    """
    return bulk(element, lattice, a=a_ang, cubic=True) * (repeat, repeat, repeat)


def lattice_constant_ang(potential: Potential, element: str, lattice: CubicLattice) -> float:
    """The cubic lattice constant of least energy in Å.

    It is sought around the value that the atomic volume of the element's ground state gives
    (WIEN2k, PBE: K. Lejaeghere et al., Crit. Rev. Solid State Mater. Sci. 39, 1 (2014)).

    Raises:
        CheckFailedError: If there is no minimum, or the element is unknown.
    """
    potential.require([element])
    expected = (_SITES_PER_CELL[lattice] * ground_state_volume_ang3(element)) ** (1 / 3)
    bounds = (expected * (1 - _SEARCHED), expected * (1 + _SEARCHED))
    found = minimize_scalar(
        lambda a_ang: potential.energy_ev(crystal(element, lattice, float(a_ang))),
        bounds=bounds,
        method="bounded",
        options={"xatol": _TOLERANCE},
    )
    if min(found.x - bounds[0], bounds[1] - found.x) < 1e-3 * expected:
        raise CheckFailedError(
            f"The energy of {lattice} {element} has no minimum between {bounds[0]:.2f} and "
            f"{bounds[1]:.2f} Å."
        )
    return float(found.x)


def ground_state_volume_ang3(element: str) -> float:
    """Volume per atom of an element's crystal in Å³.

    Raises:
        CheckFailedError: If the element is not in the published set.
    """
    return float(_ground_state(element)["wien2k_volume"])


def ground_state(element: str) -> Atoms:
    """An element's crystal in its ground state, without magnetic moments.

    Raises:
        CheckFailedError: If the element is not in the published set.
    """
    _ground_state(element)
    found = dcdft[element]
    return Atoms(numbers=found.numbers, positions=found.positions, cell=found.cell, pbc=True)


def _ground_state(element: str) -> dict[str, float]:
    if element not in dcdft.names:
        raise CheckFailedError(f"No crystal of {element} is known here as its ground state.")
    return dict(dcdft.data[element])

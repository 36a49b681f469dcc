"""Check: the energies of low-index surfaces of the BCC host."""

from __future__ import annotations

from functools import partial
from math import ceil

import numpy as np
from ase import Atoms
from ase.build import surface
from ase.units import J, m

from mo_hpc.checks.crystals import crystal, lattice_constant_ang
from mo_hpc.checks.potential import Potential
from mo_hpc.checks.relaxation import relaxed
from mo_hpc.checks.result import CheckResult, measured
from mo_hpc.core.checks import CheckConfig

_NAMES = ("surface_energy_j_per_m2", "surface_energy_unrelaxed_j_per_m2")
_FACETS = ((1, 0, 0), (1, 1, 0), (1, 1, 1))


def surfaces(potential: Potential, settings: CheckConfig) -> CheckResult:
    """(E(slab) - N E(bulk)) / 2A of (100), (110) and (111), in J/m².

    The slab has the smallest cell in the plane, so it relaxes but cannot reconstruct.
    """
    values = [
        value
        for facet in _FACETS
        for value in measured(_NAMES, _subject(facet), partial(_of, facet, potential, settings))
    ]
    return CheckResult(tuple(values))


def slab(element: str, a_ang: float, facet: tuple[int, int, int], settings: CheckConfig) -> Atoms:
    """A slab of a BCC crystal with two surfaces of one kind and vacuum above it.

    Args:
        element: Its element.
        a_ang: Lattice constant in Å.
        facet: Miller indices of the surfaces.
        settings: Least thickness and vacuum.
    """
    spacing = a_ang / float(np.linalg.norm(facet))
    layers = ceil(settings.slab_ang / spacing)
    found = surface(crystal(element, "bcc", a_ang), facet, layers, periodic=True)
    found.center(vacuum=settings.vacuum_ang / 2, axis=2)
    return found


def _of(
    facet: tuple[int, int, int], potential: Potential, settings: CheckConfig
) -> dict[str, float]:
    a_ang = lattice_constant_ang(potential, settings.host, "bcc")
    bulk = crystal(settings.host, "bcc", a_ang)
    bulk_ev = potential.energy_ev(bulk) / len(bulk)
    atoms = slab(settings.host, a_ang, facet, settings)
    area_m2 = 2 * float(np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1]))) / m**2
    unrelaxed = potential.energy_ev(atoms)
    relaxed(atoms, potential, settings)
    energies = (potential.energy_ev(atoms), unrelaxed)
    excess = [(energy - len(atoms) * bulk_ev) / J / area_m2 for energy in energies]
    return dict(zip(_NAMES, excess, strict=True))


def _subject(facet: tuple[int, int, int]) -> str:
    return "(" + "".join(map(str, facet)) + ")"

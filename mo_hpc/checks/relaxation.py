"""Relaxation of atoms in a cell, and of small crystals with their cells."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS

from mo_hpc.checks.potential import Potential
from mo_hpc.checks.result import CheckFailedError
from mo_hpc.core.checks import CheckConfig

_LARGEST_CHANGE = 2.0
"""A crystal that swells or shrinks by more than this factor is another crystal."""


def relaxed(atoms: Atoms, potential: Potential, settings: CheckConfig) -> Atoms:
    """Moves the atoms to where no force acts; the cell stays. The same object.

    Raises:
        CheckFailedError: If that does not converge, or an element is unknown.
    """
    _run(potential.attached(atoms), atoms, potential, settings)
    return atoms


def cell_relaxed(atoms: Atoms, potential: Potential, settings: CheckConfig) -> Atoms:
    """Relaxes atoms and cell. The same object.

    Raises:
        CheckFailedError: If that does not converge, ends in another crystal, or an element is
            unknown.
    """
    before = atoms.get_volume()
    _run(FrechetCellFilter(potential.with_stress(atoms)), atoms, potential, settings)
    change = atoms.get_volume() / before
    if not 1 / _LARGEST_CHANGE < change < _LARGEST_CHANGE:
        raise CheckFailedError(
            f"The crystal {atoms.symbols} changes its volume by a factor of {change:.2f}."
        )
    return atoms


def _run(
    target: Atoms | FrechetCellFilter, atoms: Atoms, potential: Potential, settings: CheckConfig
) -> None:
    optimizer = LBFGS(target, logfile=None)
    for converged in optimizer.irun(fmax=settings.fmax_ev_per_ang, steps=settings.max_steps):
        potential.leave_if_asked()
        force = float(np.abs(atoms.get_forces()).max())
        if not np.isfinite(force):
            raise CheckFailedError(
                f"The relaxation of {atoms.symbols} ran to forces that are no numbers."
            )
        if converged:
            return
    raise CheckFailedError(
        f"The relaxation of {atoms.symbols} had not converged after {settings.max_steps} steps: "
        f"a force of {force:.3f} eV/Å is left."
    )

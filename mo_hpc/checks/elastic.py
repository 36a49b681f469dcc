"""Check: the elastic constants of the BCC host, from stresses at small strains."""

from __future__ import annotations

import numpy as np
from ase.units import GPa
from matscipy.elasticity import fit_elastic_constants

from mo_hpc.checks.crystals import crystal, lattice_constant_ang
from mo_hpc.checks.potential import Potential
from mo_hpc.checks.result import CheckFailedError, CheckResult, measured
from mo_hpc.core.checks import CheckConfig

_NAMES = ("c11_gpa", "c12_gpa", "c44_gpa", "tetragonal_shear_modulus_gpa", "bulk_modulus_gpa")
_N_STRAINS = 5


def elastic_constants(potential: Potential, settings: CheckConfig) -> CheckResult:
    """C11, C12 and C44 in GPa, with C' = (C11 - C12) / 2 and B = (C11 + 2 C12) / 3.

    Where the calculator has no stress, it comes from energies at yet smaller strains.
    """
    return CheckResult(measured(_NAMES, "bcc", lambda: _constants(potential, settings)))


def _constants(potential: Potential, settings: CheckConfig) -> dict[str, float]:
    a_ang = lattice_constant_ang(potential, settings.host, "bcc")
    matrix, _ = fit_elastic_constants(
        potential.with_stress(crystal(settings.host, "bcc", a_ang)),
        symmetry="cubic",
        N_steps=_N_STRAINS,
        # N strains, delta apart, with 0 in their middle.
        delta=2 * settings.max_strain / (_N_STRAINS - 1),
        verbose=False,
        graphics=False,
    )
    if not np.isfinite(matrix).all():
        raise CheckFailedError("The stresses of the strained crystal are no numbers.")
    c11, c12, c44 = (float(matrix[i, j] / GPa) for i, j in ((0, 0), (0, 1), (3, 3)))
    return dict(zip(_NAMES, (c11, c12, c44, (c11 - c12) / 2, (c11 + 2 * c12) / 3), strict=True))

"""Check: the lattice constants of the host, BCC and FCC."""

from __future__ import annotations

from functools import partial
from typing import get_args

from mo_hpc.checks.crystals import CubicLattice, lattice_constant_ang
from mo_hpc.checks.potential import Potential
from mo_hpc.checks.result import CheckResult, Value, measured
from mo_hpc.core.checks import CheckConfig

_NAME = "lattice_constant_ang"


def lattice_constant(potential: Potential, settings: CheckConfig) -> CheckResult:
    """The lattice constant of least energy, of either lattice, in Å."""
    values: list[Value] = []
    for lattice in get_args(CubicLattice):
        values += measured((_NAME,), lattice, partial(_of, potential, settings.host, lattice))
    return CheckResult(tuple(values))


def _of(potential: Potential, host: str, lattice: CubicLattice) -> dict[str, float]:
    return {_NAME: lattice_constant_ang(potential, host, lattice)}

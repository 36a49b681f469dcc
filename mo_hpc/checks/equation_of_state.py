"""Check: the equation of state of the host, BCC and FCC, and how far FCC lies above BCC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt
from ase.eos import EquationOfState, birchmurnaghan
from ase.units import GPa

from mo_hpc.checks.crystals import CubicLattice, crystal, lattice_constant_ang
from mo_hpc.checks.potential import Potential
from mo_hpc.checks.result import CheckFailedError, CheckResult, Curve, Value, measured
from mo_hpc.core.checks import CheckConfig

_FITTED = (
    "equilibrium_volume_ang3_per_atom",
    "energy_at_minimum_ev_per_atom",
    "bulk_modulus_gpa",
    "bulk_modulus_derivative",
    "fit_rms_mev_per_atom",
)
_DIFFERENCE = "energy_above_bcc_ev_per_atom"

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """Energies of a crystal at several volumes, both per atom, in Å³ and eV."""

    lattice: CubicLattice
    volumes: Array
    energies: Array

    def fitted(self) -> dict[str, float]:
        """The parameters of Birch and Murnaghan's equation through the energies."""
        equation = EquationOfState(self.volumes, self.energies, eos="birchmurnaghan")
        try:
            volume, energy, modulus = equation.fit(warn=False)
        except (RuntimeError, ValueError) as error:
            raise CheckFailedError(
                f"No equation of state fits the energies of {self.lattice}: {error}."
            ) from None
        e0, b0, slope, v0 = equation.eos_parameters
        rest = self.energies - birchmurnaghan(self.volumes, e0, b0, slope, v0)
        values = (volume, energy, modulus / GPa, slope, 1e3 * float(np.sqrt(np.mean(rest**2))))
        return dict(zip(_FITTED, map(float, values), strict=True))


def equation_of_state(potential: Potential, settings: CheckConfig) -> CheckResult:
    """Birch and Murnaghan's equation of either lattice, and the energy of FCC above BCC."""
    values: list[Value] = []
    curves: list[Curve] = []
    least: dict[str, float] = {}
    for lattice in get_args(CubicLattice):
        try:
            scan = _scan(potential, settings, lattice)
        except CheckFailedError as error:
            values += [Value(name, None, lattice, str(error)) for name in _FITTED]
            continue
        found = measured(_FITTED, lattice, scan.fitted)
        values += found
        curves.append(_curve(scan))
        if found[1].value is not None:
            least[lattice] = found[1].value
    return CheckResult(
        (*values, *measured((_DIFFERENCE,), "fcc", lambda: _above(least))), tuple(curves)
    )


def _above(least: dict[str, float]) -> dict[str, float]:
    if len(least) < len(get_args(CubicLattice)):
        raise CheckFailedError("One of the two lattices has no equation of state.")
    return {_DIFFERENCE: least["fcc"] - least["bcc"]}


def _scan(potential: Potential, settings: CheckConfig, lattice: CubicLattice) -> _Scan:
    a_ang = lattice_constant_ang(potential, settings.host, lattice)
    scales = np.linspace(1 - settings.volume_range, 1 + settings.volume_range, settings.n_volumes)
    crystals = [crystal(settings.host, lattice, a_ang * float(s) ** (1 / 3)) for s in scales]
    return _Scan(
        lattice,
        np.array([each.get_volume() / len(each) for each in crystals]),
        np.array([potential.energy_ev(each) / len(each) for each in crystals]),
    )


def _curve(scan: _Scan) -> Curve:
    columns = {
        "volume_ang3_per_atom": tuple(map(float, scan.volumes)),
        "energy_ev_per_atom": tuple(map(float, scan.energies)),
    }
    return Curve("equation_of_state", scan.lattice, columns)

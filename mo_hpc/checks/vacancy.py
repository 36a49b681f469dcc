"""Check: what a vacancy in the BCC host costs."""

from __future__ import annotations

from mo_hpc.checks.defects import DefectCell
from mo_hpc.checks.potential import Potential
from mo_hpc.checks.result import CheckResult, measured
from mo_hpc.core.checks import CheckConfig

_NAMES = ("vacancy_formation_energy_ev", "vacancy_formation_energy_unrelaxed_ev")


def vacancy(potential: Potential, settings: CheckConfig) -> CheckResult:
    """E(N - 1) - (N - 1)/N E(N), in the cell of the perfect crystal, in eV."""
    return CheckResult(measured(_NAMES, "", lambda: _formation(potential, settings)))


def _formation(potential: Potential, settings: CheckConfig) -> dict[str, float]:
    cell = DefectCell(potential, settings)
    n_sites = len(cell.crystal)
    rest = cell.perfect_ev * (n_sites - 1) / n_sites
    found = cell.without(cell.site)
    return dict(zip(_NAMES, (found.relaxed - rest, found.unrelaxed - rest), strict=True))

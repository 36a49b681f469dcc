"""Check: what it costs to put a dopant on a site of the BCC host."""

from __future__ import annotations

from functools import partial

from mo_hpc.checks.crystals import ground_state
from mo_hpc.checks.defects import DefectCell
from mo_hpc.checks.potential import Potential
from mo_hpc.checks.relaxation import cell_relaxed
from mo_hpc.checks.result import CheckFailedError, CheckResult, Value, measured
from mo_hpc.core.checks import CheckConfig

_FORMATION = ("substitution_energy_ev",)
_RELAXATION = ("substitution_relaxation_energy_ev",)


def substitution(potential: Potential, settings: CheckConfig) -> CheckResult:
    """The substitution energy of every dopant X, and what the relaxation has part in it, in eV.

    It is E(X in N - 1 host atoms) + E(host)/atom - E(N host atoms) - E(X)/atom; negative means
    that X dissolves. The crystal of X is its ground state, relaxed with its cell by the same
    model, which asks the model about a crystal far from dilute alloys. The relaxation energy
    does not depend on that crystal.
    """
    try:
        cell = DefectCell(potential, settings)
    except CheckFailedError as error:
        names = (*_FORMATION, *_RELAXATION)
        return CheckResult(
            tuple(Value(name, None, x, str(error)) for x in settings.dopants for name in names)
        )
    values: list[Value] = []
    for symbol in settings.dopants:
        values += _of(symbol, cell, potential, settings)
    return CheckResult(tuple(values))


def _of(
    symbol: str, cell: DefectCell, potential: Potential, settings: CheckConfig
) -> tuple[Value, ...]:
    try:
        found = cell.with_dopants({cell.site: symbol})
    except CheckFailedError as error:
        return tuple(Value(n, None, symbol, str(error)) for n in (*_FORMATION, *_RELAXATION))
    host_ev = cell.perfect_ev / len(cell.crystal)
    exchanged = found.relaxed - cell.perfect_ev + host_ev
    formation = partial(_formation, exchanged, symbol, potential, settings)
    return (
        *measured(_FORMATION, symbol, formation),
        Value(_RELAXATION[0], found.relaxed - found.unrelaxed, symbol),
    )


def _formation(
    exchanged_ev: float, symbol: str, potential: Potential, settings: CheckConfig
) -> dict[str, float]:
    with potential.may_lack([symbol]):
        pure = cell_relaxed(ground_state(symbol), potential, settings)
        return {_FORMATION[0]: exchanged_ev - potential.energy_ev(pure) / len(pure)}

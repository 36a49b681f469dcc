"""Check: whether dopants in the BCC host seek or avoid each other, by neighbour shell."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations_with_replacement

from mo_hpc.checks.defects import DefectCell
from mo_hpc.checks.potential import Potential
from mo_hpc.checks.result import CheckFailedError, CheckResult, Value, measured
from mo_hpc.core.checks import CheckConfig

_NAME = "binding_energy_ev"
_Pair = tuple[str, str]


def binding(potential: Potential, settings: CheckConfig) -> CheckResult:
    """E(X) + E(Y) - E(X and Y) - E(host) of pairs on neighbour sites, in eV.

    Positive means that they attract each other. No crystal of X or Y is needed, so no energy of
    a single element enters: it is what a model of dilute alloys has to get right.
    """
    subjects = [(pair, shell) for pair in _pairs(settings) for shell in settings.pair_shells]
    try:
        alone = _Alone(potential, settings)
    except CheckFailedError as error:
        return CheckResult(
            tuple(Value(_NAME, None, _subject(*each), str(error)) for each in subjects)
        )
    values: list[Value] = []
    for pair, shell in subjects:
        values += measured((_NAME,), _subject(pair, shell), partial(alone.bound, pair, shell))
    return CheckResult(tuple(values))


class _Alone:
    """The cell, and the energies of dopants that are alone in it."""

    def __init__(self, potential: Potential, settings: CheckConfig) -> None:
        self._cell = DefectCell(potential, settings)
        self._single_ev: dict[str, float | str] = {}

    def bound(self, pair: _Pair, shell: int) -> dict[str, float]:
        """The binding energy of a pair on a shell."""
        apart = sum(self._single(symbol) for symbol in pair)
        sites = self._cell.pair(shell)
        together = self._cell.with_dopants(dict(zip(sites, pair, strict=True))).relaxed
        return {_NAME: apart - together - self._cell.perfect_ev}

    def _single(self, symbol: str) -> float:
        """Energy of one dopant in eV; what failed once is not tried again."""
        if symbol not in self._single_ev:
            try:
                found = self._cell.with_dopants({self._cell.site: symbol})
            except CheckFailedError as error:
                self._single_ev[symbol] = str(error)
            else:
                self._single_ev[symbol] = found.relaxed
        energy = self._single_ev[symbol]
        if isinstance(energy, str):
            raise CheckFailedError(energy)
        return energy


def _pairs(settings: CheckConfig) -> Iterator[_Pair]:
    if settings.pairs == "like":
        yield from ((symbol, symbol) for symbol in settings.dopants)
    else:
        yield from combinations_with_replacement(sorted(settings.dopants), 2)


def _subject(pair: _Pair, shell: int) -> str:
    return f"{'-'.join(pair)} {shell}nn"

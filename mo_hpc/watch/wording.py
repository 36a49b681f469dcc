"""Times, amounts and counts as people read them."""

from __future__ import annotations

from collections.abc import Mapping

from mo_hpc.watch.cost import Cost, TaskCost

_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86400
_UNKNOWN = "–"


def duration(seconds: float | None) -> str:
    """A time in the unit that suits it, in at most six characters."""
    if seconds is None:
        return _UNKNOWN
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds / _HOUR_S:.0f} h"
    return f"{seconds / _DAY_S:.0f} d"


def error(mae_mev_per_ang: float | None) -> str:
    """A force error in meV/Å."""
    return _UNKNOWN if mae_mev_per_ang is None else f"{mae_mev_per_ang:.1f}"


def tally(counts: Mapping[str, int]) -> str:
    """Such as ``3 done, 1 running``."""
    return ", ".join(f"{number} {name}" for name, number in counts.items())


def number_of(count: int, noun: str) -> str:
    """Such as ``1 task`` and ``2 tasks``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def cost_sentence(cost: TaskCost) -> str:
    """What was used, and how much of it in vain."""
    sentence = f"Used so far: {amounts(cost.used)}"
    if cost.n_failed:
        one = cost.n_failed == 1
        which = (
            "1 attempt that failed or was"
            if one
            else f"{cost.n_failed} attempts that failed or were"
        )
        sentence += f", of it {amounts(cost.failed)} in {which} killed"
    return sentence + "."


def amounts(cost: Cost) -> str:
    """Core-hours, and GPU-hours if there are any."""
    cores = f"{_amount(cost.core_hours)} core-hours"
    return f"{_amount(cost.gpu_hours)} GPU-hours and {cores}" if cost.gpu_hours else cores


def _amount(hours: float) -> str:
    """Three digits, or all before the point."""
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"  # noqa: PLR2004 - three digits

"""Which trained element stands in for a new one, by their places in the periodic table."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

from mo_hpc.core.elements import ATOMIC_NUMBERS

_NOBLE_GASES = (0, 2, 10, 18, 36, 54, 86, 118)
_LAST_GROUP = 18
_FIRST_TRANSITION_GROUP = 3


def period_of(element: str) -> int:
    """The period (row) of an element, 1 to 7."""
    return bisect_left(_NOBLE_GASES, ATOMIC_NUMBERS[element])


def group_of(element: str) -> int:
    """The group (column) of an element, 1 to 18; lanthanides and actinides count as group 3."""
    number, period = ATOMIC_NUMBERS[element], period_of(element)
    place = number - _NOBLE_GASES[period - 1]
    from_the_right = _LAST_GROUP - (_NOBLE_GASES[period] - number)
    if period == 1 or place > 2:  # noqa: PLR2004 - the s block has two columns
        return 1 if number == 1 else max(from_the_right, _FIRST_TRANSITION_GROUP)
    return place


def _by_group(new: str, known: str) -> tuple[int, ...]:
    return abs(group_of(new) - group_of(known)), abs(period_of(new) - period_of(known))


def _by_period(new: str, known: str) -> tuple[int, ...]:
    return abs(period_of(new) - period_of(known)), abs(group_of(new) - group_of(known))


def _by_number(new: str, known: str) -> tuple[int, ...]:
    return (abs(ATOMIC_NUMBERS[new] - ATOMIC_NUMBERS[known]),)


RULES: dict[str, Callable[[str, str], tuple[int, ...]]] = {
    "proxy_group": _by_group,
    "proxy_period": _by_period,
    "proxy_number": _by_number,
}
"""Rule → how far a known element is from a new one, the most important distance first."""


def nearest(rule: str, new: str, known: Iterable[str]) -> str:
    """The known element nearest to a new one; of equally near ones that of nearer number.

    Args:
        rule: A key of `RULES`.
        new: The new element.
        known: At least one element.
    """

    def rank(element: str) -> tuple[int, ...]:
        return (*RULES[rule](new, element), *_by_number(new, element), ATOMIC_NUMBERS[element])

    return min(known, key=rank)

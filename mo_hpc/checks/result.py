"""What a check finds: named values, or why there is none. Light."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Measured = Mapping[str, float]
"""Name with its unit at the end → value."""


class CheckFailedError(Exception):
    """The model gives no such number; the message says why, in a sentence."""


@dataclass(frozen=True, slots=True)
class Value:
    """One number.

    Attributes:
        name: What it is, its unit at the end, such as ``surface_energy_j_per_m2``.
        value: The number; None where the model gives none.
        subject: Of what, such as ``Ti``, ``Ti-Ti 1nn`` or ``(110)``; empty: of the crystal.
        problem: Why there is no number; empty where there is one.
    """

    name: str
    value: float | None
    subject: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """Numbers that belong together point by point, for a figure.

    Attributes:
        name: What it shows, such as ``equation_of_state``.
        subject: Of what, such as ``bcc``.
        columns: Name with its unit at the end → values, all of one length.
    """

    name: str
    subject: str
    columns: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """All that one check says of one model.

    Attributes:
        values: The numbers, in the order in which tables print them.
        curves: What figures draw.
        verdict: A sentence, for a check that is a question; empty for one that is a number.
    """

    values: tuple[Value, ...]
    curves: tuple[Curve, ...] = field(default=())
    verdict: str = ""


def measured(
    names: tuple[str, ...], subject: str, compute: Callable[[], Measured]
) -> tuple[Value, ...]:
    """The values of one subject; those that cannot be had keep the reason.

    Args:
        names: What is wanted, with units.
        subject: Of what.
        compute: Returns all of the names.
    """
    try:
        found = compute()
    except CheckFailedError as error:
        return tuple(Value(name, None, subject, str(error)) for name in names)
    return tuple(Value(name, float(found[name]), subject) for name in names)

"""How many structures of a new element bring an error below a threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean


def shots_needed(errors: Mapping[int, float], threshold: float) -> int | None:
    """The smallest tried number of structures from which on the error meets a threshold.

    An error that falls below the threshold and rises above it again was luck, so all larger
    numbers must meet it too.

    Args:
        errors: Number of structures → error, in the threshold's unit.
        threshold: Largest error that is accepted.

    Returns:
        One of the numbers tried; None where the largest of them does not meet it.
    """
    needed = None
    for shots in sorted(errors, reverse=True):
        if errors[shots] > threshold:
            break
        needed = shots
    return needed


def mean_curve(curves: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean of several curves, at the numbers of structures that all of them have.

    Where one curve lacks a number, the mean there would be over other choices than beside it,
    and a step of the mean could come from that alone.

    Args:
        curves: Number of structures → error, one mapping for each random choice.
    """
    if not curves:
        return {}
    shared = sorted(set(curves[0]).intersection(*curves[1:]))
    return {shots: fmean(curve[shots] for curve in curves) for shots in shared}

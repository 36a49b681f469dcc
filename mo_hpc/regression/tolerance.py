"""How far a metric may move: its unit, which way is worse, and the tolerance.

The tolerance of a mean over n seeds is k · s · √(2/n), with s the sample standard deviation over
the seeds of the reference: the standard error of the difference of two such means. The seeds
are the same every night, so on one machine with one set of libraries nothing moves at all. What
moves without being wrong, such as other libraries or another processor, changes a training by
rounding that grows, at worst, until it is as good as another seed. k = 5 then raises a false
alarm for 0.7 % of the metrics (Student's t, 4 degrees of freedom, five seeds), and a shift of
3.2 s is seen. Fewer seeds make s itself uncertain: with two, k = 5 is exceeded in 13 %.
"""

from __future__ import annotations

import math
from typing import Literal

K = 5.0
"""Standard errors of the difference that a metric may move."""

RELATIVE_FLOOR = 0.01
"""No error has a tolerance below 1 % of itself: less is of no consequence to a user."""

ABSOLUTE_FLOOR = 0.01
"""Nor below 0.01 of its unit (meV/atom, meV/Å), the last digit that tables print."""

BASELINE_FLOOR = 1e-6
"""Relative; a least-squares fit without a network, in double precision on any machine."""

Kind = Literal["error", "baseline", "count"]


def kind_of(metric: str) -> Kind:
    """What a metric is: an error (lower is better), or what must stay the same.

    Counts and the linear baseline know the data and the split and no network, so a move of
    theirs either way says that frames or labels have changed.
    """
    if metric.startswith("n_"):
        return "count"
    return "baseline" if "_linear_baseline" in metric else "error"


def unit_of(metric: str) -> str:
    """The unit that a metric's name carries; empty for a count."""
    if "_mev_per_atom" in metric:
        return "meV/atom"
    return "meV/Å" if "_mev_per_ang" in metric else ""


def tolerance(metric: str, value: float, seed_std: float | None, n_seeds: int) -> float:
    """How far the mean over the seeds may be from the reference, in the metric's unit.

    Args:
        metric: Its name.
        value: The reference, a mean over seeds.
        seed_std: Sample standard deviation over the seeds; None where it is not known.
        n_seeds: Number of seeds of the mean.
    """
    kind = kind_of(metric)
    if kind == "count":
        return 0.0
    if kind == "baseline":
        return BASELINE_FLOOR * abs(value)
    floor = max(ABSOLUTE_FLOOR, RELATIVE_FLOOR * abs(value))
    return max(floor, K * (seed_std or 0.0) * math.sqrt(2 / n_seeds))

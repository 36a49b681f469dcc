"""Correlations of a handful of values, with what chance alone would give.

Eleven held-out elements make no fine statistics: every correlation comes with a permutation
p-value, and the linear one with bootstrap intervals.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mo_hpc.metrics.bootstrap import SEED, interval_95

FEWEST_POINTS = 4
"""Points below which any two quantities seem to be related."""
N_PERMUTATIONS = 20_000
"""Random permutations, where there are too many to try them all."""
_N_RESAMPLES = 2000
_ALL_UP_TO = 7
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class LinearRelation:
    """A straight line through points, y = slope · x + intercept, and Pearson's correlation.

    Attributes:
        n: Number of points.
        r: Pearson's correlation.
        slope: Least-squares slope, in the unit of y by that of x.
        intercept: In the unit of y.
        r_interval_95: Bootstrap interval of r over the points, None where there is none.
        p_value: Share of the permutations of x with a correlation at least as large, two-sided.
    """

    n: int
    r: float
    slope: float
    intercept: float
    r_interval_95: list[float] | None
    p_value: float


@dataclass(frozen=True, slots=True)
class RankRelation:
    """Spearman's rank correlation.

    Attributes:
        n: Number of points.
        rho: Correlation of the ranks.
        p_value: Share of the permutations with one at least as large, two-sided.
    """

    n: int
    rho: float
    p_value: float


def linear_relation(x: NDArray[np.float64], y: NDArray[np.float64]) -> LinearRelation | None:
    """The straight line through points and its correlation.

    Args:
        x: Shape (n,).
        y: Shape (n,).

    Returns:
        None below `FEWEST_POINTS` points, or where x or y is constant.
    """
    if not _varies(x, y):
        return None
    slope, intercept = np.polyfit(x, y, 1)
    return LinearRelation(
        n=len(x),
        r=_correlation(x, y),
        slope=float(slope),
        intercept=float(intercept),
        r_interval_95=_resampled_interval(x, y),
        p_value=_permutation_p(x, y),
    )


def rank_relation(x: NDArray[np.float64], y: NDArray[np.float64]) -> RankRelation | None:
    """Spearman's correlation; equal values share the mean of their ranks.

    Args:
        x: Shape (n,).
        y: Shape (n,).

    Returns:
        None below `FEWEST_POINTS` points, or where x or y is constant.
    """
    if not _varies(x, y):
        return None
    ranks = average_ranks(x), average_ranks(y)
    return RankRelation(n=len(x), rho=_correlation(*ranks), p_value=_permutation_p(*ranks))


def average_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, equal values sharing the mean of theirs, shape (n,)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for the number of tests by Holm's method, in their order.

    Source: S. Holm, Scand. J. Statist. 6, 65 (1979).
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for done, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def _varies(x: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    return len(x) >= FEWEST_POINTS and bool(np.ptp(x) > 0 and np.ptp(y) > 0)


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(_standardised(x) @ _standardised(y))


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = values - values.mean()
    return np.asarray(centred / np.linalg.norm(centred), dtype=np.float64)


def _permutation_p(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """All permutations where they are few, else random ones with the given one among them."""
    permutations = _permutations(len(x))
    found = np.abs(_standardised(x)[permutations] @ _standardised(y))
    as_large = int((found >= abs(_correlation(x, y)) - _ROUNDING).sum())
    if len(x) <= _ALL_UP_TO:
        return as_large / len(permutations)
    return (as_large + 1) / (len(permutations) + 1)


@cache
def _permutations(n: int) -> NDArray[np.int64]:
    """Permutations of n places, shape (n_permutations, n); seeded where they are random."""
    if n <= _ALL_UP_TO:
        every = itertools.chain.from_iterable(itertools.permutations(range(n)))
        return np.fromiter(every, dtype=np.int64).reshape(math.factorial(n), n)
    places = np.tile(np.arange(n), (N_PERMUTATIONS, 1))
    return np.random.default_rng(SEED).permuted(places, axis=1)


def _resampled_interval(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[float] | None:
    """Interval of r over resamples of the points; those with a constant quantity have none."""
    chosen = np.random.default_rng(SEED).integers(len(x), size=(_N_RESAMPLES, len(x)))
    centred = [values[chosen] - values[chosen].mean(axis=1, keepdims=True) for values in (x, y)]
    products = (centred[0] * centred[1]).sum(axis=1)
    norms = np.prod([np.linalg.norm(each, axis=1) for each in centred], axis=0)
    return interval_95(products[norms > _ROUNDING] / norms[norms > _ROUNDING])

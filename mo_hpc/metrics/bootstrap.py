"""Bootstrap intervals of means over structures.

Groups of frames (trajectories) are resampled, not frames: frames of one relaxation are
nearly copies of each other, and resampling them singly gives intervals far too narrow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_RESAMPLES = 1000
SEED = 20260
_MOST_WEIGHTS_AT_ONCE = 4_000_000


def group_sums(
    values: NDArray[np.float64], group: NDArray[np.int64], n_groups: int
) -> NDArray[np.float64]:
    """Sums of values by group, shape (n_groups,).

    Args:
        values: Shape (n_values,).
        group: Group index of each value, shape (n_values,).
        n_groups: Number of groups, some of which may have no value.
    """
    return np.bincount(group, weights=values, minlength=n_groups).astype(np.float64)


def resampled_means(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over groups drawn with replacement, from the sums within each group.

    Args:
        sums: For each quantity the sum over each group, shape (n_quantities, n_groups).
        counts: For each quantity the number of terms in each group, of the same shape.

    Returns:
        Shape (N_RESAMPLES, n_quantities); NaN where a draw has no term. Seeded, so the same
        input gives the same intervals on every machine.
    """
    n_groups = sums.shape[1]
    generator = np.random.default_rng(SEED)
    rows = max(1, _MOST_WEIGHTS_AT_ONCE // n_groups)
    means = []
    for start in range(0, N_RESAMPLES, rows):
        draws = min(rows, N_RESAMPLES - start)
        weights = generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws)
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append((weights @ sums.T) / (weights @ counts.T))
    return np.concatenate(means)


def interval_95(samples: NDArray[np.float64]) -> list[float] | None:
    """The 2.5 % and 97.5 % quantiles of the finite samples, None where there are none."""
    finite = samples[np.isfinite(samples)]
    if finite.size == 0:
        return None
    low, high = np.quantile(finite, [0.025, 0.975])
    return [float(low), float(high)]

"""One task for each setting: the one whose errors are nearest the mean that tables print."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mo_hpc.analysis.reference_values import PAPER_KEYS
from mo_hpc.analysis.settings import groups


def nearest_the_mean(frame: pd.DataFrame, settings: Sequence[str]) -> pd.DataFrame:
    """The task of each combination of settings that stands for all of them in a figure.

    The distance is the Euclidean one of the four errors of the paper's Table 1, each relative to
    its mean, so that energies and forces weigh alike. Of equally near tasks the first is taken.

    Args:
        frame: Tasks that are done, one row each.
        settings: What tells apart combinations; repeats and seeds share one.

    Returns:
        One row for each combination, in order, with ``n_alike``, the number it stands for.
    """
    chosen = []
    for _, tasks in groups(frame, settings):
        errors = tasks[list(PAPER_KEYS)].astype(float)
        mean = errors.mean()
        squares = ((errors - mean) / mean.where(mean != 0, 1.0)) ** 2
        place = int(squares.sum(axis=1).to_numpy().argmin())
        chosen.append(tasks.iloc[[place]].assign(n_alike=len(tasks)))
    return pd.concat(chosen) if chosen else frame.assign(n_alike=0)

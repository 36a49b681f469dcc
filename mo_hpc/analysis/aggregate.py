"""Means over repeats and over folds, with the number of terms beside each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mo_hpc.analysis.settings import groups, sorted_by

SUFFIXES = ("", "_offset_removed", "_linear_baseline")
"""The energy error itself, and the two that every table puts beside it."""
ENERGY_MAES = tuple(f"energy_mae_mev_per_atom{suffix}" for suffix in SUFFIXES)
ENERGY_METRICS = (*ENERGY_MAES, *(f"energy_rmse_mev_per_atom{suffix}" for suffix in SUFFIXES))
FORCE_METRICS = ("force_mae_mev_per_ang_component", "force_rmse_mev_per_ang_component")
METRICS = (*ENERGY_METRICS, *FORCE_METRICS)
ZERO_FORCES = "force_mae_mev_per_ang_component_zero_baseline"
FORCE_SCALES = (ZERO_FORCES, "force_slope")
"""What force errors are read beside: records of earlier versions lack them."""


def mean_and_std(
    frame: pd.DataFrame, metrics: Sequence[str] = (*METRICS, *FORCE_SCALES)
) -> dict[str, Any]:
    """Mean, sample standard deviation and number of terms of each metric over the rows.

    Returns:
        ``<metric>``, ``<metric>_std`` (None below two terms) and ``<metric>_n`` for each.
    """
    summary: dict[str, Any] = {}
    for metric in metrics:
        values = _numbers(frame, metric)
        several = len(values) > 1
        summary[metric] = float(values.mean()) if len(values) else None
        summary[f"{metric}_std"] = float(values.std(ddof=1)) if several else None
        summary[f"{metric}_n"] = len(values)
    return summary


def fold_means(frame: pd.DataFrame, settings: Sequence[str]) -> pd.DataFrame:
    """One row per fold: repeats and seeds of a fold are averaged first.

    Args:
        frame: One row per task of a leave-one-element-out study.
        settings: Settings that tell studies apart.
    """
    keys = [*settings, "protocol", "element"]
    rows = [values | counts(rows) | mean_and_std(rows) for values, rows in groups(frame, keys)]
    # Counts beside undefined values must stay whole numbers, which a float column would undo.
    return sorted_by(pd.DataFrame(rows, dtype=object), keys)


def counts(frame: pd.DataFrame) -> dict[str, Any]:
    """Numbers of tasks, test frames and fitted coefficients behind a row of a table."""
    return {
        "n_tasks": len(frame),
        "n_done": int((frame["state"] == "done").sum()),
        "n_frames": span(_numbers(frame, "n_frames")),
        "n_coefficients_offset_removed": span(_numbers(frame, "n_coefficients_offset_removed")),
        "n_frames_uncovered_by_train": span(_numbers(frame, "n_frames_uncovered_by_train")),
    }


def span(values: pd.Series) -> int | str | None:
    """A count that tasks share, or its range."""
    if values.empty:
        return None
    low, high = int(values.min()), int(values.max())
    return low if low == high else f"{low}–{high}"


def _numbers(frame: pd.DataFrame, column: str) -> pd.Series:
    """The defined values of a column; none where no task has it."""
    if column not in frame:
        return pd.Series(dtype=float)
    return pd.to_numeric(frame[column]).dropna()

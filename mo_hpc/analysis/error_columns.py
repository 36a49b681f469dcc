"""The printed columns of a table of errors: counts, each error, and what stands beside it."""

from __future__ import annotations

from typing import Any

from mo_hpc.analysis.aggregate import METRICS
from mo_hpc.analysis.table import Column

_SUFFIX_TITLES = {"": "", "_offset_removed": ", offset removed", "_linear_baseline": ", linear"}


def error_columns(rows: list[dict[str, Any]], heading: str) -> list[Column]:
    """Counts, each error and what stands beside it, with the paper's value and the ratio if any.

    Args:
        rows: The rows of the table.
        heading: What the paper's columns are called.
    """
    columns = [Column("n_frames", "frames"), Column("n_coefficients_offset_removed", "p")]
    for metric in METRICS:
        columns.append(Column(metric, short_title(metric), 2, with_std=True))
        closes = metric.endswith("_linear_baseline") or metric.startswith("force")
        raw = metric.removesuffix("_linear_baseline")
        further = (
            Column(f"{raw}_paper", f"{short_title(raw)}, {heading}", 2, with_std=True),
            Column(f"{raw}_ratio", f"{short_title(raw)}, ratio", 2),
        )
        columns.extend(
            column
            for column in further
            if closes and any(row.get(column.key) is not None for row in rows)
        )
    return columns


def short_title(metric: str) -> str:
    """Such as ``E MAE, offset removed`` for ``energy_mae_mev_per_atom_offset_removed``."""
    kind = "E" if metric.startswith("energy") else "F"
    mean = "MAE" if "_mae_" in metric else "RMSE"
    ending = next(
        text for suffix, text in reversed(_SUFFIX_TITLES.items()) if metric.endswith(suffix)
    )
    return f"{kind} {mean}{ending}"

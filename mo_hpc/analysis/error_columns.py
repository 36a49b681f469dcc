"""The printed columns of a table of errors: counts, each error, and what stands beside it."""

from __future__ import annotations

from typing import Any

from mo_hpc.analysis.aggregate import FORCE_SCALES, METRICS, ZERO_FORCES
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
    return [*columns, *force_scale_columns(rows)]


def force_scale_columns(rows: list[dict[str, Any]], prefix: str = "", of: str = "") -> list[Column]:
    """The error of zero forces and the slope, where any record has them.

    Args:
        rows: The rows of the table.
        prefix: What the keys of the rows begin with.
        of: What the titles begin with.
    """
    titles = {ZERO_FORCES: "F MAE of zero forces", "force_slope": "F slope"}
    return [
        Column(f"{prefix}{key}", f"{of}{titles[key]}", 2, with_std=True)
        for key in FORCE_SCALES
        if any(row.get(f"{prefix}{key}") is not None for row in rows)
    ]


def short_title(metric: str) -> str:
    """Such as ``E MAE, offset removed`` for ``energy_mae_mev_per_atom_offset_removed``."""
    kind = "E" if metric.startswith("energy") else "F"
    mean = "MAE" if "_mae_" in metric else "RMSE"
    ending = next(
        text for suffix, text in reversed(_SUFFIX_TITLES.items()) if metric.endswith(suffix)
    )
    return f"{kind} {mean}{ending}"


MEAN_ABSOLUTE_ERRORS = {metric: short_title(metric) for metric in METRICS if "_mae_" in metric}
"""Titles of the mean absolute errors: the energies', as they are and beside it, and the forces'."""

"""What the leakage audits of a run's tasks amount to, in numbers and in sentences."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mo_hpc.core.task import LeakageAudit

LEAKS = "duplicates, near-duplicates, shared trajectories, test frames seen by the foundation"
"""What counts as a finding."""


def audit_columns(audit: LeakageAudit) -> dict[str, Any]:
    """An audit as columns of the table of tasks.

    The held-out element in relaxed training is no finding: that is what relaxed means.
    """
    leaks = (
        audit.n_duplicates,
        audit.n_near_duplicates,
        audit.n_shared_groups,
        audit.n_seen_by_foundation,
    )
    return {
        "n_leakage_findings": sum(bool(number) for number in leaks),
        "n_duplicates": audit.n_duplicates,
        "n_near_duplicates": audit.n_near_duplicates,
        "n_shared_groups": audit.n_shared_groups,
        "n_seen_by_foundation": audit.n_seen_by_foundation,
        "held_out_element_in_foundation": audit.held_out_element_in_foundation,
    }


def n_with_findings(frame: pd.DataFrame) -> int:
    """Number of tasks with a finding."""
    return int((_numbers(frame, "n_leakage_findings") > 0).sum())


def seen_by_foundation(frame: pd.DataFrame) -> list[str]:
    """A sentence for each thing that foundations have seen of the tests, none where nothing.

    Args:
        frame: One row per task; tasks without a record count as unknown.
    """
    n_done = int((frame["state"] == "done").sum())
    lines = []
    seen = _numbers(frame, "n_seen_by_foundation")
    if (seen > 0).any():
        lines.append(
            "The foundation was fitted to or selected on test frames, their duplicates or frames "
            f"of their trajectories in {int((seen > 0).sum())} of {n_done} tasks "
            f"(up to {int(seen.max())} test frames)."
        )
    with_element = _numbers(frame, "held_out_element_in_foundation")
    if with_element.any():
        lines.append(
            "The foundation's training frames contain the held-out element in "
            f"{int(with_element.sum())} of {n_done} tasks."
        )
    return lines


def _numbers(frame: pd.DataFrame, column: str) -> pd.Series:
    """A column's known values; none where no task has it."""
    known = frame[column].dropna() if column in frame else pd.Series(dtype=float)
    return known.astype(float)

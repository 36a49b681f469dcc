"""Errors under splits by trajectory beside those under splits by frame, where a run has both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mo_hpc.analysis.aggregate import mean_and_std, span
from mo_hpc.analysis.error_columns import MEAN_ABSOLUTE_ERRORS
from mo_hpc.analysis.notes import caption, notes
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.settings import SHOTS, groups, named, title, varying
from mo_hpc.analysis.table import Column, Table

_COUNTS = {
    "n_train": "train",
    "n_frames": "test",
    "n_shared_groups": "shared trajectories",
    "n_duplicates": "duplicates",
    "n_near_duplicates": "near-duplicates",
}
_WHAT = (
    "Mean ± sample standard deviation over n tasks (folds, repeats and seeds). By frame: frames of "
    "one trajectory may be on both sides; by trajectory: none has. Shared trajectories: those with "
    "frames both in test and in what the model was fitted to or selected on, as the audit of each "
    "split counted them. Ratio: mean error by trajectory over that by frame; above 1 the split by "
    "frame makes the model look better than it is on a new structure, at 1 it does not. With a "
    "limit on training frames a split by trajectory also has fewer structures in training."
)


def split_tables(records: RunRecords, frame: pd.DataFrame, settings: Sequence[str]) -> list[Table]:
    """One table, if tasks differ in nothing but how their splits treat trajectories; else none.

    Args:
        records: The run.
        frame: Its tasks, without those that make foundations, one row each.
        settings: Settings that tell studies apart.
    """
    across = [*(name for name in settings if name != "grouped"), "protocol", SHOTS]
    both = [
        (values, tasks)
        for values, tasks in groups(frame, across)
        if set(tasks["grouped"]) == {True, False}
    ]
    if not both:
        return []
    used = pd.concat([tasks for _, tasks in both])
    naming = [name for name in across if name in ("paradigm", "protocol", *varying(used, across))]
    rows: list[dict[str, Any]] = []
    for values, tasks in both:
        rows.extend(_rows(named({name: values[name] for name in naming}), tasks))
    return [
        Table(
            name="split_comparison",
            title=caption(records, "Splits by trajectory against splits by frame"),
            columns=(
                *(
                    Column(name, "protocol" if name == "protocol" else title(name))
                    for name in naming
                ),
                Column("split", "split"),
                Column("n_done", "n"),
                *(Column(name, heading) for name, heading in _COUNTS.items()),
                *(
                    Column(name, heading, 2, with_std=True)
                    for name, heading in MEAN_ABSOLUTE_ERRORS.items()
                ),
            ),
            rows=tuple(rows),
            notes=notes(records, used, _WHAT),
            rules=frozenset(range(0, len(rows), 3)),
        )
    ]


def _rows(leading: dict[str, Any], tasks: pd.DataFrame) -> list[dict[str, Any]]:
    """By trajectory, by frame, and the ratio of their mean errors."""
    by_trajectory, by_frame = (_row(tasks[tasks["grouped"] == kept]) for kept in (True, False))
    ratio = {
        name: by_trajectory[name] / by_frame[name]
        for name in MEAN_ABSOLUTE_ERRORS
        if by_trajectory[name] is not None and by_frame[name]
    }
    return [
        leading | {"split": "by trajectory"} | by_trajectory,
        leading | {"split": "by frame"} | by_frame,
        leading | {"split": "ratio"} | ratio,
    ]


def _row(tasks: pd.DataFrame) -> dict[str, Any]:
    done = tasks[tasks["state"] == "done"]
    numbers = {name: span(done[name].dropna()) if name in done else None for name in _COUNTS}
    return {"n_done": len(done)} | numbers | mean_and_std(done, tuple(MEAN_ABSOLUTE_ERRORS))

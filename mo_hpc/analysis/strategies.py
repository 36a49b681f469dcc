"""The paper's two ways to new elements, and which tasks of a run go them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mo_hpc.analysis import reference_values
from mo_hpc.analysis.beside_paper import MeanAndDeviation, paper_notes
from mo_hpc.analysis.records import RunRecords

_WHICH = (
    "The paper's direct inference (DIPI) stands beside proxies in a fine-tuned model, its "
    "refine-tuned model beside both test sets, since its text gives two."
)


def published_errors(records: RunRecords, row: Mapping[Any, Any]) -> dict[str, MeanAndDeviation]:
    """The paper's energy errors for a task on new elements, none where it has no such way.

    Args:
        records: The run.
        row: The task's row.
    """
    strategy = strategy_of(records, row)
    if strategy is None or reference_values.paper_set(str(row["dataset"])) is None:
        return {}
    return {
        metric: (reference_values.new_element_value(strategy, metric), None)
        for metric in reference_values.PAPER_KEYS
    }


def strategy_of(records: RunRecords, row: Mapping[Any, Any]) -> str | None:
    """``dipi``, ``refine_tune`` or None.

    DIPI asks a fine-tuned model, without training it, with the weights of a proxy; refine-tuning
    trains it on. A model from another run may be anything, and is neither.
    """
    record = records.records.get(str(row["task_id"]))
    foundation = record.foundation if record else None
    maker = records.records.get(foundation.task_id or "") if foundation else None
    if maker is None or maker.paradigm != "fine_tune":
        return None
    if row["paradigm"] == "fine_tune":
        return "refine_tune"
    return "dipi" if str(row["new_elements"]).startswith("proxy") else None


def published_means(records: RunRecords, tasks: pd.DataFrame) -> dict[str, MeanAndDeviation]:
    """The paper's errors for tasks that differ in repeat and seed only; none before one is done."""
    done = tasks[tasks["state"] == "done"]
    return published_errors(records, done.iloc[0].to_dict()) if len(done) else {}


def heading_of(frame: pd.DataFrame) -> str:
    """What the paper's errors are called beside tasks on new elements."""
    first = frame.iloc[0]
    return reference_values.new_elements_heading(str(first["dataset"]), str(first["size"]))


def published_notes(records: RunRecords, frame: pd.DataFrame) -> tuple[str, ...]:
    """Whose numbers stand beside ours; none where no task goes a way of the paper."""
    ours = [bool(published_errors(records, row)) for row in frame.to_dict("records")]
    if not any(ours):
        return ()
    structures, size = reference_values.TABLE2_OF
    published = reference_values.protocol("fine_tune", structures, size) or {}
    known = {"n_parameters": published["n_parameters"]}
    return (*paper_notes(frame[ours], f"Figure 7 ({size})", lambda *_: known), _WHICH)

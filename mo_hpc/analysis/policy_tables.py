"""Energy errors of held-out elements with the policies for reference energies side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mo_hpc.analysis.aggregate import mean_and_std
from mo_hpc.analysis.notes import caption, notes
from mo_hpc.analysis.records import NONE, RunRecords
from mo_hpc.analysis.settings import described, groups, shown, slug, varying
from mo_hpc.analysis.table import Column, Table

POLICY = ("paradigm", "energy_reference")
"""The settings that stand side by side."""

_ENERGY = "energy_mae_mev_per_atom"
_REMOVED = f"{_ENERGY}_offset_removed"
_SHIFTED = f"{_ENERGY}_offset_train"
_LINEAR = f"{_ENERGY}_linear_baseline"
_METRICS = (_ENERGY, _SHIFTED, _REMOVED, _LINEAR)
_WHAT = (
    "Each element's row is one fold, the mean over repeats and seeds where there are several; "
    "MeanAll: mean ± sample standard deviation over the elements that have a value. Zero-shot, "
    "shifted: the untrained model with one energy per element and host fitted to its errors on "
    "the training frames, much as the policy 'estimated' starts training; an element "
    "that training lacks keeps its own."
)


def policy_tables(records: RunRecords, frame: pd.DataFrame, settings: Sequence[str]) -> list[Table]:
    """One table for each protocol and combination of the other settings.

    Args:
        records: The run.
        frame: Its leave-one-element-out tasks, one row each.
        settings: Settings that tell studies apart.
    """
    across = ["protocol", *(name for name in settings if name not in POLICY)]
    naming = [name for name in across if name in ("protocol", *varying(frame, across))]
    return [
        _policy_table(records, tasks, {name: values[name] for name in naming})
        for values, tasks in groups(frame, across)
    ]


def variant(values: dict[str, Any]) -> str:
    """A paradigm with its policy in print, such as ``fine-tune, E0 average``."""
    return described({name: values[name] for name in POLICY})


def _policy_table(records: RunRecords, frame: pd.DataFrame, naming: dict[str, Any]) -> Table:
    variants = [values for values, _ in groups(frame, POLICY)]
    rows = [
        {"element": fold["element"]} | _side_by_side(tasks)
        for fold, tasks in groups(frame, ["element"])
    ]
    columns = [Column("element", "held out")]
    for values in variants:
        key, name = slug(values), variant(values)
        columns.append(Column(f"{key}_{_ENERGY}", f"{name}: E MAE", 2, with_std=True))
        if values["energy_reference"] == NONE:
            columns.append(Column(f"{key}_{_SHIFTED}", f"{name}: shifted", 2, with_std=True))
        columns.append(Column(f"{key}_{_REMOVED}", f"{name}: offset removed", 2, with_std=True))
    columns.append(Column(_LINEAR, "linear", 2, with_std=True))
    return Table(
        name=f"energy_references_{slug(naming)}",
        title=caption(records, f"Energy errors by reference energies: {_heading(naming)}"),
        columns=tuple(columns),
        rows=(*rows, _mean_row(rows)),
        notes=notes(records, frame, _WHAT),
        rules=frozenset({0, len(rows)}),
    )


def _heading(naming: dict[str, Any]) -> str:
    return f"LODO {shown(naming['protocol'])}" + "".join(
        f", {described({name: value})}" for name, value in naming.items() if name != "protocol"
    )


def _side_by_side(tasks: pd.DataFrame) -> dict[str, float | None]:
    """The errors of one fold under every policy, and the baseline, which none of them changes."""
    row: dict[str, float | None] = {_LINEAR: mean_and_std(tasks, [_LINEAR])[_LINEAR]}
    for values, chosen in groups(tasks, POLICY):
        means = mean_and_std(chosen, _METRICS)
        row |= {f"{slug(values)}_{metric}": means[metric] for metric in _METRICS}
    return row


def _mean_row(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    folds = pd.DataFrame(rows)
    means = mean_and_std(folds, [str(name) for name in folds.columns if name != "element"])
    return {"element": "MeanAll"} | means

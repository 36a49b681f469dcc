"""The tables of random splits, in the layout of the paper's Table 1."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mo_hpc.analysis import reference_values
from mo_hpc.analysis.aggregate import METRICS, counts, mean_and_std
from mo_hpc.analysis.beside_paper import MeanAndDeviation, beside, paper_notes
from mo_hpc.analysis.error_columns import error_columns
from mo_hpc.analysis.notes import caption, notes
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.settings import groups, named, title, varying
from mo_hpc.analysis.table import Column, Table

_ALWAYS_SHOWN = ("dataset", "paradigm", "size")


def iid_table(records: RunRecords, frame: pd.DataFrame, settings: list[str]) -> Table:
    """The paper's Table 1: paradigm × dataset × size, means over repeats."""
    rows = []
    for values, tasks in groups(frame, settings):
        row = named(values) | counts(tasks) | mean_and_std(tasks)
        structures = {"structures": reference_values.paper_set(str(values["dataset"]))}
        rows.append(row | structures | beside(row, _table1_paper(values), with_ratio=True))
    in_paper = {
        (row["dataset"], row["size"]) for row in rows if row[f"{METRICS[0]}_paper"] is not None
    }
    shown_settings = [
        name for name in settings if name in _ALWAYS_SHOWN or name in varying(frame, settings)
    ]
    return Table(
        name="table1_iid",
        title=caption(records, "IID test errors by paradigm, dataset and size"),
        columns=(
            *(Column(name, title(name)) for name in shown_settings),
            Column("n_done", "n"),
            *([Column("structures", "set")] if in_paper else []),
            *error_columns(rows, reference_values.table1_heading(in_paper)),
        ),
        rows=tuple(rows),
        notes=(
            *notes(
                records,
                frame,
                "Mean ± sample standard deviation over n tasks (repeats of the random split, and "
                "seeds); frames: test frames of each.",
            ),
            *(paper_notes(_of_paper(frame), "Table 1") if in_paper else ()),
        ),
    )


def _of_paper(frame: pd.DataFrame) -> pd.DataFrame:
    """The tasks that the paper's table has a row for."""
    structures = frame["dataset"].map(reference_values.paper_set)
    keys = zip(frame["paradigm"], structures, frame["size"], strict=True)
    return frame[[reference_values.protocol(*each) is not None for each in keys]]


def _table1_paper(values: dict[str, Any]) -> dict[str, MeanAndDeviation]:
    dataset, paradigm, size = (str(values[name]) for name in ("dataset", "paradigm", "size"))
    return {
        metric: reference_values.table1_value(dataset, paradigm, size, metric)
        for metric in reference_values.PAPER_KEYS
    }

"""How many times larger errors are without fine-tuning: ours beside the paper's, by size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from mo_hpc.analysis import reference_values
from mo_hpc.analysis.aggregate import mean_and_std
from mo_hpc.analysis.beside_paper import ratio
from mo_hpc.analysis.notes import UNITS, caption, origin_and_missing
from mo_hpc.analysis.records import NONE, RunRecords
from mo_hpc.analysis.reference_values import PAPER_KEYS
from mo_hpc.analysis.settings import groups, named, shown, title, varying, with_policy
from mo_hpc.analysis.table import Column, Table

_TITLES = {
    "energy_mae": "E MAE",
    "energy_rmse": "E RMSE",
    "force_mae": "F MAE",
    "force_rmse": "F RMSE",
}
_AVERAGED = (
    "Each ratio is of two means over repeats, on one set of labels: ours on ours, the paper's on "
    "its own. Where no scratch model has the E0 policy of the fine-tuned one, its own is named."
)
_OTHERS = ("scratch", "zero_shot")


def paradigm_ratio_tables(
    records: RunRecords, frame: pd.DataFrame, settings: list[str]
) -> Iterator[Table]:
    """The ratios of mean errors, paradigm by fine-tune; none where no two can be compared.

    Args:
        records: The run.
        frame: Its IID tasks, one row each.
        settings: What tells studies apart.
    """
    rows = list(_rows(frame, settings))
    if not rows:
        return
    shared = [name for name in settings if name != "paradigm"]
    kept = [name for name in shared if name == "size" or name in varying(frame, shared)]
    yield Table(
        name="table1_ratios",
        title=caption(records, "Errors without fine-tuning, in multiples of those with it"),
        columns=(
            *(Column(name, title(name)) for name in kept),
            Column("of", "errors of"),
            *_columns(rows),
        ),
        rows=tuple(rows),
        notes=(
            f"{UNITS} {_AVERAGED}",
            *_stated(rows),
            *origin_and_missing(records, frame),
        ),
    )


def _rows(frame: pd.DataFrame, settings: Sequence[str]) -> Iterator[dict[str, Any]]:
    shared = [name for name in settings if name not in ("paradigm", "energy_reference")]
    for values, tasks in groups(frame[frame["paradigm"] == "fine_tune"], settings):
        alike = frame[(frame[shared] == pd.Series(values)[shared]).all(axis=1)]
        for paradigm in _OTHERS:
            chosen = with_policy(alike[alike["paradigm"] == paradigm], values["energy_reference"])
            if len(chosen):
                yield _row(values, chosen, tasks)


def _row(values: Mapping[str, Any], others: pd.DataFrame, tuned: pd.DataFrame) -> dict[str, Any]:
    paradigm, policy = (str(others[name].iloc[0]) for name in ("paradigm", "energy_reference"))
    row = named({key: value for key, value in values.items() if key != "paradigm"})
    differs = policy not in (values["energy_reference"], NONE)
    which = f"{shown(paradigm)}, E0 {policy}," if differs else shown(paradigm)
    row["of"] = f"{which} / {shown('fine_tune')}"
    dataset, size = str(values["dataset"]), str(values["size"])
    above, below = mean_and_std(others), mean_and_std(tuned)
    for metric, name in PAPER_KEYS.items():
        published, _ = reference_values.table1_value(dataset, paradigm, size, metric)
        published_tuned, _ = reference_values.table1_value(dataset, "fine_tune", size, metric)
        row[f"ratio_of_{name}"] = ratio(above[metric], below[metric])
        row[f"paper_ratio_of_{name}"] = ratio(published, published_tuned)
    return row


def _columns(rows: Sequence[Mapping[str, Any]]) -> Iterator[Column]:
    in_paper = any(row["paper_ratio_of_energy_mae"] is not None for row in rows)
    for name in PAPER_KEYS.values():
        yield Column(f"ratio_of_{name}", _TITLES[name], 1)
        if in_paper:
            yield Column(f"paper_ratio_of_{name}", f"{_TITLES[name]}, paper", 1)


def _stated(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the paper's text says, which mixes sizes, where its numbers stand in the table."""
    if any(row["paper_ratio_of_energy_mae"] is not None for row in rows):
        ranges = [
            f"{shown(paradigm)} / {shown('fine_tune')} {low:.1f}–{high:.1f}"
            for paradigm in _OTHERS
            for low, high in [reference_values.stated_range(paradigm)]
        ]
        yield (
            f"Paper: {reference_values.PAPER}, Table 1 size by size; labels "
            f"{reference_values.PAPER_LABELS}. Its text states, for the energy MAE, the smallest "
            f"by the smallest and the largest by the largest over sizes: {', '.join(ranges)}."
        )

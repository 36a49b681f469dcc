"""The tables of a run, in the layouts of the paper's Tables 1 and 2, and their comparison.

Which tables there are follows from the tasks: IID tasks make Table 1, folds of held-out
elements Table 2 for each combination of settings and one comparison of them all, few-shot folds
their curves as a table, and several seeds of a fold a committee.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from mo_hpc.analysis import reference_values
from mo_hpc.analysis.aggregate import METRICS, SUFFIXES, counts, fold_means, mean_and_std
from mo_hpc.analysis.committees import committee_tables
from mo_hpc.analysis.few_shot import few_shot_tables
from mo_hpc.analysis.images import mixed_images
from mo_hpc.analysis.notes import UNITS, caption, missing_cells, notes, origin
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.settings import (
    LODO,
    described,
    groups,
    order,
    ordered,
    settings_of,
    shown,
    slug,
    title,
    varying,
)
from mo_hpc.analysis.table import Column, Table

_SUFFIX_TITLES = {"": "", "_offset_removed": ", offset removed", "_linear_baseline": ", linear"}
_ALWAYS_SHOWN = ("dataset", "paradigm", "size")


def make_tables(records: RunRecords) -> list[Table]:
    """All tables of a run, those of most interest first."""
    frame = records.frame
    settings = settings_of(frame, [task.axes for task in records.manifest.tasks])
    results = frame[~frame["is_foundation"]]
    iid = results[results["protocol"] == "iid"]
    lodo = results[results["protocol"].isin(LODO)]
    tables = []
    if len(iid):
        tables.append(iid_table(records, iid, settings))
    if len(lodo):
        tables.append(comparison_table(records, lodo, settings))
        tables.extend(lodo_tables(records, lodo, settings))
    few_shot = results[results["protocol"] == "few_shot"]
    if len(few_shot):
        tables.extend(few_shot_tables(records, few_shot, settings))
    tables.extend(committee_tables(records, results, settings))
    if frame["is_foundation"].any():
        tables.append(foundation_table(records, frame[frame["is_foundation"]]))
    mixed = mixed_images(records)
    return [replace(table, notes=(*table.notes, *mixed)) for table in tables]


def iid_table(records: RunRecords, frame: pd.DataFrame, settings: list[str]) -> Table:
    """The paper's Table 1: paradigm × dataset × size, means over repeats."""
    rows = []
    for values, tasks in groups(frame, settings):
        rows.append(_named(values) | counts(tasks) | mean_and_std(tasks) | _table1_paper(values))
    in_paper = {row["dataset"] for row in rows if row[f"{METRICS[0]}_paper"] is not None}
    shown_settings = [
        name for name in settings if name in _ALWAYS_SHOWN or name in varying(frame, settings)
    ]
    return Table(
        name="table1_iid",
        title=caption(records, "IID test errors by paradigm, dataset and size"),
        columns=(
            *(Column(name, title(name)) for name in shown_settings),
            Column("n_done", "n"),
            *_error_columns(rows, reference_values.table1_heading(in_paper)),
        ),
        rows=tuple(rows),
        notes=notes(
            records,
            frame,
            "Mean ± sample standard deviation over n tasks (repeats of the random split, and "
            "seeds); frames: test frames of each.",
        ),
    )


def lodo_tables(records: RunRecords, frame: pd.DataFrame, settings: list[str]) -> list[Table]:
    """The paper's Table 2 for each combination of settings: a row for each held-out element."""
    naming = varying(frame, settings) or ["paradigm"]
    return [
        _lodo_table(records, tasks, settings, {name: values[name] for name in naming})
        for values, tasks in groups(frame, settings)
    ]


def _lodo_table(
    records: RunRecords, frame: pd.DataFrame, settings: list[str], naming: dict[str, Any]
) -> Table:
    folds = fold_means(frame, settings)
    rows: list[dict[str, Any]] = []
    rules = set()
    for values, block in groups(folds, ["protocol"]):
        rules.add(len(rows))
        of_paper = frame["paradigm"].iloc[0] == "fine_tune"
        rows.extend(_fold_rows(block, str(values["protocol"]), of_paper=of_paper))
    constant = {
        name: frame[name].iloc[0] for name in ("paradigm", "dataset", "size", "energy_reference")
    }
    heading = reference_values.table2_heading(str(constant["dataset"]), str(constant["size"]))
    n_tasks = "a task" if len(frame) == len(folds) else "the mean over repeats and seeds"
    return Table(
        name=f"table2_lodo_{slug(naming)}",
        title=caption(records, f"Leave one element out: {described(constant | naming)}"),
        columns=(
            Column("protocol", "LODO"),
            Column("element", "held out"),
            *_error_columns(rows, heading),
        ),
        rows=tuple(rows),
        notes=notes(
            records,
            frame,
            f"Each element's row is {n_tasks}; MeanAll: mean ± sample standard deviation over "
            "the n elements that are done, MeanNC the same without Cr. The paper's means are "
            "over the same elements, where it has them all.",
        ),
        rules=frozenset(rules),
    )


def _fold_rows(block: pd.DataFrame, protocol: str, *, of_paper: bool) -> list[dict[str, Any]]:
    """The folds of one protocol, then their means."""
    rows = []
    for fold in block.to_dict("records"):
        row = {str(key): value for key, value in fold.items()} | {"protocol": shown(protocol)}
        rows.append(row | (_table2_paper([str(row["element"])], protocol) if of_paper else {}))
    done = [str(element) for element in block.loc[block["n_done"] > 0, "element"]]
    means = {"MeanAll": done}
    if "Cr" in set(block["element"]) and len(block) > 1:
        means["MeanNC, without Cr"] = [element for element in done if element != "Cr"]
    for name, chosen in means.items():
        part = block[block["element"].isin(chosen)]
        summary = mean_and_std(part)
        summary |= {"protocol": shown(protocol), "element": f"{name} (n={len(chosen)})"}
        rows.append(summary | (_table2_paper(chosen, protocol) if of_paper else {}))
    return rows


def comparison_table(records: RunRecords, frame: pd.DataFrame, settings: list[str]) -> Table:
    """All combinations of settings, strict beside relaxed, as means over the folds."""
    folds = fold_means(frame, settings)
    columns = ["energy_mae_mev_per_atom" + suffix for suffix in SUFFIXES]
    columns.append("force_mae_mev_per_ang_component")
    protocols = sorted(folds["protocol"].unique(), key=order)
    rows = []
    for values, block in groups(folds, settings):
        row = _named(values)
        for protocol in protocols:
            part = block[block["protocol"] == protocol]
            row[f"{protocol}_n_folds"] = int((part["n_done"] > 0).sum())
            row |= {f"{protocol}_{key}": value for key, value in mean_and_std(part).items()}
        rows.append(row)
    naming = [name for name in settings if name in ("paradigm", *varying(frame, settings))]
    printed = [Column(name, title(name)) for name in naming]
    for protocol in protocols:
        printed.append(Column(f"{protocol}_n_folds", f"{shown(protocol)}: n"))
        printed.extend(
            Column(f"{protocol}_{key}", f"{shown(protocol)}: {_short_title(key)}", 2, with_std=True)
            for key in columns
        )
    datasets = ", ".join(str(name) for name in ordered(list(frame["dataset"])))
    return Table(
        name="lodo_comparison",
        title=caption(records, f"Leave one element out, means over the folds: {datasets}"),
        columns=tuple(printed),
        rows=tuple(rows),
        notes=notes(
            records, frame, "Mean ± sample standard deviation over n folds (held-out elements)."
        ),
    )


def foundation_table(records: RunRecords, frame: pd.DataFrame) -> Table:
    """The models that other tasks of the run start from."""
    rows = []
    for values, tasks in groups(frame, ["stage", "dataset", "size", "task_id"]):
        first = tasks.iloc[0]
        extra = {
            key: None if key not in tasks or pd.isna(first[key]) else int(first[key])
            for key in ("n_parameters", "epochs", "n_train", "n_frames")
        }
        rows.append(values | extra | mean_and_std(tasks))
    return Table(
        name="foundations",
        title=caption(records, "Foundations made in this run"),
        columns=(
            Column("stage", "stage"),
            Column("dataset", "dataset"),
            Column("size", "size"),
            Column("n_parameters", "parameters", 0),
            Column("epochs", "epochs", 0),
            Column("n_train", "train", 0),
            Column("n_frames", "test", 0),
            Column("energy_mae_mev_per_atom", "E MAE", 2),
            Column("force_mae_mev_per_ang_component", "F MAE", 2),
        ),
        rows=tuple(rows),
        notes=(
            f"{UNITS} The test frames belong to the set that each model was trained on.",
            *origin(frame),
            *missing_cells(records, frame),
        ),
    )


def _error_columns(rows: list[dict[str, Any]], heading: str) -> list[Column]:
    """Counts, each error, what stands beside it, and the paper's value where any row has one."""
    columns = [Column("n_frames", "frames"), Column("n_coefficients_offset_removed", "p")]
    for metric in METRICS:
        columns.append(Column(metric, _short_title(metric), 2, with_std=True))
        closes = metric.endswith("_linear_baseline") or metric.startswith("force")
        raw = metric.removesuffix("_linear_baseline")
        paper = f"{raw}_paper"
        if closes and any(row.get(paper) is not None for row in rows):
            columns.append(Column(paper, f"{_short_title(raw)}, {heading}", 2, with_std=True))
    return columns


def _short_title(metric: str) -> str:
    """Such as ``E MAE, offset removed`` for ``energy_mae_mev_per_atom_offset_removed``."""
    kind = "E" if metric.startswith("energy") else "F"
    mean = "MAE" if "_mae_" in metric else "RMSE"
    ending = next(
        text for suffix, text in reversed(_SUFFIX_TITLES.items()) if metric.endswith(suffix)
    )
    return f"{kind} {mean}{ending}"


def _named(values: dict[str, Any]) -> dict[str, Any]:
    return {name: shown(value) for name, value in values.items()}


def _table1_paper(values: dict[str, Any]) -> dict[str, float | None]:
    dataset, paradigm, size = (str(values[name]) for name in ("dataset", "paradigm", "size"))
    row: dict[str, float | None] = {}
    for metric in reference_values.PAPER_KEYS:
        mean, deviation = reference_values.table1_value(dataset, paradigm, size, metric)
        row |= {f"{metric}_paper": mean, f"{metric}_paper_std": deviation}
    return row


def _table2_paper(elements: list[str], protocol: str) -> dict[str, float | None]:
    """The paper's values for an element, or their mean and deviation over several.

    A mean over fewer elements than ours would not compare, so there is none.
    """
    row: dict[str, float | None] = {}
    for metric in reference_values.PAPER_KEYS:
        found = [reference_values.table2_value(element, protocol, metric) for element in elements]
        values = pd.Series([] if None in found else found, dtype=float)
        row[f"{metric}_paper"] = float(values.mean()) if len(values) else None
        row[f"{metric}_paper_std"] = float(values.std(ddof=1)) if len(values) > 1 else None
    return row

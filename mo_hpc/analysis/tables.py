"""The tables of a run.

Which tables there are follows from the tasks: IID tasks make the paper's Table 1, folds of held-out
elements Table 2 for each combination of settings, one comparison of them all, and what their energy
errors are made of and follow; few-shot folds their curves as a table, splits both by trajectory
and by frame a comparison, and several seeds of a fold a committee.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from mo_hpc.analysis.aggregate import SUFFIXES, mean_and_std
from mo_hpc.analysis.check_tables import check_tables
from mo_hpc.analysis.committees import committee_tables
from mo_hpc.analysis.difficulty_tables import difficulty_tables
from mo_hpc.analysis.energy_relation_tables import energy_relation_tables
from mo_hpc.analysis.error_columns import short_title
from mo_hpc.analysis.error_part_tables import error_part_tables, read_folds
from mo_hpc.analysis.few_shot import few_shot_tables
from mo_hpc.analysis.iid_tables import iid_table
from mo_hpc.analysis.images import mixed_images
from mo_hpc.analysis.label_tables import label_tables
from mo_hpc.analysis.lodo_tables import comparison_table, lodo_tables
from mo_hpc.analysis.new_element_tables import new_element_tables
from mo_hpc.analysis.notes import caption, notes
from mo_hpc.analysis.paradigm_ratios import paradigm_ratio_tables
from mo_hpc.analysis.policy_tables import policy_tables
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.settings import LODO, NEW_ELEMENTS, groups, settings_of
from mo_hpc.analysis.split_comparison import split_tables
from mo_hpc.analysis.table import Column, Table


def make_tables(records: RunRecords) -> list[Table]:
    """All tables of a run, those of most interest first."""
    tables = _training_tables(records) if len(records.frame) else []
    tables.extend(label_tables(records))
    tables.extend(check_tables(records))
    mixed = mixed_images(records)
    return [replace(table, notes=(*table.notes, *mixed)) for table in tables]


def _training_tables(records: RunRecords) -> list[Table]:
    frame = records.frame
    settings = settings_of(frame, [task.axes for task in records.manifest.tasks])
    results = frame[~frame["is_foundation"]]
    iid = results[results["protocol"] == "iid"]
    lodo = results[results["protocol"].isin(LODO)]
    tables = []
    if len(iid):
        tables.append(iid_table(records, iid, settings))
        tables.extend(paradigm_ratio_tables(records, iid, settings))
    if len(lodo):
        tables.append(comparison_table(records, lodo, settings))
        tables.extend(lodo_tables(records, lodo, settings))
        tables.extend(policy_tables(records, lodo, settings))
        folds = read_folds(records, lodo, settings)
        tables.extend(error_part_tables(records, lodo, settings, folds))
        tables.extend(energy_relation_tables(records, lodo, settings, folds))
        tables.extend(difficulty_tables(records, lodo, settings))
    new = results[results["protocol"].isin(NEW_ELEMENTS)]
    if len(new):
        tables.extend(new_element_tables(records, new, settings))
    few_shot = results[results["protocol"] == "few_shot"]
    if len(few_shot):
        tables.extend(few_shot_tables(records, few_shot, settings))
    tables.extend(split_tables(records, results, settings))
    tables.extend(committee_tables(records, results, settings))
    if frame["is_foundation"].any():
        tables.append(foundation_table(records, frame[frame["is_foundation"]]))
    return tables


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
    energies = ["energy_mae_mev_per_atom" + suffix for suffix in SUFFIXES]
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
            *(Column(metric, short_title(metric), 2) for metric in energies),
            Column("force_mae_mev_per_ang_component", "F MAE", 2),
        ),
        rows=tuple(rows),
        notes=notes(
            records, frame, "The test frames belong to the set that each model was trained on."
        ),
    )

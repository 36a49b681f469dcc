"""Which figures a run has, and writing them: PDF for print, PNG for the report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mo_hpc.analysis.calibration_curves import calibration_curves
from mo_hpc.analysis.check_plots import check_figures
from mo_hpc.analysis.committees import committee_tasks, read_committees
from mo_hpc.analysis.difficulty_plot import difficulty_plot
from mo_hpc.analysis.difficulty_tables import measured_difficulty, with_enough_elements
from mo_hpc.analysis.few_shot import thresholds_of
from mo_hpc.analysis.few_shot_curves import few_shot_curves, few_shot_selections
from mo_hpc.analysis.figure_files import FigureFile, Study, figure_caption, named_by
from mo_hpc.analysis.learning_curves import Curve, learning_curves
from mo_hpc.analysis.lodo_bars import lodo_bars
from mo_hpc.analysis.new_element_figures import new_element_figures
from mo_hpc.analysis.parity import Fold, energy_parity, force_parity
from mo_hpc.analysis.predicted import test_predictions
from mo_hpc.analysis.records import NONE, RunRecords
from mo_hpc.analysis.representative_figures import representative_figures
from mo_hpc.analysis.selections import selection_settings, with_start
from mo_hpc.analysis.settings import (
    LODO,
    NEW_ELEMENTS,
    SELECTION,
    SHOTS,
    groups,
    ordered,
    settings_of,
    shown,
    varying,
)
from mo_hpc.core.files import digest, read_lines, sha256_file

_ROWS_OF_FORCES = ("paradigm", "energy_reference")


def figures_of(records: RunRecords) -> list[FigureFile]:
    """The figures that there are results for.

    What they are called follows from all tasks of the run, done or not, so that a partial
    collection and the final one use the same names.
    """
    return [
        *(_training_figures(records) if len(records.frame) else []),
        *check_figures(records),
    ]


def _training_figures(records: RunRecords) -> list[FigureFile]:
    frame = records.frame
    settings = settings_of(frame, [task.axes for task in records.manifest.tasks])
    results = frame[~frame["is_foundation"]]
    return [
        *_lodo_figures(records, results[results["protocol"].isin(LODO)], settings),
        # One of them for each number of shots would say less than their curve.
        *_force_figures(records, results[results["protocol"] != "few_shot"], settings),
        *representative_figures(records, results[results["protocol"] == "iid"], settings),
        *new_element_figures(records, results[results["protocol"].isin(NEW_ELEMENTS)], settings),
        *_few_shot_figures(records, results[results["protocol"] == "few_shot"], settings),
        *_committee_figures(records, results, settings),
        *_curve_figures(records, frame[frame["paradigm"] != "zero_shot"], settings),
    ]


def drawn_from(records: RunRecords, figures: Sequence[FigureFile]) -> dict[str, str]:
    """Hashes of all that figures depend on: what tasks left, the code that draws, literature."""
    here = Path(__file__).parent
    parts = sorted([*here.glob("*.py"), *here.glob("reference/*.csv")])
    found = {path.name: sha256_file(path) for path in parts}
    found["thresholds"] = records.manifest.thresholds.model_dump_json()
    rows = pd.util.hash_pandas_object(records.frame, index=False)
    found["tasks"] = hashlib.sha256(rows.to_numpy().tobytes()).hexdigest()
    found |= {task_id: digest(each.model_dump()) for task_id, each in records.others.items()}
    for task_id in sorted({task_id for figure in figures for task_id in figure.tasks}):
        task = records.run.task(task_id)
        found[f"{task_id}/{task.predictions.name}"] = records.records[task_id].predictions_sha256
        if task.progress.exists():
            found[f"{task_id}/{task.progress.name}"] = sha256_file(task.progress)
    return found


def _lodo_figures(
    records: RunRecords, frame: pd.DataFrame, settings: Sequence[str]
) -> Iterator[FigureFile]:
    """Bars, energy parity and expected difficulty for each combination of settings."""
    naming = varying(frame, settings) or ["paradigm"]
    energies = "Energies of held-out elements, errors in meV/atom"
    for values, tasks in groups(frame, settings):
        study = Study(records, tasks, values, naming)
        bars = "Errors by held-out element"
        yield from study.figure("lodo_bars", bars, lodo_bars, one_by_one=False)
        yield from study.figure("energy_parity", energies, partial(_draw_energies, records))
        if len(with_enough_elements(tasks)):
            text = "Errors of held-out elements against their expected difficulty"
            draw = partial(_draw_difficulty, records)
            yield from study.figure("difficulty", text, draw, one_by_one=False)


def _force_figures(
    records: RunRecords, frame: pd.DataFrame, settings: Sequence[str]
) -> Iterator[FigureFile]:
    """Paradigms in rows; a zero-shot model has no energy policy and joins every one."""
    across = ["protocol", *(each for each in settings if each not in _ROWS_OF_FORCES)]
    naming = [*(varying(frame, across) or ["protocol"]), "energy_reference"]
    text = "Forces by component, test frames pooled"
    for values, tasks in groups(frame, across):
        policies = set(tasks["energy_reference"]) - {NONE}
        for policy in ordered(list(policies)) or [NONE]:
            chosen = tasks[tasks["energy_reference"].isin([policy, NONE])]
            study = Study(records, chosen, values | {"energy_reference": policy}, naming)
            yield from study.figure("force_parity", text, partial(_draw_forces, records))


def _few_shot_figures(
    records: RunRecords, frame: pd.DataFrame, settings: Sequence[str]
) -> Iterator[FigureFile]:
    """One figure for each combination of settings, beside the untrained foundation if any."""
    untrained = frame[(frame["paradigm"] == "zero_shot") & (frame["state"] == "done")]
    trained = frame[frame["paradigm"] != "zero_shot"]
    settings = selection_settings(trained, settings)
    trained = with_start(trained, settings)
    across = [name for name in settings if name != SELECTION]
    shared = [name for name in across if name not in _ROWS_OF_FORCES]
    naming = varying(trained, across) or ["paradigm"]
    thresholds = thresholds_of(records)
    text = "Errors on a new element against its structures in training"
    for values, tasks in groups(trained, across):
        alike = (untrained[shared] == pd.Series(values)[shared]).all(axis=1)
        curves = few_shot_selections if SELECTION in settings else few_shot_curves
        draw = partial(curves, zero_shot=untrained[alike], thresholds=thresholds)
        study = Study(records, tasks, values, naming)
        yield from study.figure("few_shot", text, draw, one_by_one=False)


def _committee_figures(
    records: RunRecords, frame: pd.DataFrame, settings: Sequence[str]
) -> Iterator[FigureFile]:
    """One figure for each combination of settings in which folds have enough seeds."""
    naming = [*(varying(frame, settings) or ["paradigm"]), SHOTS]
    text = "Error of a committee of seeds against its spread, bins of equal number"
    for values, tasks in groups(frame, [*settings, SHOTS]):
        chosen = committee_tasks(tasks, settings)
        if chosen:
            members = pd.concat([rows for _, rows in chosen])
            name, description = named_by(values, naming if tasks[SHOTS].any() else naming[:-1])
            yield FigureFile(
                folder=records.run.figures,
                name=f"committee_{name}",
                caption=figure_caption(records, members, f"{text}: {description}"),
                tasks=tuple(members["task_id"]),
                draw=partial(_draw_committees, records, chosen),
            )


def _draw_committees(
    records: RunRecords, chosen: Sequence[tuple[Mapping[str, Any], pd.DataFrame]]
) -> Figure:
    return calibration_curves(read_committees(records, chosen))


def _curve_figures(
    records: RunRecords, frame: pd.DataFrame, settings: Sequence[str]
) -> Iterator[FigureFile]:
    """One figure for each stage and policy; paradigms in columns."""
    across = [name for name in settings if name != "paradigm"]
    naming = varying(frame, across) or ["stage"]
    text = "Validation errors during training"
    for values, tasks in groups(frame, across):
        study = Study(records, tasks, values, naming)
        yield from study.figure("learning_curves", text, partial(_draw_curves, records))


def _draw_forces(records: RunRecords, frame: pd.DataFrame) -> Figure:
    return force_parity(
        [
            (shown(values["paradigm"]), test_predictions(records, tasks))
            for values, tasks in groups(frame, ["paradigm"])
        ]
    )


def _draw_energies(records: RunRecords, frame: pd.DataFrame) -> Figure:
    return energy_parity(_folds(records, frame))


def _draw_difficulty(records: RunRecords, frame: pd.DataFrame) -> Figure:
    return difficulty_plot(
        {
            str(values["protocol"]): measured_difficulty(records, tasks)
            for values, tasks in groups(with_enough_elements(frame), ["protocol"])
        }
    )


def _draw_curves(records: RunRecords, frame: pd.DataFrame) -> Figure:
    return learning_curves([_curve(records, row) for row in frame.to_dict("records")])


def _curve(records: RunRecords, row: Mapping[Any, Any]) -> Curve:
    task_id = str(row["task_id"])
    training = records.records[task_id].training
    return Curve(
        panel=str(row["paradigm"]),
        protocol=str(row["protocol"]),
        epochs=read_lines(records.run.task(task_id).progress),
        best_epoch=training.best_epoch if training else 0,
    )


def _folds(records: RunRecords, frame: pd.DataFrame) -> list[Fold]:
    column = "energy_mae_mev_per_atom_offset_removed"
    folds = []
    for values, tasks in groups(frame, ["protocol", "element"]):
        removed = pd.to_numeric(tasks[column]).dropna()
        folds.append(
            Fold(
                protocol=str(values["protocol"]),
                element=str(values["element"]),
                predictions=tuple(test_predictions(records, tasks)),
                offset_removed_mae_mev_per_atom=float(removed.mean()) if len(removed) else None,
            )
        )
    return folds

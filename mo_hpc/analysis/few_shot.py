"""Few-shot tables: errors on a new element against the number of its structures in training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from mo_hpc.analysis.aggregate import counts, mean_and_std, span
from mo_hpc.analysis.error_columns import MEAN_ABSOLUTE_ERRORS
from mo_hpc.analysis.notes import UNITS, caption, missing_cells, notes
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.selections import MEANING, selection_settings, with_start
from mo_hpc.analysis.settings import AVERAGED, SELECTION, SHOTS, groups, shown, title, varying
from mo_hpc.analysis.table import Column, Table
from mo_hpc.metrics.few_shot import mean_curve, shots_needed

THRESHOLD_UNITS = {
    "energy_mae_mev_per_atom": "meV/atom",
    "energy_mae_mev_per_atom_offset_removed": "meV/atom",
    "force_mae_mev_per_ang_component": "meV/Å",
}
_CROSSING = (
    f"{UNITS} N: the smallest number tried from which on the error stays at or below the "
    "threshold; for the mean over choices, at the numbers that all of them have, and for each "
    "choice by itself."
)
_CHOICES = (
    "Mean ± sample standard deviation over n tasks, each with {another} (a structure is a whole "
    "trajectory where splits are grouped) or another seed; frames: test frames of each, the same "
    "for every N of one choice; shot frames: training frames that hold the element."
)


def few_shot_tables(
    records: RunRecords, frame: pd.DataFrame, settings: list[str]
) -> Iterator[Table]:
    """The errors at every number of structures, and where they meet the grid's thresholds.

    Args:
        records: The run.
        frame: Its few-shot tasks, one row each.
        settings: Settings that tell studies apart.
    """
    settings = selection_settings(frame, settings)
    frame = with_start(frame, settings)
    always = ("paradigm", SELECTION)
    naming = [name for name in settings if name in (*always, *varying(frame, settings))]
    leading = tuple(Column(name, title(name)) for name in naming)
    yield _curve_table(records, frame, settings, leading)
    trained = frame[frame["paradigm"] != "zero_shot"]
    if thresholds_of(records) and len(trained):
        yield _threshold_table(records, trained, settings, leading)


def thresholds_of(records: RunRecords) -> dict[str, float]:
    """The thresholds that the grid names: metric → largest accepted error."""
    named = records.manifest.thresholds.model_dump()
    return {metric: value for metric, value in named.items() if value is not None}


def _curve_table(
    records: RunRecords, frame: pd.DataFrame, settings: list[str], leading: tuple[Column, ...]
) -> Table:
    rows: list[dict[str, Any]] = []
    rules = set()
    for study, tasks in groups(frame, [*settings, "element"]):
        rules.add(len(rows))
        named = {name: shown(value) for name, value in study.items()}
        for point, chosen in groups(tasks, ["element", SHOTS]):
            rows.append(named | point | counts(chosen) | _trained_on(chosen) | mean_and_std(chosen))
    return Table(
        name="few_shot",
        title=caption(records, "Errors on a new element against its structures in training"),
        columns=(
            *leading,
            Column("element", "element"),
            Column(SHOTS, "N"),
            Column("n_done", "n"),
            Column("n_shot_frames", "shot frames"),
            Column("n_train", "train"),
            Column("n_frames", "frames"),
            Column("n_coefficients_offset_removed", "p"),
            *(
                Column(metric, heading, 2, with_std=True)
                for metric, heading in MEAN_ABSOLUTE_ERRORS.items()
            ),
        ),
        rows=tuple(rows),
        notes=notes(records, frame.drop_duplicates("task_id"), _choices(settings)),
        rules=frozenset(rules),
    )


def _choices(settings: list[str]) -> str:
    if SELECTION not in settings:
        return _CHOICES.format(another="another random choice of the N structures")
    return f"{_CHOICES.format(another='another set of structures to choose from')} {MEANING}"


def _trained_on(tasks: pd.DataFrame) -> dict[str, Any]:
    done = tasks[tasks["state"] == "done"]
    if done.empty:
        return {"n_shot_frames": None, "n_train": None}
    return {
        "n_shot_frames": span(done["n_train_with_held_out_element"]),
        "n_train": span(done["n_train"]),
    }


def _threshold_table(
    records: RunRecords, frame: pd.DataFrame, settings: list[str], leading: tuple[Column, ...]
) -> Table:
    rows = [
        {name: shown(value) for name, value in study.items()}
        | {
            "error": MEAN_ABSOLUTE_ERRORS[metric],
            "threshold": f"{limit:g} {THRESHOLD_UNITS[metric]}",
        }
        | _crossing(tasks[tasks["state"] == "done"], metric, limit)
        for study, tasks in groups(frame, [*settings, "element"])
        for metric, limit in thresholds_of(records).items()
    ]
    return Table(
        name="few_shot_thresholds",
        title=caption(records, "Structures of a new element that an error takes to a threshold"),
        columns=(
            *leading,
            Column("element", "element"),
            Column("error", "error"),
            Column("threshold", "at most"),
            Column("shots_of_mean", "N of the mean"),
            Column("n_meeting", "choices that meet it"),
            Column("shots_of_choices", "their N"),
            Column("largest_shots", "largest N"),
        ),
        rows=tuple(rows),
        notes=(_CROSSING, *missing_cells(records, frame.drop_duplicates("task_id"))),
    )


def _crossing(done: pd.DataFrame, metric: str, limit: float) -> dict[str, Any]:
    """Where a curve meets a threshold: its mean, and each random choice by itself."""
    defined = done.dropna(subset=metric) if metric in done else done.iloc[:0]
    if defined.empty:
        return dict.fromkeys(("shots_of_mean", "n_meeting", "shots_of_choices", "largest_shots"))
    choices = [_curve(rows, metric) for _, rows in groups(defined, AVERAGED)]
    of_choices = [shots_needed(curve, limit) for curve in choices]
    meeting = pd.Series([shots for shots in of_choices if shots is not None], dtype=float)
    return {
        "shots_of_mean": _of_mean(mean_curve(choices), limit),
        "n_meeting": f"{len(meeting)} of {len(choices)}",
        "shots_of_choices": span(meeting),
        "largest_shots": max(shots for curve in choices for shots in curve),
    }


def _of_mean(curve: dict[int, float], limit: float) -> int | str | None:
    if not curve:
        return None
    needed = shots_needed(curve, limit)
    return f"above {max(curve)}" if needed is None else needed


def _curve(rows: pd.DataFrame, metric: str) -> dict[int, float]:
    means = pd.to_numeric(rows[metric]).groupby(rows[SHOTS].astype(int)).mean()
    return {int(shots): float(mean) for shots, mean in means.items()}  # type: ignore[call-overload]

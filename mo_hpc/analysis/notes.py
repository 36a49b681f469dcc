"""The sentences below a table: what is averaged, what the labels are, what is missing."""

from __future__ import annotations

import pandas as pd

from mo_hpc.analysis.leakage import seen_by_foundation
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.settings import groups, ordered

UNITS = "Energies in meV/atom, forces in meV/Å by Cartesian component; test frames only."
DIAGNOSTICS = (
    "Offset removed: what is left after a minimum-norm linear fit of the errors, one coefficient "
    "per element and host, on the test frames themselves (a diagnostic that uses test labels); "
    "p is the number of coefficients that the frames determine."
)

_SPLITS = {
    True: "grouped, all frames of a trajectory are on one side",
    False: (
        "not grouped, as in the paper: random over frames, so frames of one trajectory may be on "
        "both sides, which makes errors look smaller than they are on new structures"
    ),
}


def caption(records: RunRecords, text: str) -> str:
    """A caption, which says of a run that is incomplete how much of it there is."""
    if not records.missing:
        return text
    return f"{text} (partial: {records.n_done} of {records.n_tasks} tasks)"


def notes(records: RunRecords, frame: pd.DataFrame, averaged: str) -> tuple[str, ...]:
    """The notes of a table of energy and force errors.

    Args:
        records: The run.
        frame: The tasks behind the table, one row each.
        averaged: The sentence on what is averaged over how many.
    """
    return (
        f"{UNITS} {averaged}",
        DIAGNOSTICS,
        _baseline(frame),
        *_undefined(frame),
        *origin_and_missing(records, frame),
    )


def named_labels(labels: str, *, synthetic: bool) -> str:
    """What computed the labels, with the word synthetic where they are."""
    return f"{labels} (synthetic)" if synthetic and "synthetic" not in labels else labels


def origin(frame: pd.DataFrame) -> list[str]:
    """What computed the labels, what the foundation is and saw, and how frames were divided."""
    lines = []
    for values, _ in groups(frame, ["dataset", "labels", "synthetic"]):
        synthetic = bool(values["synthetic"])
        labels = named_labels(str(values["labels"]), synthetic=synthetic)
        nature = ", not from first principles" if synthetic else ""
        lines.append(f"Labels of {values['dataset']}: {labels}{nature}.")
    if frame["stand_in"].any():
        lines.append(
            "Foundation: a stand-in trained within this suite, not a published foundation model."
        )
    lines.extend(seen_by_foundation(frame))
    earlier = ", ".join(frame.loc[frame["earlier_foundation"], "task_id"])
    if earlier:
        lines.append(f"Made from an earlier version of its foundation: {earlier}.")
    kinds = (_SPLITS[bool(grouped)] for grouped in ordered(list(frame["grouped"])))
    lines.append(f"Splits: {'; '.join(kinds)}.")
    return lines


def origin_and_missing(records: RunRecords, frame: pd.DataFrame) -> tuple[str, ...]:
    """The sentences of `origin`, then the tasks without a record."""
    return (*origin(frame), *missing_cells(records, frame))


def missing_cells(records: RunRecords, frame: pd.DataFrame) -> list[str]:
    """The tasks of a table that have no record, each with its reason."""
    absent = set(frame.loc[frame["state"] != "done", "task_id"])
    named = [str(task).splitlines()[0] for task in records.missing if task.id in absent]
    return [f"Missing, {len(named)} of {len(frame)} tasks: {'; '.join(named)}."] if named else []


def _baseline(frame: pd.DataFrame) -> str:
    text = (
        "Linear baseline: no network, one energy per element and host fitted to the training "
        "frames only"
    )
    if "n_frames_uncovered_by_train" not in frame:
        return f"{text}."
    uncovered = int(frame["n_frames_uncovered_by_train"].sum())
    if not uncovered:
        return f"{text}; training covers every element of every test frame."
    total = int(frame["n_frames"].sum())
    return (
        f"{text}; an element that training lacks in that host counts 0 there, which concerns "
        f"{uncovered} of {total} test frames."
    )


def _undefined(frame: pd.DataFrame) -> list[str]:
    column = "energy_mae_mev_per_atom_offset_removed"
    done = frame[frame["state"] == "done"]
    lines = []
    empty = int(done[column].isna().sum()) if column in done else 0
    if empty:
        lines.append(
            f"Offset removed is undefined in {empty} of {len(done)} tasks, where in no host the "
            "test frames outnumber the coefficients; means are over the others."
        )
    if "n_frames_offset_removed" in done:
        counted = done.dropna(subset="n_frames_offset_removed")
        total = int(counted["n_frames"].sum())
        left_out = total - int(counted["n_frames_offset_removed"].sum())
        if left_out:
            lines.append(
                f"Offset removed leaves out {left_out} of {total} test frames, those of hosts "
                "where the frames do not outnumber the coefficients."
            )
    return lines

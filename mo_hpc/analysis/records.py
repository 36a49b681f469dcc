"""The records of a run, its trainings as one table: a row for each, done or not."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mo_hpc.analysis.leakage import audit_columns
from mo_hpc.analysis.settings import AVERAGED, FOLD, SELECTION, SETTINGS, SHOTS
from mo_hpc.core.errors import WorkIncomplete
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.record import Record, TrainRecord, read_task
from mo_hpc.core.task import TrainTask
from mo_hpc.plan.manifest import Manifest, read_manifest
from mo_hpc.plan.state import ActiveName, Diagnose, task_states

NONE = "-"
"""What a setting holds where it does not apply."""

_FLAGS = ("is_foundation", "earlier_foundation", "synthetic", "stand_in")


@dataclass(frozen=True, slots=True)
class MissingTask:
    """A task without a usable record, and why."""

    id: str
    state: str
    reason: str

    def __str__(self) -> str:
        return f"{self.id} ({self.state})" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, slots=True, eq=False)
class RunRecords:
    """What a run has produced so far.

    Attributes:
        run: Where its files are.
        manifest: What it consists of.
        frame: One row per training: settings, state, counts and metrics (missing where not
            done).
        records: Records by task id, of the trainings that are done.
        missing: Tasks without a usable record, and records that belong to no task.
        others: Records by task id, of the tasks of other kinds that are done.
    """

    run: RunPaths
    manifest: Manifest
    frame: pd.DataFrame
    records: Mapping[str, TrainRecord]
    missing: tuple[MissingTask, ...]
    others: Mapping[str, Record] = field(default_factory=dict)

    @property
    def n_tasks(self) -> int:
        """Tasks in the manifest."""
        return len(self.manifest.tasks)

    @property
    def n_done(self) -> int:
        """Tasks with a usable record."""
        return len(self.records) + len(self.others)

    @property
    def from_earlier_foundations(self) -> list[str]:
        """Tasks made from a model that its own task has replaced since."""
        return [str(task) for task in self.frame.loc[self.frame["earlier_foundation"], "task_id"]]

    def require_complete(self) -> None:
        """Refuses a run in which anything is missing.

        Raises:
            WorkIncomplete: Naming every task that is missing, and why.
        """
        if self.missing:
            lines = "\n".join(f"  {task}" for task in self.missing)
            raise WorkIncomplete(
                f"The run is incomplete: {self.n_done} of {self.n_tasks} tasks are done.\n"
                f"{lines}\n"
                "Nothing was written. Tables of what there is: add --partial."
            )


def read_run(run: RunPaths, active: Mapping[str, ActiveName], diagnose: Diagnose) -> RunRecords:
    """Reads all records of a run and compares them with its manifest.

    A record that is cut short, of another schema or of another task counts as missing.

    Args:
        run: The run.
        active: The tasks under way.
        diagnose: Says why a task is not done.

    Raises:
        UserError: If the manifest or a task's specification cannot be read.
    """
    manifest = read_manifest(run)
    found: dict[str, Record] = {}
    makers = {needed for task in manifest.tasks for needed in task.needs}
    with _without_garbage_search():
        states = task_states(run, manifest, active, diagnose, records=found)
        records = {key: each for key, each in found.items() if isinstance(each, TrainRecord)}
        tasks = (read_task(run.task(task.id)) for task in manifest.tasks)
        rows = [
            {"task_id": task.id, "state": states[task.id].name} | _row(task, records, makers)
            for task in tasks
            if isinstance(task, TrainTask)
        ]
    missing = [
        MissingTask(task_id, state.name, state.reason)
        for task_id, state in states.items()
        if state.name != "done"
    ]
    missing.extend(_foreign(run, manifest))
    others = {key: each for key, each in found.items() if key not in records}
    return RunRecords(run, manifest, _frame(rows), records, tuple(missing), others)


@contextmanager
def _without_garbage_search() -> Iterator[None]:
    """Saves Python from looking for garbage, now and later, among what is made here and stays."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _foreign(run: RunPaths, manifest: Manifest) -> list[MissingTask]:
    """Records in the run's folder that the manifest does not list."""
    known = {task.id for task in manifest.tasks}
    return [
        MissingTask(task.folder.name, "foreign", "The manifest does not list this task.")
        for task in run.task_folders()
        if task.folder.name not in known and task.metrics.exists()
    ]


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The rows; where nothing is trained there are none, but the columns that tables look at."""
    if rows:
        return pd.DataFrame(rows)
    names = ("task_id", "state", "labels", *SETTINGS, *FOLD, *AVERAGED, SHOTS, SELECTION)
    columns = {name: pd.Series(dtype=object) for name in names}
    return pd.DataFrame(columns | {name: pd.Series(dtype=bool) for name in _FLAGS})


def _row(task: TrainTask, records: Mapping[str, TrainRecord], makers: set[str]) -> dict[str, Any]:
    record = records.get(task.id)
    row = _settings(task) | {
        "is_foundation": task.id in makers,
        "earlier_foundation": record is not None and _is_of_earlier_foundation(record, records),
    }
    return row | _labels(task) | (_results(record) if record is not None else {})


def _is_of_earlier_foundation(record: TrainRecord, records: Mapping[str, TrainRecord]) -> bool:
    """Whether the task that made the record's foundation has made another model since."""
    foundation = record.foundation
    if foundation is None or foundation.task_id is None:
        return False
    maker = records.get(foundation.task_id)
    hashes = {foundation.sha256, maker.model_sha256 if maker else None}
    return None not in hashes and len(hashes) > 1


def _selects(task: TrainTask) -> bool:
    """Whether some structures of a new element were taken and others left."""
    split = task.split.config
    return split.protocol == "few_shot" and split.shots > 0 and task.paradigm != "zero_shot"


def _settings(task: TrainTask) -> dict[str, Any]:
    """What tells a task from the others, with a value for every axis."""
    split = task.split.config
    known = {
        "stage": task.stage,
        "dataset": "/".join(filter(None, (task.dataset.config.name, task.dataset.subset))),
        "paradigm": task.paradigm,
        "size": task.size or NONE,
        "protocol": split.protocol,
        "element": split.element if split.element and split.protocol != "iid" else NONE,
        # A zero-shot model keeps the references it was made with.
        "energy_reference": NONE if task.paradigm == "zero_shot" else task.train.energy_reference,
        SELECTION: split.selection if _selects(task) else NONE,
        # A zero-shot model is not trained, so it has seen none.
        "shots": split.shots
        if split.protocol == "few_shot" and task.paradigm != "zero_shot"
        else 0,
        **_new_elements(task),
        "grouped": split.grouped,
        "repeat": split.repeat,
        "seed": task.train.seed,
    }
    return known | {axis: value for axis, value in task.axes.items() if axis not in known}


def _new_elements(task: TrainTask) -> dict[str, str]:
    new = task.new_elements
    return {
        "new_elements": new.weights if new else NONE,
        "new_element_energy": (new.energy_reference if new else None) or NONE,
    }


def _labels(task: TrainTask) -> dict[str, Any]:
    return {
        "host_element": task.dataset.config.host_element,
        "labels": task.dataset.config.labels,
        "synthetic": task.dataset.config.synthetic,
        "stand_in": task.foundation.is_stand_in if task.foundation else False,
    }


def _results(record: TrainRecord) -> dict[str, Any]:
    """Provenance and all metrics that are single numbers; intervals as ``…_low``, ``…_high``."""
    row: dict[str, Any] = {
        "n_parameters": record.n_parameters,
        "epochs": record.training.epochs if record.training else 0,
        "wall_time_s": record.wall_time_s,
        "image": str(record.provenance.get("image_sha256") or NONE)[:12],
        "commit": str((record.provenance.get("git") or {}).get("commit") or NONE)[:12],
        "n_train": record.split.n_train,
        "n_train_with_held_out_element": record.split.audit.n_train_with_held_out_element,
        "n_valid": record.split.n_valid,
        "n_test": record.split.n_test,
    }
    row |= audit_columns(record.split.audit)
    row |= {name: value for name, value in record.metrics.items() if not isinstance(value, dict)}
    for name, bounds in record.metrics.get("intervals_95", {}).items():
        row[f"{name}_low"], row[f"{name}_high"] = bounds or (None, None)
    return row

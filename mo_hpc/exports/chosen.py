"""The tasks whose models are exported: done, and with a model of their own. Light: opens none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from mo_hpc.core.errors import UserError
from mo_hpc.core.paths import RunPaths, TaskPaths
from mo_hpc.core.record import TrainRecord, read_task, record_if_done
from mo_hpc.core.shell import pasteable
from mo_hpc.core.task import TrainTask


@dataclass(frozen=True, slots=True, eq=False)
class ChosenModel:
    """A task's finished model.

    Attributes:
        paths: The task's files.
        task: What was asked for.
        record: What came of it.
        content: The bytes of the model file, whose sha256 is the record's.
    """

    paths: TaskPaths
    task: TrainTask
    record: TrainRecord
    content: bytes

    @property
    def sha256(self) -> str:
        """The sha256 of the model file."""
        return hashlib.sha256(self.content).hexdigest()


def chosen_models(run: RunPaths, task_ids: Sequence[str]) -> list[ChosenModel]:
    """The models of some tasks, each compared with its task's record.

    Raises:
        UserError: If a task is not done or made no model, or its file is not the recorded one.
    """
    return [_chosen(run, task_id) for task_id in task_ids]


def _chosen(run: RunPaths, task_id: str) -> ChosenModel:
    paths = run.task(task_id)
    task = read_task(paths)
    record = record_if_done(paths, task.id, task.digest)
    if isinstance(record, str):
        raise UserError(
            f"The task {task_id} is not done: its {paths.metrics.name} {record}.",
            where="task",
            remedy="See what it waits for:\n"
            + pasteable("python -m mo_hpc.status", [f"run={run.folder}"]),
        )
    if not isinstance(task, TrainTask) or not isinstance(record, TrainRecord):
        raise UserError(
            f"The task {task_id} made no model: it is of the kind '{task.kind}'.",
            where="task",
            valid=["train"],
        )
    if record.model_sha256 is None:
        raise _without_model(run, task, record)
    content = paths.model.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != record.model_sha256:
        raise UserError(
            f"The model was not opened: its sha256 is {found}.",
            where=str(paths.model),
            valid=[record.model_sha256],
            remedy=f"Remove {paths.metrics.name} beside it and launch again; the task is redone.",
        )
    return ChosenModel(paths, task, record, content)


def _without_model(run: RunPaths, task: TrainTask, record: TrainRecord) -> UserError:
    """What to say of a task that evaluated a foundation as it is."""
    foundation = record.foundation
    made_by = foundation.task_id if foundation else None
    if made_by:
        remedy = "Export what it evaluated:\n" + pasteable(
            "python -m mo_hpc.export", [f"run={run.folder}", made_by]
        )
    else:
        remedy = (
            f"It evaluated the foundation {foundation.name if foundation else '-'}; "
            "use that file as it is."
        )
    return UserError(
        f"The task {task.id} made no model of its own: its paradigm is {task.paradigm}.",
        where="task",
        remedy=remedy,
    )

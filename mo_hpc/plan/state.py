"""What became of each task: from its files first, from the scheduler second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Literal

from mo_hpc.core.failure import FailureClass
from mo_hpc.core.paths import RunPaths, TaskPaths
from mo_hpc.core.record import Record, record_if_done
from mo_hpc.plan.manifest import Manifest, ManifestTask

ActiveName = Literal["running", "queued", "requeued"]
StateName = Literal["done", ActiveName, "waiting", "failed", "blocked", "missing"]
STATES: tuple[StateName, ...] = (
    "done",
    "running",
    "queued",
    "requeued",
    "waiting",
    "failed",
    "blocked",
    "missing",
)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a task that nobody works on is not done.

    Attributes:
        failure_class: What ended it.
        reason: One sentence.
        node: Where it ran, if it began.
        attempt: The number of the attempt; 0 if there was none.
        submission: Job name of the array it was last submitted with.
        again: True if the rules submit it again.
    """

    failure_class: FailureClass
    reason: str
    node: str | None = None
    attempt: int = 0
    submission: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class TaskState:
    """The state of one task.

    Attributes:
        name: ``done``; ``running``, ``queued`` or ``requeued`` (begun, and in the queue to
            go on); ``waiting`` (the job that follows the arrays submits it, for the first
            time or again); ``failed``; ``blocked`` (a task it needs failed); ``missing``
            (nothing is under way; the next launch submits it).
        reason: One sentence, for every state that is not as it should be.
        diagnosis: What is known of the failure, if there was one.
    """

    name: StateName
    reason: str = ""
    diagnosis: Diagnosis | None = None


Diagnose = Callable[[ManifestTask], Diagnosis | None]
"""Why a task is not done; None if it never ended badly."""


def task_states(
    run: RunPaths,
    manifest: Manifest,
    active: Mapping[str, ActiveName],
    diagnose: Diagnose,
    *,
    is_followed: bool = False,
    records: MutableMapping[str, Record] | None = None,
) -> dict[str, TaskState]:
    """Derives the state of every task.

    Args:
        run: The run.
        manifest: Its manifest, tasks after the tasks they need.
        active: The tasks under way, as the executors see them.
        diagnose: Asked about tasks that are neither done, nor under way, nor blocked.
        is_followed: True if a job in the queue will submit what there is to submit.
        records: Filled with the records of the tasks that are done, by task id, which spares
            reading them again; None where nobody needs them.
    """
    states: dict[str, TaskState] = {}
    for task in manifest.tasks:
        paths = run.task(task.id)
        found = record_if_done(paths, task.id, task.digest)
        if isinstance(found, Record):
            state = TaskState("done")
            if records is not None:
                records[task.id] = found
        elif task.id in active:
            state = TaskState(active[task.id])
        else:
            state = _unattended(paths, task, found, states, diagnose)
        idle = any(states[need].name in ("missing", "failed", "blocked") for need in task.needs)
        if is_followed and not idle and _goes_by_itself(state):
            state = replace(state, name="waiting")
        states[task.id] = state
    return states


def counts(states: Mapping[str, TaskState]) -> dict[str, int]:
    """Number of tasks in each state; states nobody is in are left out."""
    found = Counter(state.name for state in states.values())
    return {name: found[name] for name in STATES if found[name]}


def _goes_by_itself(state: TaskState) -> bool:
    if state.diagnosis is None:
        return state.name == "missing"
    return state.name == "failed" and state.diagnosis.again


def _unattended(
    paths: TaskPaths,
    task: ManifestTask,
    complaint: str,
    states: Mapping[str, TaskState],
    diagnose: Diagnose,
) -> TaskState:
    broken = [needed for needed in task.needs if states[needed].name in ("failed", "blocked")]
    if broken:
        return TaskState("blocked", f"It needs {broken[0]}, which is {states[broken[0]].name}.")
    if paths.metrics.exists():
        why = complaint.rstrip(".")
        return TaskState("missing", f"Its metrics.json {why}; the task will run again.")
    diagnosis = diagnose(task)
    if diagnosis is None:
        return TaskState("missing")
    # What a person took back is no failure: it waits for the person.
    name: StateName = "missing" if diagnosis.failure_class == "cancelled" else "failed"
    return TaskState(name, diagnosis.reason, diagnosis)

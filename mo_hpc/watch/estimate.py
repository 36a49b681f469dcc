"""How long a run will still take, judged by what its tasks took so far."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mo_hpc.core.strict import Scalar
from mo_hpc.plan.manifest import ManifestTask
from mo_hpc.plan.state import TaskState
from mo_hpc.watch.cost import TaskCost
from mo_hpc.watch.progress import Progress

UNDER_WAY = ("running", "queued", "requeued")
_TELLING_AXES = ("paradigm", "size")
"""Tasks of a stage that differ in these take different times: a zero-shot task trains nothing."""

Kind = tuple[Scalar | None, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a run will still take, if it goes on as now.

    Attributes:
        total_s: Until the tasks under way have ended; None while nothing tells.
        at_once: Number of tasks that run now.
        kinds_s: Kind of task, or name of a stage → median time of a task.
        reason: Why there is no total.
    """

    total_s: float | None = None
    at_once: int = 0
    kinds_s: Mapping[Kind, float] = field(default_factory=dict)
    reason: str = ""

    def typical_s(self, task: ManifestTask) -> float | None:
        """What tasks like this take; those of its stage, where none like it tells."""
        return _typical_s(self.kinds_s, task)


def estimate(
    tasks: Sequence[ManifestTask],
    states: Mapping[str, TaskState],
    costs: Mapping[str, TaskCost],
    progress: Mapping[str, Progress],
) -> Estimate:
    """Adds up what is left of each task and divides it by the number that run at once."""
    kinds_s = _kinds_s(tasks, states, costs, progress)
    left: list[float] = []
    at_once = 0
    for task in tasks:
        name = states[task.id].name
        if name not in UNDER_WAY:
            continue
        at_once += name == "running"
        known = progress.get(task.id)
        own = known.left_s if known else None
        if own is None and (typical := _typical_s(kinds_s, task)) is not None:
            own = max(0.0, typical - costs[task.id].wall_time_s * (name != "queued"))
        if own is None:
            reason = f"no task of the stage {task.stage} tells how long it takes"
            return Estimate(at_once=at_once, kinds_s=kinds_s, reason=reason)
        left.append(own)
    if not left:
        return Estimate(kinds_s=kinds_s)
    if not at_once:
        return Estimate(kinds_s=kinds_s, reason="nothing runs at the moment")
    return Estimate(max(sum(left) / at_once, *left), at_once, kinds_s)


def _kinds_s(
    tasks: Sequence[ManifestTask],
    states: Mapping[str, TaskState],
    costs: Mapping[str, TaskCost],
    progress: Mapping[str, Progress],
) -> dict[Kind, float]:
    """Median time by kind and by stage: of tasks that are done, or else will be at this pace."""
    done: defaultdict[Kind, list[float]] = defaultdict(list)
    expected: defaultdict[Kind, list[float]] = defaultdict(list)
    for task in tasks:
        spent = costs[task.id].wall_time_s
        known = progress.get(task.id)
        for kind in (_kind(task), (task.stage,)):
            if states[task.id].name == "done":
                done[kind].append(spent)
            elif states[task.id].name == "running" and known and known.left_s is not None:
                expected[kind].append(spent + known.left_s)
    times = {**expected, **done}
    return {kind: statistics.median(each) for kind, each in times.items()}


def _kind(task: ManifestTask) -> Kind:
    return (task.stage, *(task.axes.get(axis) for axis in _TELLING_AXES))


def _typical_s(kinds_s: Mapping[Kind, float], task: ManifestTask) -> float | None:
    return kinds_s.get(_kind(task), kinds_s.get((task.stage,)))

"""One look at a run: states, progress and cost, with at most one question to the scheduler."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property

from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import RetryConfig
from mo_hpc.core.paths import RunPaths
from mo_hpc.executors.activity import Activity, activity
from mo_hpc.executors.failures.diagnosis import Diagnostician
from mo_hpc.executors.failures.evidence import AttemptAccount, all_attempts
from mo_hpc.executors.resubmission import Launcher, launcher_at_work
from mo_hpc.plan.manifest import Manifest, ManifestTask
from mo_hpc.plan.runs import read_run_config
from mo_hpc.plan.state import TaskState, task_states
from mo_hpc.watch.cost import Accountant, TaskCost
from mo_hpc.watch.estimate import UNDER_WAY, Estimate, estimate
from mo_hpc.watch.progress import Progress, read_progress

MANY_TASKS = 50
"""With more of them, those that are done are counted, not shown."""
_AT_WORK = ("running",)


@dataclass(frozen=True)
class Snapshot:
    """What is known of a run at one moment.

    Attributes:
        run: The run.
        manifest: Its manifest.
        rules: What its last launch does about failures; None if its configuration cannot be
            read, as that of an earlier version.
        taken: When, in seconds since the epoch.
        states: Task id → state.
        activity: What the locks and the queue say.
        progress: Task id → progress, of tasks that have any; with many tasks, of those that are
            not done.
        attempts: Task id → its attempts, oldest first.
        costs: Task id → what it has cost.
        launcher: The launch that is at work on the run.
    """

    run: RunPaths
    manifest: Manifest
    rules: RetryConfig | None
    taken: float
    states: dict[str, TaskState]
    activity: Activity
    progress: dict[str, Progress]
    attempts: dict[str, list[AttemptAccount]]
    costs: dict[str, TaskCost]
    launcher: Launcher | None

    @property
    def is_under_way(self) -> bool:
        """False if nothing will change by itself."""
        busy = any(state.name in UNDER_WAY for state in self.states.values())
        return busy or bool(self.activity.followers) or self.launcher is not None

    @property
    def is_done(self) -> bool:
        """True if every task is done."""
        return all(state.name == "done" for state in self.states.values())

    @cached_property
    def cost(self) -> TaskCost:
        """What the whole run has cost."""
        return sum(self.costs.values(), TaskCost())

    @cached_property
    def left(self) -> Estimate:
        """How long the tasks under way will still take."""
        return estimate(self.manifest.tasks, self.states, self.costs, self.progress)

    def node(self, task_id: str) -> str | None:
        """Where a task runs or ran last."""
        attempts = self.attempts[task_id]
        waits = self.states[task_id].name == "queued"
        return attempts[-1].node if attempts and not waits else None

    def left_s(self, task: ManifestTask) -> float | None:
        """How long one task will still take from its start or its last epoch."""
        name = self.states[task.id].name
        if name not in UNDER_WAY:
            return None
        progress = self.progress.get(task.id)
        if progress and progress.left_s is not None:
            return progress.left_s
        return self.left.typical_s(task) if name != "running" else None

    def with_new_progress(self) -> Snapshot:
        """The same with the epochs that have ended since; asks no scheduler."""
        at_work = {id_ for id_, state in self.states.items() if state.name in _AT_WORK}
        newer = {id_: read_progress(self.run.task(id_)) for id_ in at_work}
        found = {id_: progress for id_, progress in newer.items() if progress}
        return replace(self, progress={**self.progress, **found})


def rules_of(run: RunPaths) -> RetryConfig | None:
    """The rules for failures of a run's last launch, None if they cannot be read."""
    try:
        return read_run_config(run).retry
    except UserError:
        return None


def take(run: RunPaths, manifest: Manifest, rules: RetryConfig | None) -> Snapshot:
    """Looks at a run: its files, and the queue once if it has submissions.

    Raises:
        UserError: If the run has Slurm submissions and Slurm does not answer.
    """
    now = time.time()
    found = activity(run)
    diagnose = Diagnostician(run, rules)
    followed = bool(found.followers)
    states = task_states(run, manifest, found.tasks, diagnose, is_followed=followed)
    accountant = Accountant(run, now)
    attempts, costs, progress = {}, {}, {}
    for task_id, state in states.items():
        paths = run.task(task_id)
        attempts[task_id] = all_attempts(paths)
        at_work = state.name in _AT_WORK
        costs[task_id] = accountant.task(paths, attempts[task_id], at_work=at_work)
        is_shown = state.name != "done" or len(states) <= MANY_TASKS
        if is_shown and (known := read_progress(paths)):
            progress[task_id] = known
    launcher = launcher_at_work(run)
    return Snapshot(run, manifest, rules, now, states, found, progress, attempts, costs, launcher)

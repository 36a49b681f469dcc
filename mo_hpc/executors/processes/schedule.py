"""The order in which tasks start, and when they stop: the same wherever they run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mo_hpc.core.errors import EXIT_DONE, EXIT_INCOMPLETE, EXIT_REQUEUE
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.task import TaskSpec
from mo_hpc.executors.completion import unmet_needs
from mo_hpc.executors.display import TaskDisplay
from mo_hpc.executors.processes.stop_requests import StopRequests

_POLL_S = 0.5


class Workplace(Protocol):
    """Where tasks run: processes of this machine, or the ranks of an MPI job."""

    def start(self, task: TaskSpec) -> bool:
        """Starts a task, unless there is no room for it now (False)."""
        ...

    def wait(self, timeout_s: float) -> list[tuple[TaskSpec, int]]:
        """The tasks that have ended with their exit statuses; waits so long for the first."""
        ...

    def stop(self, *, kill: bool) -> None:
        """Asks the tasks at work to save their state and end, or ends them at once."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """What bounds a schedule.

    Attributes:
        max_requeues: How often a task that saved its state by itself is started again.
        ends_at: When everything here is killed (seconds since the epoch); None: never.
        warning_s: So long before that the tasks at work are asked to stop.
        kill_when_asked_again: A second request to stop ends the tasks without saving: for a
            person who does not want to wait.
    """

    max_requeues: int
    ends_at: float | None = None
    warning_s: float = 0.0
    kill_when_asked_again: bool = False

    def time_left_s(self) -> float:
        """Seconds until the tasks at work are asked to stop."""
        if self.ends_at is None:
            return float("inf")
        return self.ends_at - self.warning_s - time.time()


@dataclass(slots=True)
class Outcome:
    """What became of the tasks.

    Attributes:
        codes: Exit status of each task that has ended for good; 1 for one that can never
            start, because what it needs has failed.
        left: Tasks that can go on another time: not started, or stopped with their state
            saved.
        stopped: True if that is because of a request to stop or the end of the time.
    """

    codes: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    stopped: bool = False

    @property
    def all_done(self) -> bool:
        """True if nothing failed and nothing is left."""
        return not self.left and all(code == EXIT_DONE for code in self.codes.values())


class Schedule:
    """The tasks that wait and those at work."""

    def __init__(
        self, run: RunPaths, workplace: Workplace, display: TaskDisplay, bounds: Bounds
    ) -> None:
        self._run = run
        self._workplace = workplace
        self._display = display
        self._bounds = bounds
        self._waiting: dict[str, TaskSpec] = {}
        self._started_at: dict[str, float] = {}
        self._starts: dict[str, int] = {}
        self._longest_s = 0.0
        self._outcome = Outcome()

    def work(self, tasks: Sequence[TaskSpec], requests: StopRequests) -> Outcome:
        """Works until all tasks have ended, or those at work after a request or the deadline.

        Args:
            tasks: The tasks to run, each after the tasks it needs.
            requests: Counts up while this runs.
        """
        self._waiting = {task.id: task for task in tasks}
        stopping, killed = False, False
        while True:
            if not stopping and (requests.count or self._bounds.time_left_s() <= 0):
                self._outcome.stopped = stopping = True
                self._workplace.stop(kill=False)
            if requests.count > 1 and self._bounds.kill_when_asked_again and not killed:
                killed = True
                self._workplace.stop(kill=True)
            if not stopping:
                self._start_ready()
            if not self._started_at:
                break
            self._display.running(list(self._started_at))
            for task, code in self._workplace.wait(_POLL_S):
                self._take_back(task, code, stopping=stopping)
        self._outcome.left += self._waiting
        return self._outcome

    def _start_ready(self) -> None:
        """Starts what can start and settles what never will."""
        for task in list(self._waiting.values()):
            unmet = unmet_needs(self._run.task(task.id), task)
            if unmet:
                if not any(self._can_come(need) for need in unmet):
                    del self._waiting[task.id]
                    self._settle(task, EXIT_INCOMPLETE)
                continue
            if self._longest_s > self._bounds.time_left_s():
                self._outcome.stopped = True
                return
            if not self._workplace.start(task):
                return
            del self._waiting[task.id]
            self._started_at[task.id] = time.monotonic()
            self._starts[task.id] = self._starts.get(task.id, 0) + 1

    def _can_come(self, task_id: str) -> bool:
        return (
            task_id in self._waiting or task_id in self._started_at or task_id in self._outcome.left
        )

    def _take_back(self, task: TaskSpec, code: int, *, stopping: bool) -> None:
        wall_s = time.monotonic() - self._started_at.pop(task.id)
        if code != EXIT_REQUEUE:
            self._longest_s = max(self._longest_s, wall_s)
        elif not stopping and self._starts[task.id] <= self._bounds.max_requeues:
            self._waiting = {task.id: task, **self._waiting}
            return
        self._settle(task, code)

    def _settle(self, task: TaskSpec, code: int) -> None:
        if code == EXIT_REQUEUE:
            self._outcome.left.append(task.id)
        else:
            self._outcome.codes[task.id] = code
        self._display.ended(self._run.task(task.id), code)

"""The processes of one machine as a place where a schedule runs its tasks."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from mo_hpc.core.paths import RunPaths
from mo_hpc.core.task import TaskSpec
from mo_hpc.executors.processes import children
from mo_hpc.executors.processes.children import Job
from mo_hpc.executors.processes.machine import Machine


class Processes:
    """As many tasks at once as the machine carries, each in processes of its own.

    What happens to one of them, a crash or a kill, happens to it alone.

    Args:
        run: The run the tasks belong to.
        machine: What the tasks share.
        tasks: All that may be started, for what they import.
        patience_s: How long a task waits for another worker of it, which may be dying on a
            node that was given up; see `run_task`.
    """

    def __init__(
        self,
        run: RunPaths,
        machine: Machine,
        tasks: Sequence[TaskSpec],
        patience_s: float | None = None,
    ) -> None:
        self._run = run
        self._machine = machine
        self._patience_s = patience_s
        self._context = children.prepare(run, tasks)
        self._jobs: list[Job] = []

    def start(self, task: TaskSpec) -> bool:
        """Starts a task if its cores (or a slot) and its GPUs are free."""
        gpus = self._machine.take(task.resources)
        if gpus is None:
            return False
        job = children.start(self._context, self._run, task, gpus, self._patience_s)
        self._jobs.append(job)
        return True

    def wait(self, timeout_s: float) -> list[tuple[TaskSpec, int]]:
        """The tasks whose processes have all ended, with their exit statuses."""
        children.wait_for_any(self._jobs, timeout_s)
        ended = []
        for job in list(self._jobs):
            code = job.poll()
            if code is not None:
                self._jobs.remove(job)
                self._machine.give_back(job.task.resources, job.gpus)
                ended.append((job.task, code))
        return ended

    def stop(self, *, kill: bool) -> None:
        """Passes the request on to every process."""
        for job in self._jobs:
            job.signal(signal.SIGKILL if kill else signal.SIGTERM)

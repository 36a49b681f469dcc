"""Runs tasks one after another in this process."""

from __future__ import annotations

from collections.abc import Sequence

from mo_hpc.core.errors import EXIT_REQUEUE
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.schema import RunConfig
from mo_hpc.core.task import TaskSpec
from mo_hpc.executors.base import not_done, require_task_libraries
from mo_hpc.executors.display import task_display
from mo_hpc.executors.processes.machine import Machine
from mo_hpc.executors.run_task import run_task


class InlineExecutor:
    """For small grids and for debugging: no other process, and output on the terminal."""

    def __init__(self, run: RunPaths, config: RunConfig) -> None:
        self._run = run
        self._config = config

    def require(self, tasks: Sequence[TaskSpec]) -> None:
        """Checks the libraries and the GPUs.

        Raises:
            UserError: If this Python lacks a library, or the machine has too few GPUs for a task.
        """
        wanted = not_done(self._run, tasks)
        require_task_libraries(wanted)
        Machine.of_this_host(slots=1).require([task.resources for task in wanted])

    def submit(self, tasks: Sequence[TaskSpec]) -> list[str]:
        """Runs every task that is not done and goes on after a failure.

        Raises:
            UserError: If this Python lacks a library that tasks import.
            KeyboardInterrupt: If a signal asked the task at work to stop.
        """
        started: list[str] = []
        wanted = not_done(self._run, tasks)
        require_task_libraries(wanted)
        with task_display(len(wanted)) as display:
            for task in wanted:
                display.running([task.id])
                started.append(task.id)
                paths = self._run.task(task.id)
                code = run_task(paths.folder)
                display.ended(paths, code)
                if code == EXIT_REQUEUE:
                    raise KeyboardInterrupt
        return started

    def preview(self, tasks: Sequence[TaskSpec]) -> str:
        """One sentence."""
        return f"{len(tasks)} tasks, one after another in this process."

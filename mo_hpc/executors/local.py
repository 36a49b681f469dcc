"""Runs tasks in processes of this machine, as many at once as its cores and GPUs carry."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from mo_hpc.core.paths import RunPaths
from mo_hpc.core.schema import RunConfig
from mo_hpc.core.task import TaskSpec
from mo_hpc.executors.base import not_done, require_task_libraries
from mo_hpc.executors.display import task_display
from mo_hpc.executors.processes.machine import Machine
from mo_hpc.executors.processes.schedule import Bounds, Schedule
from mo_hpc.executors.processes.stop_requests import stop_requests
from mo_hpc.executors.processes.workplace import Processes

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BURST_S = 1.0
"""Two signals within this time are one delivered twice, not a person who asks again."""


class LocalExecutor:
    """A process per task, with its output in the task's attempt folder."""

    def __init__(self, run: RunPaths, config: RunConfig) -> None:
        self._run = run
        self._config = config

    def require(self, tasks: Sequence[TaskSpec]) -> None:
        """Checks the libraries and the GPUs.

        Raises:
            UserError: If this Python lacks a library, or the machine has too few GPUs for a task.
        """
        self._machine_for(not_done(self._run, tasks))

    def submit(self, tasks: Sequence[TaskSpec]) -> list[str]:
        """Runs every task that is not done; a task starts when what it needs is done.

        Raises:
            UserError: If this Python lacks a library, or the machine has too few GPUs for a task.
            KeyboardInterrupt: If a signal asked to stop, after the tasks at work have saved
                their state.
        """
        wanted = not_done(self._run, tasks)
        if not wanted:
            return []
        machine = self._machine_for(wanted)
        bounds = Bounds(self._config.site.max_requeues, kill_when_asked_again=True)
        processes = Processes(self._run, machine, wanted)
        with (
            task_display(len(wanted)) as display,
            stop_requests(_STOP_SIGNALS, _BURST_S) as requests,
        ):
            outcome = Schedule(self._run, processes, display, bounds).work(wanted, requests)
        if outcome.stopped:
            raise KeyboardInterrupt
        return [task.id for task in wanted]

    def preview(self, tasks: Sequence[TaskSpec]) -> str:
        """One sentence, with what limits the number of tasks at once."""
        machine = Machine.of_this_host(self._config.executor.slots)
        limit = "tasks at once" if machine.by_slot else "cores"
        sentence = (
            f"{len(tasks)} tasks in processes of this machine: "
            f"{machine.capacity} {limit}, {machine.n_gpus} GPUs."
        )
        if any(machine.is_too_small(task.resources) for task in tasks):
            sentence += "\nA task that asks for more cores runs alone, with the cores there are."
        return sentence

    def _machine_for(self, wanted: Sequence[TaskSpec]) -> Machine:
        """This machine, which can run these tasks."""
        require_task_libraries(wanted)
        machine = Machine.of_this_host(self._config.executor.slots)
        machine.require([task.resources for task in wanted])
        return machine

"""What every executor offers, and what they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mo_hpc.core.libraries import require_libraries
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.registry import task_kind
from mo_hpc.core.schema import RunConfig
from mo_hpc.core.task import TaskSpec
from mo_hpc.executors.completion import is_done


class Executor(Protocol):
    """A way to run tasks. Results are never returned: they are the records of the tasks."""

    def __init__(self, run: RunPaths, config: RunConfig) -> None: ...

    def require(self, tasks: Sequence[TaskSpec]) -> None:
        """Checks that those of the tasks that are not done can be run here; writes nothing.

        Raises:
            UserError: If nothing can be run the way the configuration says.
        """
        ...

    def submit(self, tasks: Sequence[TaskSpec]) -> list[str]:
        """Runs or queues the tasks that are not done; a failing task is no error here.

        Args:
            tasks: Tasks with their folders written, each after the tasks it needs.

        Returns:
            The ids of the tasks that were started or queued.

        Raises:
            UserError: If nothing can be run the way the configuration says.
            KeyboardInterrupt: If a signal asked to stop; what was finished is kept.
        """
        ...

    def preview(self, tasks: Sequence[TaskSpec]) -> str:
        """What `submit` would do, for people to read; needs no scheduler."""
        ...


def not_done(run: RunPaths, tasks: Sequence[TaskSpec]) -> list[TaskSpec]:
    """The tasks that have no valid record yet, in the same order."""
    return [task for task in tasks if not is_done(run.task(task.id))]


def require_task_libraries(tasks: Sequence[TaskSpec]) -> None:
    """Checks that this Python can run tasks, if there are any to run.

    Raises:
        UserError: If it lacks a library that a task imports.
    """
    for kind in {task.kind for task in tasks}:
        require_libraries(task_kind(kind).libraries, for_what="Running a task here")

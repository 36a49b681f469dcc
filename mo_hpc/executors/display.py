"""Progress over tasks on stderr, for the executors that wait for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TaskID as BarId
from rich.text import Text

from mo_hpc.core.errors import EXIT_DONE, EXIT_INCOMPLETE, EXIT_REQUEUE, UserError
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.record import read_error

_MOST_NAMED = 2


@dataclass(frozen=True, slots=True)
class TaskDisplay:
    """A bar over all tasks, and one line for each that has ended."""

    progress: Progress
    bar: BarId

    def running(self, task_ids: list[str]) -> None:
        """Shows which tasks are at work."""
        more = len(task_ids) - _MOST_NAMED
        names = ", ".join(task_ids[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        self.progress.update(self.bar, description=names or "waiting")

    def ended(self, paths: TaskPaths, code: int) -> None:
        """Reports a task that has ended and moves the bar on."""
        self.progress.print(Text(f"{_outcome(paths, code)}  {paths.folder.name}"), soft_wrap=True)
        self.progress.advance(self.bar)


@contextmanager
def task_display(n_tasks: int) -> Iterator[TaskDisplay]:
    """Shows progress over so many tasks for the duration of the block."""
    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield TaskDisplay(progress, progress.add_task("waiting", total=n_tasks))


def _outcome(paths: TaskPaths, code: int) -> str:
    if code == EXIT_DONE:
        return "done   "
    if code == EXIT_REQUEUE:
        return "stopped"
    try:
        error = read_error(paths)
    except UserError:
        if code == EXIT_INCOMPLETE:
            return "blocked"
        return f"killed by signal {-code}" if code < 0 else f"failed with status {code}"
    return f"failed  ({error.failure_class}: {error.message.splitlines()[0]})"

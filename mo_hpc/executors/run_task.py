"""Running one task where we are: lock, needs, attempt, record."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from mo_hpc.core.errors import EXIT_DONE, EXIT_INCOMPLETE, EXIT_REQUEUE, StopRequested
from mo_hpc.core.libraries import require_libraries
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.provenance import provenance
from mo_hpc.core.ranks import ranks_from_environment
from mo_hpc.core.record import Record, read_task, write_error, write_record
from mo_hpc.core.registry import imported, task_kind
from mo_hpc.core.task import TaskSpec
from mo_hpc.executors.attempts import OutputSetter, begin_attempt, images_so_far
from mo_hpc.executors.completion import is_done, unmet_needs
from mo_hpc.executors.failures.classes import error_record, failure_class
from mo_hpc.executors.locking import held
from mo_hpc.executors.notes import without_known_notes
from mo_hpc.executors.processes.machine import n_ranks
from mo_hpc.executors.stopping import leave_at_once
from mo_hpc.executors.threads import set_threads


def run_task(
    folder: Path,
    *,
    show_progress: bool = False,
    set_output: OutputSetter | None = None,
    patience_s: float | None = None,
) -> int:
    """Runs the task whose folder this is and leaves its record there.

    Args:
        folder: The task's folder, with its ``task.json``.
        show_progress: Show the task's own progress bar on stderr.
        set_output: Puts stdout and stderr into the attempt's folder; None: leave them.
        patience_s: How long to wait for another worker of the task before coming back
            later; None: do not wait and do not come back.

    Returns:
        0 if the task is done (now or before), 1 if it failed, waits for another task or is
        run by another worker, 85 if it saved its state (or waited in vain with patience) and
        wants to be started again.

    Raises:
        UserError: If ``task.json`` is missing or not valid.
    """
    paths = TaskPaths(folder)
    task = read_task(paths)
    if is_done(paths):
        return EXIT_DONE
    if unmet := unmet_needs(paths, task):
        _say(f"{task.id} cannot start: " + ", ".join(f"{n} is {why}" for n, why in unmet.items()))
        return EXIT_INCOMPLETE
    if ranks_from_environment(os.environ, n_ranks(task.resources)).rank != 0:
        return _follow(paths, task)
    waits = {} if patience_s is None else {"patience_s": patience_s}
    with held(paths.lock, **waits) as acquired:
        if not acquired:
            _say(f"{task.id} is being run by another worker; nothing was done here.")
            return EXIT_INCOMPLETE if patience_s is None else EXIT_REQUEUE
        # Another worker may have finished between the first look and the lock.
        return EXIT_DONE if is_done(paths) else _lead(paths, task, show_progress, set_output)


def _lead(
    paths: TaskPaths, task: TaskSpec, show_progress: bool, set_output: OutputSetter | None
) -> int:
    """Runs the task as the process that writes its records."""
    attempt = begin_attempt(paths, task.resources, set_output)
    code = EXIT_INCOMPLETE
    try:
        images = images_so_far(paths)
        record = _execute(paths, task, show_progress=show_progress, images=images)
        assert record is not None, f"task kind '{task.kind}' returned no record on rank 0"
        write_record(paths, record)
        code = EXIT_DONE
    except StopRequested:
        code = EXIT_REQUEUE
    except Exception as error:  # noqa: BLE001 - whatever went wrong, a failure is a record too
        write_error(paths, error_record(task, error))
        _say(f"{task.id} failed ({failure_class(error)}): {error}")
    finally:
        attempt.end(code)
    return code


def _follow(paths: TaskPaths, task: TaskSpec) -> int:
    """Takes part in the task as one of the other ranks, which write no records.

    A requested stop counts as success here: a launcher of parallel processes kills the rest
    when one fails, and rank 0 may still be saving. Its status 85 speaks for the task.
    """
    try:
        _execute(paths, task, show_progress=False)
    except StopRequested:
        # Rank 0 leaves at once, and the launcher then ends whoever is still there.
        leave_at_once(EXIT_DONE)
    return EXIT_DONE


def _execute(
    paths: TaskPaths, task: TaskSpec, *, show_progress: bool, **further: Any
) -> Record | None:
    """Runs the task; what is stated further of its origin is added to the record."""
    # The task kind's module imports torch, which reads the thread settings once.
    set_threads(task.resources.cpus_per_task)
    origin = provenance() | further
    kind = task_kind(task.kind)
    require_libraries(kind.libraries, for_what="Running a task")
    with without_known_notes():
        run: Any = imported(kind.runner)
    record: Record | None = run(paths, task, provenance=origin, show_progress=show_progress)
    return record


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)

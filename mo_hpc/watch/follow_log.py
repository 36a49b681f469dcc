"""Printing what a task writes while it writes it, over requeues, until it ends."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mo_hpc.core.errors import EXIT_DONE, EXIT_INCOMPLETE, EXIT_REQUEUE
from mo_hpc.core.paths import RunPaths
from mo_hpc.executors.activity import activity
from mo_hpc.executors.completion import is_done
from mo_hpc.executors.failures.evidence import AttemptAccount, last_attempt

_FILES_S = 1.0
QUEUE_S = 30.0
"""How often the scheduler is asked whether the task is still under way."""


class _Tail:
    """The text that is added to a file."""

    def __init__(self, log: Path, offset: int) -> None:
        self._log = log
        self._offset = offset

    def print_new(self) -> None:
        """Prints what was added since the last time."""
        try:
            with self._log.open("rb") as handle:
                handle.seek(self._offset)
                added = handle.read()
        except OSError:
            return
        self._offset += len(added)
        sys.stdout.write(added.decode(errors="replace"))
        sys.stdout.flush()


def follow_log(run: RunPaths, task_id: str, name: str) -> int:
    """Prints a task's output from its last attempt on, until nobody works on it any more.

    Args:
        run: The run.
        task_id: The task.
        name: ``stdout`` or ``stderr``.

    Returns:
        0 if the task is done, else 1.
    """
    paths = run.task(task_id)
    seen: AttemptAccount | None = None
    tail: _Tail | None = None
    next_question = time.monotonic()
    while True:
        # Asked before the last look at the file, or its last lines could be missed.
        is_over, next_question = _is_over(run, task_id, next_question)
        attempt = last_attempt(paths)
        if attempt and (seen is None or attempt.number != seen.number):
            if tail:
                tail.print_new()
            _say(f"{task_id}, attempt {attempt.number} on {attempt.node or 'an unknown node'}")
            tail = _Tail(attempt.folder / name, attempt.log_offset if name == "stderr" else 0)
            seen = attempt
        if tail:
            tail.print_new()
        if is_over:
            break
        time.sleep(_FILES_S)
    _say(f"{task_id} is {'done' if is_done(paths) else 'not under way, and not done'}.")
    return EXIT_DONE if is_done(paths) else EXIT_INCOMPLETE


def _is_over(run: RunPaths, task_id: str, next_question: float) -> tuple[bool, float]:
    """Whether the task has ended, by its own account or, now and then, by the scheduler's."""
    attempt = last_attempt(run.task(task_id))
    if attempt and attempt.has_ended and attempt.exit_code != EXIT_REQUEUE:
        return True, next_question
    now = time.monotonic()
    if now < next_question:
        return False, next_question
    return task_id not in activity(run).tasks, now + QUEUE_S


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

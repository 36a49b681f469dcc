"""What an attempt printed: its own part of a log that a requeued task shares with earlier ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mo_hpc.core.errors import UserError
from mo_hpc.core.paths import RunPaths, TaskPaths
from mo_hpc.core.record import ErrorRecord, read_error
from mo_hpc.executors.failures.evidence import AttemptAccount, all_attempts
from mo_hpc.executors.slurm.ledger import Ledger

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a log file.

    Attributes:
        log: The file.
        start: Where it begins, in bytes.
        end: Where it ends; None: with the file.
    """

    log: Path
    start: int = 0
    end: int | None = None

    def read(self) -> Iterator[str]:
        """Its text; nothing where the file is missing."""
        try:
            handle = self.log.open("rb")
        except OSError:
            return
        with handle:
            handle.seek(self.start)
            left = float("inf") if self.end is None else self.end - self.start
            while left > 0 and (chunk := handle.read(int(min(left, _CHUNK_BYTES)))):
                left -= len(chunk)
                yield chunk.decode(errors="replace")


def chosen_attempt(paths: TaskPaths, number: int | None) -> AttemptAccount | None:
    """The attempt of that number, or the last; None where the task has not begun.

    Raises:
        UserError: If there is no attempt of that number.
    """
    attempts = all_attempts(paths)
    if number is None:
        return attempts[-1] if attempts else None
    for attempt in attempts:
        if attempt.number == number:
            return attempt
    raise UserError(
        f"The task {paths.folder.name} has no attempt {number}.",
        where="--attempt",
        valid=[each.number for each in attempts],
        remedy=None if attempts else "It has not begun.",
    )


def part_of(paths: TaskPaths, attempt: AttemptAccount, *, stdout: bool = False) -> Part:
    """What one attempt printed.

    On stderr it is told from what other attempts wrote to the same file; where it begins on
    stdout is not recorded, so that this is all of the file.
    """
    if stdout:
        return Part(attempt.folder / "stdout")
    log = attempt.folder / "stderr"
    later = (
        each.log_offset
        for each in all_attempts(paths)
        if each.number > attempt.number and _same_file(log, each.folder / log.name)
    )
    return Part(log, attempt.log_offset, next(later, None))


def is_shared(paths: TaskPaths, attempt: AttemptAccount, name: str) -> bool:
    """True if other attempts write to the same file."""
    others = (each for each in all_attempts(paths) if each.number != attempt.number)
    return any(_same_file(attempt.folder / name, each.folder / name) for each in others)


def error_of(paths: TaskPaths, attempt: AttemptAccount) -> ErrorRecord | None:
    """The failure that an attempt recorded; None where it recorded none."""
    kept = TaskPaths(attempt.folder)
    place = paths if attempt.number == paths.last_attempt() else kept
    try:
        return read_error(place) if place.error.exists() else None
    except UserError:
        return None


def scheduler_log(run: RunPaths, task_id: str) -> Path | None:
    """The log of the array element that was to run a task last; None if there is none."""
    elements = [
        (each.job_id, each.index(task_id))
        for each in Ledger(run).submissions()
        if each.job_id and task_id in each.tasks
    ]
    if not elements:
        return None
    job_id, index = elements[-1]
    log = run.scheduler_logs / f"{job_id}_{index}_0_log.err"
    return log if log.exists() else None


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False

"""One question to Slurm: which of my jobs are in the queue. `sacct` is never needed for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from mo_hpc.core.errors import UserError
from mo_hpc.executors.slurm.commands import SlurmSilent, ask, ask_or_none

_FORMAT = "%F|%K|%T|%r|%j"
_LAUNCH_FAILED = "launch failed requeued held"
_NOT_STARTED = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"})


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One job, or one element of an array, that Slurm has not finished with.

    Attributes:
        job_id: Id of the job, or of the whole array.
        index: Position in the array, 0 for a job that is no array.
        started: False while it waits for its turn.
        name: Name of the job.
        is_stuck: True if Slurm could not start it and holds it until somebody lets it go.
    """

    job_id: str
    index: int
    started: bool
    name: str
    is_stuck: bool = False

    @property
    def element(self) -> str:
        """How Slurm's commands call an array's element."""
        return f"{self.job_id}_{self.index}"


def is_installed() -> bool:
    """True where Slurm's commands are on the path."""
    return shutil.which("squeue") is not None


def query() -> list[QueueRow]:
    """All of this user's jobs in the queue, array elements one by one.

    Raises:
        UserError: If Slurm does not answer.
    """
    try:
        answer = ask("squeue", "-h", "-r", "-u", str(os.getuid()), "-o", _FORMAT)
    except SlurmSilent as silent:
        raise UserError(
            f"Slurm's squeue failed: {silent}",
            where="squeue",
            remedy="Without the queue nothing can be submitted safely; try again when "
            "'squeue' works in this shell.",
        ) from None
    return [_row(line) for line in answer.splitlines()]


def _row(line: str) -> QueueRow:
    job_id, index, state, reason, name = line.split("|", 4)
    return QueueRow(
        job_id=job_id,
        index=int(index) if index.isdigit() else 0,
        started=state not in _NOT_STARTED,
        name=name,
        is_stuck=reason.replace("_", " ") == _LAUNCH_FAILED,
    )


def release(elements: Sequence[str]) -> None:
    """Lets go array elements that Slurm holds after their node failed them at the start."""
    if elements:
        ask_or_none("scontrol", "release", *elements)

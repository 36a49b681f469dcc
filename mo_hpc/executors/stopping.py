"""Signals that ask a worker to stop, outside the part that has a state to save."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from mo_hpc.core.errors import EXIT_REQUEUE

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
"""SIGTERM comes from people, preemption and parents; SIGUSR2 ahead of a time limit."""

REQUEUE_STATUSES = (EXIT_REQUEUE, *sorted(128 + number for number in STOP_SIGNALS))
"""Exit statuses with which a task is put back: the last are those of a worker that a stop
signal ended before it could listen, while Python started."""


def leave_when_asked() -> None:
    """Makes a stop signal end this worker process at once with the status to be requeued.

    It holds while libraries are imported and records written: there is nothing to save
    then, and a second delivery of one signal must not disturb. A task kind installs its own
    handlers for as long as it has a state to save.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _leave)


def leave(status: int) -> NoReturn:
    """Ends a worker process that has nothing left to do; one that saved its state ends at once."""
    if status != EXIT_REQUEUE:
        sys.exit(status)
    leave_at_once(status)


def leave_at_once(status: int) -> NoReturn:
    """Ends this process without Python's clearing up.

    That runs code which may not be in memory yet. Where an image is mounted by a process of
    the user (FUSE), the signal that asked to stop may have ended that process as well, and the
    worker would die of SIGBUS after all is saved.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(EXIT_REQUEUE)

"""One worker per task: a file lock that the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE_S = 0.2
_LEAST_PATIENCE_S = 0.8
"""Looking at a lock takes it for a moment; a worker tries long enough to outlast that."""


@contextmanager
def held(path: Path, patience_s: float = _LEAST_PATIENCE_S) -> Iterator[bool]:
    """Holds the lock for the duration of the block.

    Args:
        path: The lock's file; made where it is missing.
        patience_s: How long to wait for another process to let go of it.

    Yields:
        False where another process holds it, True otherwise.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _acquired(descriptor, path, patience_s)
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """True while a live process holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _acquired(descriptor: int, path: Path, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_S)
            continue
        except OSError as error:
            # Some parallel file systems are mounted without locks. The scheduler's ledger
            # still keeps two submissions apart, so the task may run.
            print(f"warning: {path} cannot be locked: {error.strerror}", file=sys.stderr)
        return True

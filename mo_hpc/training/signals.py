"""The request to save and stop, as schedulers make it: by a signal."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class StopFlag:
    """Set once one of `SIGNALS` arrives while the block runs.

    Only the process that entered the block reacts: children that a library forks inherit the
    handlers, and a scheduler signals the whole step.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._owner = os.getpid()
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Installs the handlers; outside the main thread Python allows none."""
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        """Puts back the handlers that were there before."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if os.getpid() == self._owner:
            self.is_set = True

"""Requests to stop that reach a process which runs tasks in others."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType


@dataclass(slots=True)
class StopRequests:
    """How often it was asked to stop.

    A scheduler, a container and a parent process each pass one signal on, so that it comes
    two or three times: deliveries within `burst_s` of the one before are one request.
    """

    burst_s: float
    count: int = 0
    _last: float = field(default=float("-inf"), init=False)

    def note(self) -> None:
        """Takes notice of a delivery."""
        now = time.monotonic()
        if now - self._last > self.burst_s:
            self.count += 1
        self._last = now


def install(requests: StopRequests, signals: Sequence[signal.Signals]) -> dict[int, object]:
    """Lets the signals be noted from now on; returns the handlers that did so far."""

    def note(_number: int, _frame: FrameType | None) -> None:
        requests.note()

    return {number: signal.signal(number, note) for number in signals}


@contextmanager
def stop_requests(signals: Sequence[signal.Signals], burst_s: float) -> Iterator[StopRequests]:
    """Notes signals for the duration of the block, instead of what they did before."""
    requests = StopRequests(burst_s)
    before = install(requests, signals)
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

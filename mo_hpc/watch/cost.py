"""What tasks have used, from the accounts of their attempts: core-hours and GPU-hours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

from mo_hpc.core.errors import EXIT_DONE, EXIT_REQUEUE
from mo_hpc.core.paths import RunPaths, TaskPaths
from mo_hpc.executors.failures.evidence import AttemptAccount, ElementEnd, element_ends
from mo_hpc.executors.slurm.ledger import Ledger

_S_PER_HOUR = 3600.0
_KEPT = (EXIT_DONE, EXIT_REQUEUE)
"""Exit statuses of attempts that finished or saved their state."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What was held, whether it was busy or not."""

    core_hours: float = 0.0
    gpu_hours: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.core_hours + other.core_hours, self.gpu_hours + other.gpu_hours)


@dataclass(frozen=True, slots=True)
class TaskCost:
    """What a task has cost so far.

    Attributes:
        used: All its attempts.
        failed: Those of them that failed or were killed; a checkpoint may have outlived them.
        n_failed: Number of these.
        wall_time_s: Time of all its attempts.
    """

    used: Cost = field(default_factory=Cost)
    failed: Cost = field(default_factory=Cost)
    n_failed: int = 0
    wall_time_s: float = 0.0

    def __add__(self, other: TaskCost) -> TaskCost:
        return TaskCost(
            self.used + other.used,
            self.failed + other.failed,
            self.n_failed + other.n_failed,
            self.wall_time_s + other.wall_time_s,
        )


class Accountant:
    """Adds up the attempts of one run's tasks.

    Args:
        run: The run.
        now: Until when attempts at work count, in seconds since the epoch.
    """

    def __init__(self, run: RunPaths, now: float) -> None:
        self._run = run
        self._now = now
        self._ends: dict[str, dict[tuple[int, int], ElementEnd]] = {}

    def task(
        self, paths: TaskPaths, attempts: Sequence[AttemptAccount], *, at_work: bool
    ) -> TaskCost:
        """What a task has cost.

        Args:
            paths: Its files.
            attempts: All its attempts, oldest first.
            at_work: Whether the last attempt has not ended yet.
        """
        total = TaskCost()
        for attempt, later in zip_longest(attempts, attempts[1:]):
            goes_on = at_work and later is None and not attempt.has_ended
            seconds = self._seconds(paths, attempt, later, goes_on=goes_on)
            used = Cost(seconds * attempt.cores / _S_PER_HOUR, seconds * attempt.gpus / _S_PER_HOUR)
            is_lost = not goes_on and attempt.exit_code not in _KEPT
            total += TaskCost(used, used if is_lost else Cost(), int(is_lost), seconds)
        return total

    def _seconds(
        self,
        paths: TaskPaths,
        attempt: AttemptAccount,
        later: AttemptAccount | None,
        *,
        goes_on: bool,
    ) -> float:
        started = seconds_of(attempt.started)
        if started is None:
            return 0.0
        if goes_on:
            return max(0.0, self._now - started)
        ended = seconds_of(attempt.ended) or self._end_of_element(attempt)
        if ended is None:
            # It was killed with all that could have written when: what it wrote last tells.
            latest = seconds_of(later.started) if later else None
            files = (paths.progress, paths.checkpoint_last, attempt.folder / "stderr")
            ended = min(_last_write(files) or started, latest or self._now)
        return max(0.0, ended - started)

    def _end_of_element(self, attempt: AttemptAccount) -> float | None:
        """When the batch script around a killed attempt ended."""
        name = self._names.get(attempt.job or "")
        if name is None:
            return None
        if name not in self._ends:
            self._ends[name] = element_ends(self._run.element_ends(name))
        end = self._ends[name].get((attempt.index, attempt.restart))
        return end.at if end else None

    @cached_property
    def _names(self) -> dict[str, str]:
        """Job id → name of the array."""
        return {each.job_id: each.name for each in Ledger(self._run).submissions() if each.job_id}


def seconds_of(time: str | None) -> float | None:
    """Seconds since the epoch of an ISO 8601 time; None if there is none or it is damaged."""
    try:
        return datetime.fromisoformat(time).timestamp() if time else None
    except (ValueError, TypeError):
        return None


def _last_write(files: Iterable[Path]) -> float | None:
    times = []
    for path in files:
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)

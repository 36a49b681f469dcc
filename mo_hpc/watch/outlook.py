"""What happens next to tasks that failed, and their last words."""

from __future__ import annotations

import re
from pathlib import Path

from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import RetryConfig, RetryRule
from mo_hpc.core.record import read_task
from mo_hpc.executors.failures.evidence import last_words
from mo_hpc.executors.failures.log import FailureLog
from mo_hpc.executors.slurm.limits import Limits
from mo_hpc.plan.state import Diagnosis, TaskState
from mo_hpc.watch.snapshot import Snapshot

_LAST_LINES = 3
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
"""Colours and the like, which would reach the terminal of whoever looks."""


class Outlook:
    """Says what the rules do about the failures of a run.

    Args:
        snapshot: The run; its failures are counted as the next launch will count them.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._log = FailureLog(snapshot.run)
        for task_id, state in snapshot.states.items():
            if state.name == "failed" and state.diagnosis:
                self._log.count(task_id, state.diagnosis)

    def next(self, task_id: str) -> str:
        """What happens to a task that failed, as a sentence."""
        failure = self._snapshot.states[task_id].diagnosis
        rules = self._snapshot.rules
        if failure is None or rules is None:
            return "The rules for it cannot be read; launch the grid again to write them anew."
        rule = rules.rules.get(failure.failure_class, RetryRule())
        if not failure.again:
            if rule.times:
                return f"It was tried again {rule.times} times, which is all the rules allow."
            return "It is not tried again by itself."
        number = self._log.number(task_id, failure.failure_class)
        grown = self._grown(task_id, rules, rule)
        return f"{self._who()} ({number} of {rule.times}){grown}."

    def _who(self) -> str:
        if self._snapshot.activity.followers or self._snapshot.launcher:
            return "It is tried again by itself"
        return "The next launch tries it again"

    def _grown(self, task_id: str, rules: RetryConfig, rule: RetryRule) -> str:
        """What it gets more of; what the cluster cannot give is cut when it is submitted."""
        try:
            resources = read_task(self._snapshot.run.task(task_id)).resources
        except UserError:
            return ""
        grown = self._log.resources(task_id, resources, rules, Limits())
        parts = []
        if rule.memory_factor > 1:
            parts.append(f"up to {grown.memory_gb:.3g} GB")
        if rule.time_factor > 1:
            parts.append(f"up to {grown.time_min} min")
        return f", with {' and '.join(parts)}" if parts else ""


def last_lines(snapshot: Snapshot, task_id: str, state: TaskState) -> list[str]:
    """The last lines that a failed task wrote on stderr, without what its reason says already."""
    log, offset = _log_of(snapshot, task_id, state.diagnosis)
    text = _CONTROL.sub("", last_words(log, offset).replace("\r", "\n")) if log else ""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    told = state.reason.strip()
    return [line for line in lines if not told or told not in line][-_LAST_LINES:]


def _log_of(snapshot: Snapshot, task_id: str, failure: Diagnosis | None) -> tuple[Path | None, int]:
    """The log of the attempt that failed, and where in it the attempt begins."""
    if failure is None:
        return None, 0
    if failure.failure_class == "never_started":
        return None, 0  # Its reason quotes the scheduler's log.
    attempts = snapshot.attempts[task_id]
    if not attempts:
        return None, 0
    return attempts[-1].folder / "stderr", attempts[-1].log_offset

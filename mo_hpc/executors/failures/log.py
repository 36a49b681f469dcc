"""The failures a run has had (``failures.jsonl``), and what the rules say about the next."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from mo_hpc.core.execution import Resources, RetryConfig, RetryRule
from mo_hpc.core.failure import FAILURE_CLASSES, FailureClass
from mo_hpc.core.files import append_line, read_lines
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.provenance import utc_now
from mo_hpc.executors.slurm.limits import Limits
from mo_hpc.plan.state import Diagnosis

FAILURE_LOG_SCHEMA_VERSION = 1


class FailureLog:
    """Every failure that a launch found, once; launches write it, others only read."""

    def __init__(self, run: RunPaths) -> None:
        self._path = run.failures
        self._seen: dict[tuple[str, int, str | None], Diagnosis] = {}
        self._by_task: Counter[tuple[str, str]] = Counter()
        self._by_node: Counter[tuple[str, str]] = Counter()
        for line in read_lines(self._path):
            if failure := _diagnosis(line):
                self.count(line["task"], failure)

    @property
    def has_entries(self) -> bool:
        """True if there was any failure."""
        return bool(self._seen)

    def add(self, task_id: str, failure: Diagnosis) -> None:
        """Writes a failure down, unless it was before."""
        if not self.count(task_id, failure):
            return
        line = {
            "schema_version": FAILURE_LOG_SCHEMA_VERSION,
            "task": task_id,
            "class": failure.failure_class,
            "node": failure.node,
            "attempt": failure.attempt,
            "job": failure.submission,
            "reason": failure.reason,
            "time": utc_now(),
        }
        append_line(self._path, line)

    def count(self, task_id: str, failure: Diagnosis) -> bool:
        """Counts a failure without writing it; False if it was counted before."""
        key = (task_id, failure.attempt, failure.submission)
        if key in self._seen:
            return False
        self._seen[key] = failure
        self._by_task[task_id, failure.failure_class] += 1
        if failure.node:
            self._by_node[failure.node, failure.failure_class] += 1
        return True

    def number(self, task_id: str, name: FailureClass) -> int:
        """How often a task has failed in one way."""
        return self._by_task[task_id, name]

    def judged(self, task_id: str, failure: Diagnosis, rules: RetryConfig | None) -> Diagnosis:
        """The failure with the decision whether it is tried again.

        What was written down of it stands: Slurm remembered more of the job then.
        """
        known = self._seen.get((task_id, failure.attempt, failure.submission))
        if failure.failure_class == "cancelled":
            known = None
        failure = known or failure
        if rules is None:
            return failure
        rule = rules.rules.get(failure.failure_class, RetryRule())
        number = self._by_task[task_id, failure.failure_class] + (known is None)
        return replace(failure, again=number <= rule.times)

    def resources(
        self, task_id: str, resources: Resources, rules: RetryConfig, limits: Limits
    ) -> Resources:
        """What a task gets after its failures: more of what it lacked, up to the limits."""
        memory_gb, time_min = resources.memory_gb, float(resources.time_min)
        for name, rule in rules.rules.items():
            number = self._by_task[task_id, name]
            memory_gb *= rule.memory_factor**number
            time_min *= rule.time_factor**number
        return resources.model_copy(
            update={
                "memory_gb": min(
                    memory_gb, max(resources.memory_gb, limits.memory_gb or memory_gb)
                ),
                "time_min": round(
                    min(time_min, max(resources.time_min, limits.time_min or time_min))
                ),
            }
        )

    def excluded_nodes(
        self, rules: RetryConfig, nodes: frozenset[str], *, n_needed: int = 1
    ) -> list[str]:
        """The nodes on which a class of failure has come too often; none where too few remain.

        Args:
            rules: Say how often is too often.
            nodes: Those that tasks may run on.
            n_needed: How many of them a task needs at once.
        """
        bad = {
            node
            for (node, name), number in self._by_node.items()
            if (most := _rule(rules, name).exclude_node_after) is not None and number >= most
        }
        bad &= nodes
        return sorted(bad) if len(nodes - bad) >= n_needed else []


def _diagnosis(line: Any) -> Diagnosis | None:
    """The failure that a line tells of; None for one that no log wrote."""
    if not isinstance(line, dict) or line.get("class") not in FAILURE_CLASSES:
        return None
    if not isinstance(line.get("task"), str) or not isinstance(line.get("attempt"), int):
        return None
    return Diagnosis(
        failure_class=line["class"],
        reason=str(line.get("reason", "")),
        node=line.get("node"),
        attempt=line["attempt"],
        submission=line.get("job"),
    )


def _rule(rules: RetryConfig, name: str) -> RetryRule:
    known: dict[str, RetryRule] = {str(key): rule for key, rule in rules.rules.items()}
    return known.get(name, RetryRule())

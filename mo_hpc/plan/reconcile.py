"""What a launch has to do: the difference between what is wanted and what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mo_hpc.plan.manifest import Manifest
from mo_hpc.plan.state import TaskState

_IDLE = ("waiting", "failed", "blocked", "missing")
"""States of a task that will not be done unless it is submitted."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Which tasks that ended badly are to go again, beside what the rules submit.

    Attributes:
        by_hand: A person asks: what was cancelled goes again.
        failed: All that failed goes again.
        tasks: Ids of tasks that go again, whether they failed or were cancelled.
    """

    by_hand: bool = True
    failed: bool = False
    tasks: frozenset[str] = frozenset()


def tasks_to_submit(manifest: Manifest, states: Mapping[str, TaskState], wish: Wish) -> list[str]:
    """Ids of the tasks to submit, each after the tasks it needs.

    A task goes if nothing is under way and no failure stands in its way; a failed one if the
    rules or the wish say so, and with it what it blocked.

    Args:
        manifest: The run's manifest.
        states: The state of every task.
        wish: What is asked for beyond the rules.
    """
    chosen: dict[str, None] = {}
    for task in manifest.tasks:
        state = states[task.id]
        waits = [need for need in task.needs if states[need].name in _IDLE]
        goes = state.name == "blocked" or _goes(task.id, state, wish)
        if goes and all(need in chosen for need in waits):
            chosen[task.id] = None
    return list(chosen)


def _goes(task_id: str, state: TaskState, wish: Wish) -> bool:
    diagnosis = state.diagnosis
    is_named = task_id in wish.tasks
    if state.name == "waiting":
        return True
    if state.name == "missing":
        return diagnosis is None or wish.by_hand or is_named
    if state.name != "failed" or diagnosis is None:
        return False
    return is_named or wish.failed or diagnosis.again

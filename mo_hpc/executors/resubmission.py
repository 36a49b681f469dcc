"""Submitting what a run still lacks: what every launch, and the job that follows, does."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mo_hpc.core import registry
from mo_hpc.core.errors import WorkIncomplete
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.schema import RunConfig
from mo_hpc.core.task import TaskSpec
from mo_hpc.executors.activity import Activity, activity
from mo_hpc.executors.base import Executor
from mo_hpc.executors.failures.diagnosis import Diagnostician
from mo_hpc.executors.failures.log import FailureLog
from mo_hpc.executors.locking import held, is_held
from mo_hpc.executors.slurm import squeue
from mo_hpc.executors.slurm.ledger import Ledger
from mo_hpc.executors.slurm.limits import Limits, cluster_limits, selectable_nodes
from mo_hpc.plan.manifest import Manifest
from mo_hpc.plan.reconcile import Wish, tasks_to_submit
from mo_hpc.plan.state import TaskState, task_states

_LEAST_PATIENCE_S = 0.8
"""Looking at the lock takes it for a moment."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a submission did.

    Attributes:
        states: The state of every task after it.
        submitted: Ids of the tasks that were started or queued.
    """

    states: dict[str, TaskState]
    submitted: list[str]

    @property
    def n_waiting(self) -> int:
        """Tasks that found no room in the queue; the job that follows submits them."""
        return sum(state.name == "waiting" for state in self.states.values())

    @property
    def is_incomplete(self) -> bool:
        """True if tasks are neither done nor under way nor about to be."""
        return any(each.name in ("failed", "blocked", "missing") for each in self.states.values())


def executor_of(run: RunPaths, config: RunConfig) -> Executor:
    """The executor that a configuration names."""
    kind = registry.load(registry.EXECUTORS, "executor", config.executor.name)
    executor: Executor = kind(run, config)
    return executor


def current_states(run: RunPaths, manifest: Manifest, config: RunConfig) -> dict[str, TaskState]:
    """The state of every task now, with the rules' verdict on failures."""
    return _states(run, manifest, config, activity(run))


def submit_missing(
    run: RunPaths,
    config: RunConfig,
    manifest: Manifest,
    tasks: Sequence[TaskSpec],
    wish: Wish,
) -> Outcome:
    """Submits what is missing, what the rules try again, and what is wished for.

    Failures are written down first: the next decision counts them, and a task that lacked
    memory or time is submitted with more of it.

    Args:
        run: The run; its launch lock must be held.
        config: Its configuration.
        manifest: Its manifest.
        tasks: The specifications of all its tasks.
        wish: What is asked for beyond the rules.
    """
    _repair(run)
    found = activity(run)
    squeue.release(found.held)
    states = _states(run, manifest, config, found)
    log = FailureLog(run)
    for task_id, state in states.items():
        if state.name in ("failed", "waiting") and state.diagnosis:
            log.add(task_id, state.diagnosis)
    chosen = set(tasks_to_submit(manifest, states, wish))
    if not chosen:
        return Outcome(states, [])
    wanted = [task for task in tasks if task.id in chosen]
    config, wanted = _adapted(config, wanted, log)
    submitted = executor_of(run, config).submit(wanted)
    return Outcome(current_states(run, manifest, config), submitted)


def _states(
    run: RunPaths, manifest: Manifest, config: RunConfig, found: Activity
) -> dict[str, TaskState]:
    diagnose = Diagnostician(run, config.retry)
    return task_states(run, manifest, found.tasks, diagnose, is_followed=bool(found.followers))


@contextmanager
def launch_lock(run: RunPaths, *, patience_s: float = 0.0) -> Iterator[None]:
    """Keeps two launches of one run from submitting the same tasks.

    Raises:
        WorkIncomplete: If another launch holds it for longer than the patience lasts.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with held(run.launch_lock, max(patience_s, _LEAST_PATIENCE_S)) as acquired:
        if not acquired:
            raise WorkIncomplete(
                f"Another launch of this run is at work in {run.folder}.\n"
                f"Watch it with: python -m mo_hpc.status run={run.folder}"
            )
        run.launch_lock.write_text(json.dumps({"pid": os.getpid(), "node": socket.gethostname()}))
        yield


@dataclass(frozen=True, slots=True)
class Launcher:
    """The process that holds a run's launch lock."""

    pid: int
    node: str

    @property
    def is_here(self) -> bool:
        """True if it runs on this machine."""
        return self.node == socket.gethostname()


def launcher_at_work(run: RunPaths) -> Launcher | None:
    """The launch that is at work on a run, if one is and has said who it is."""
    if not is_held(run.launch_lock):
        return None
    try:
        document = json.loads(run.launch_lock.read_text())
        return Launcher(pid=document["pid"], node=document["node"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _repair(run: RunPaths) -> None:
    """Settles what a launcher left open that died while it submitted, even if all is done."""
    ledger = Ledger(run)
    if squeue.is_installed() and any(each.is_open for each in ledger.submissions()):
        ledger.repair(squeue.query())


def _adapted(
    config: RunConfig, tasks: Sequence[TaskSpec], log: FailureLog
) -> tuple[RunConfig, list[TaskSpec]]:
    """Configuration and tasks with what earlier failures taught: resources and nodes."""
    if config.executor.name != "slurm" or not log.has_entries:
        return config, list(tasks)
    limits: Limits = cluster_limits(config.site)
    grown = [
        task.model_copy(
            update={"resources": log.resources(task.id, task.resources, config.retry, limits)}
        )
        for task in tasks
    ]
    nodes = selectable_nodes(config.site, limits)
    n_needed = max((task.resources.nodes for task in tasks), default=1)
    if excluded := log.excluded_nodes(config.retry, nodes, n_needed=n_needed):
        earlier = config.site.sbatch.get("exclude")
        names = ",".join([*([str(earlier)] if earlier else []), *excluded])
        sbatch = {**config.site.sbatch, "exclude": names}
        config = config.model_copy(
            update={"site": config.site.model_copy(update={"sbatch": sbatch})}
        )
    return config, grown

"""Taking tasks back that are queued or at work: which jobs that ends, and ending them."""

from __future__ import annotations

import os
import signal
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from mo_hpc.core.errors import UserError
from mo_hpc.core.paths import RunPaths
from mo_hpc.executors.activity import Activity, queue_activity
from mo_hpc.executors.completion import is_done
from mo_hpc.executors.failures import evidence
from mo_hpc.executors.locking import is_held
from mo_hpc.executors.resubmission import Launcher
from mo_hpc.executors.slurm import squeue
from mo_hpc.executors.slurm.commands import SlurmSilent, ask
from mo_hpc.executors.slurm.ledger import Elements, Ledger
from mo_hpc.executors.slurm.squeue import QueueRow

_IDS_PER_CALL = 200
"""Each id costs the scheduler a step; a longer command could be refused."""


@dataclass(frozen=True, slots=True)
class Job:
    """An array element in the queue.

    Attributes:
        job_id: Id of the whole array.
        index: Its position in it.
        name: The array's job name.
        tasks: Those of its tasks that are not done.
    """

    job_id: str
    index: int
    name: str
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What would be ended.

    Attributes:
        jobs: Array elements in Slurm's queue.
        ids: What `scancel` is given, followers first: whole arrays where all that is left
            of them goes.
        processes: Process ids of workers on this machine, or of the launch they belong to.
        tasks: Every task that is taken back.
        along: Those of them that go along because they share an element, or a launch.
        elsewhere: Where workers run that cannot be reached from here.
    """

    jobs: tuple[Job, ...]
    ids: tuple[str, ...]
    processes: tuple[int, ...]
    tasks: tuple[str, ...]
    along: tuple[str, ...]
    elsewhere: tuple[Launcher, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True if nothing is under way."""
        return not (self.ids or self.processes or self.elsewhere)


def plan_cancellation(
    run: RunPaths, names: Collection[str] | None, launcher: Launcher | None
) -> Cancellation:
    """Finds what has to be ended to take tasks back.

    Args:
        run: The run.
        names: Ids of the tasks; None: everything of the run.
        launcher: The launch whose own processes run the tasks, if there is one.

    Raises:
        UserError: If the run has Slurm submissions and Slurm does not answer, or single
            tasks are to be taken from a launch that would start them again.
    """
    submissions = Ledger(run).submissions()
    rows = squeue.query() if submissions and squeue.is_installed() else []
    found = queue_activity(run, submissions, rows)
    queued = _jobs(run, found, {each.name: each.elements for each in submissions}, rows)
    jobs = [job for job in queued if names is None or not set(job.tasks).isdisjoint(names)]
    followers = found.followers if names is None else []
    workers = _workers(run, names, set(found.jobs))
    if launcher and workers and names is not None:
        raise _no_single_tasks(launcher)
    ending = [launcher] if launcher and names is None else list(workers.values())
    tasks = [*(task for job in jobs for task in job.tasks), *workers]
    return Cancellation(
        jobs=tuple(jobs),
        ids=(*followers, *_ids(jobs, queued)),
        processes=tuple(dict.fromkeys(each.pid for each in ending if each.is_here)),
        tasks=tuple(tasks),
        along=() if names is None else tuple(task for task in tasks if task not in names),
        elsewhere=tuple(each for each in ending if not each.is_here),
    )


def carry_out(run: RunPaths, cancellation: Cancellation) -> None:
    """Ends what was planned; that it was wanted is written down first.

    Raises:
        UserError: If `scancel` fails.
    """
    by_array: defaultdict[str, list[str]] = defaultdict(list)
    for job in cancellation.jobs:
        by_array[job.name] += job.tasks
    for name, tasks in by_array.items():
        Ledger(run).cancel(name, tasks)
    for start in range(0, len(cancellation.ids), _IDS_PER_CALL):
        ids = cancellation.ids[start : start + _IDS_PER_CALL]
        try:
            ask("scancel", *ids)
        except SlurmSilent as silent:
            raise UserError(
                f"Slurm's scancel failed: {silent}",
                where="scancel",
                remedy="Give the same command again; what is cancelled stays cancelled.",
            ) from None
    for pid in cancellation.processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _jobs(
    run: RunPaths, found: Activity, elements: Mapping[str, Elements], rows: Sequence[QueueRow]
) -> list[Job]:
    """The run's array elements in the queue, with what is left to do in each."""
    ours = {(row.job_id, row.index) for row in found.jobs.values()}
    listed = [row for row in rows if (row.job_id, row.index) in ours]
    return [
        Job(row.job_id, row.index, row.name, _not_done(run, elements[row.name][row.index]))
        for row in sorted(listed, key=lambda row: (int(row.job_id), row.index))
    ]


def _not_done(run: RunPaths, tasks: Iterable[str]) -> tuple[str, ...]:
    return tuple(task for task in tasks if not is_done(run.task(task)))


def _ids(jobs: Sequence[Job], queued: Sequence[Job]) -> list[str]:
    """What `scancel` is given: the array where all its elements in the queue go."""
    left = Counter(job.job_id for job in queued)
    going = Counter(job.job_id for job in jobs)
    ids = [
        job.job_id if going[job.job_id] == left[job.job_id] else f"{job.job_id}_{job.index}"
        for job in jobs
    ]
    return list(dict.fromkeys(ids))


def _workers(
    run: RunPaths, names: Collection[str] | None, in_queue: Collection[str]
) -> dict[str, Launcher]:
    """Tasks that processes outside of Slurm work on → the process."""
    found = {}
    for paths in run.task_folders():
        task_id = paths.folder.name
        is_wanted = names is None or task_id in names
        if not is_wanted or task_id in in_queue or not is_held(paths.lock):
            continue
        attempt = evidence.last_attempt(paths)
        if attempt and attempt.pid and attempt.node and not attempt.has_ended:
            found[task_id] = Launcher(attempt.pid, attempt.node)
    return found


def _no_single_tasks(launcher: Launcher) -> UserError:
    return UserError(
        "These tasks run in the processes of a launch, which would start them again.",
        where="task",
        remedy="Cancel the whole run by naming no task, or press Ctrl-C in the launch: "
        f"process {launcher.pid} on {launcher.node}.",
    )

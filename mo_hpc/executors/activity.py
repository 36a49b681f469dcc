"""Which tasks are under way: locks of live workers first, one look at the queue second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mo_hpc.core.paths import RunPaths
from mo_hpc.executors.failures import evidence
from mo_hpc.executors.locking import is_held
from mo_hpc.executors.slurm import squeue
from mo_hpc.executors.slurm.ledger import Ledger, Submission
from mo_hpc.executors.slurm.squeue import QueueRow
from mo_hpc.plan.state import ActiveName


@dataclass(frozen=True, slots=True)
class Activity:
    """What is under way for a run.

    Attributes:
        tasks: The tasks that somebody works on or will.
        jobs: Task id → its row in Slurm's queue.
        followers: Ids of the jobs that follow the arrays.
        held: Array elements that Slurm could not start and holds.
        n_queued: Jobs and array elements of this user in the queue, of whatever run.
    """

    tasks: dict[str, ActiveName] = field(default_factory=dict)
    jobs: dict[str, QueueRow] = field(default_factory=dict)
    followers: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    n_queued: int = 0


def activity(run: RunPaths) -> Activity:
    """Looks at the locks and, if the run has submissions, once at the queue.

    Raises:
        UserError: If the run has Slurm submissions and Slurm does not answer.
    """
    submissions = Ledger(run).submissions()
    rows = squeue.query() if submissions and squeue.is_installed() else []
    found = queue_activity(run, submissions, rows)
    for task in run.task_folders():
        if is_held(task.lock):
            found.tasks[task.folder.name] = "running"
    return found


def queue_activity(
    run: RunPaths, submissions: Iterable[Submission], rows: Iterable[QueueRow]
) -> Activity:
    """What the rows of the queue say about a run.

    Rows are matched by job name, which is unique and known before the job id is.
    """
    by_name = {submission.name: submission for submission in submissions}
    listed = list(rows)
    found = Activity(n_queued=len(listed))
    for row in listed:
        submission = by_name.get(row.name)
        if submission is None:
            continue
        if not submission.elements:
            found.followers.append(row.job_id)
        elif row.index < len(submission.elements):
            element = submission.elements[row.index]
            if row.is_stuck:
                found.held.append(row.element)
            for task_id in element:
                found.jobs[task_id] = row
                found.tasks[task_id] = _activity_of(run, task_id, row, alone=len(element) == 1)
    return found


def _activity_of(run: RunPaths, task_id: str, row: QueueRow, *, alone: bool) -> ActiveName:
    if row.started and alone:
        return "running"
    paths = run.task(task_id)
    # Most tasks in a long queue have not begun; looking for a folder is cheap.
    if not paths.attempt(1).is_dir():
        return "queued"
    attempt = evidence.last_attempt(paths)
    began_here = attempt is not None and attempt.job == row.job_id
    if row.started:
        return "running" if began_here and attempt and not attempt.has_ended else "queued"
    return "requeued" if began_here else "queued"

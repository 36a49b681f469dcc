"""Why a task is not done: its record, exit statuses, last words, and Slurm's memory last.

Nothing here needs Slurm's accounting; what `sacct` knows is the last resort.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from mo_hpc.core.errors import EXIT_DONE, EXIT_REQUEUE, UserError
from mo_hpc.core.execution import RetryConfig
from mo_hpc.core.failure import EXPLANATIONS, FailureClass
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.record import RECORD_SCHEMA_VERSION, ErrorRecord, read_error
from mo_hpc.executors.failures import evidence
from mo_hpc.executors.failures.evidence import AttemptAccount, ElementEnd
from mo_hpc.executors.failures.log import FailureLog
from mo_hpc.executors.slurm.ledger import Ledger, Submission
from mo_hpc.executors.stopping import REQUEUE_STATUSES
from mo_hpc.plan.manifest import ManifestTask
from mo_hpc.plan.state import Diagnosis

_NOT_PUT_BACK = "It saved its state, but is not in the queue: put back too often, or refused."


@dataclass(frozen=True, slots=True)
class _Found:
    """What ended a task, and where."""

    failure_class: FailureClass
    reason: str
    node: str | None = None


class Diagnostician:
    """Finds out why tasks of one run ended; asks Slurm at most once for each array.

    Args:
        run: The run.
        rules: Decide whether a failure is tried again; None: nothing is.
    """

    def __init__(self, run: RunPaths, rules: RetryConfig | None = None) -> None:
        self._run = run
        self._rules = rules
        self._states: dict[str, dict[int, str]] = {}
        self._accounted: set[str] = set()
        self._ends: dict[str, dict[tuple[int, int], ElementEnd]] = {}

    def __call__(self, task: ManifestTask) -> Diagnosis | None:
        """Why a task that nobody works on is not done; None if it never ended badly."""
        attempt = evidence.last_attempt(self._run.task(task.id))
        submission = self._submission.get(task.id)
        found = self._find(task, attempt, submission)
        if found is None:
            return None
        failure = Diagnosis(
            failure_class=found.failure_class,
            reason=found.reason,
            node=found.node,
            attempt=attempt.number if attempt else 0,
            submission=submission.name if submission else None,
        )
        return self._log.judged(task.id, failure, self._rules)

    def _find(
        self, task: ManifestTask, attempt: AttemptAccount | None, submission: Submission | None
    ) -> _Found | None:
        if submission and task.id in submission.cancelled:
            return _Found("cancelled", "It was cancelled.")
        began = attempt is not None and attempt.job == (submission and submission.job_id)
        is_newest = submission is None or bool(
            attempt and (began or (attempt.started or "") > submission.time)
        )
        # An error of an earlier attempt says nothing of a submission that never began.
        if is_newest and (error := self._recorded(task)):
            return _Found(error.failure_class, error.message, attempt.node if attempt else None)
        if is_newest:
            return self._ended(attempt, submission if began else None) if attempt else None
        assert submission is not None
        return self._never_started(task, submission)

    def _ended(self, attempt: AttemptAccount, submission: Submission | None) -> _Found | None:
        """What ended an attempt that wrote no error record."""
        if attempt.exit_code == EXIT_DONE:
            return None
        if attempt.has_ended and attempt.exit_code != EXIT_REQUEUE:
            reason = f"Attempt {attempt.number} ended with status {attempt.exit_code}, no record."
            return _Found("python_error", reason, attempt.node)
        words = evidence.last_words(attempt.folder / "stderr", attempt.log_offset)
        name = evidence.class_from_words(words)
        if submission is None:
            return None if attempt.has_ended else _found(name or "killed", attempt, None)
        ends = self._ends_of(submission)
        if any(i == attempt.index and n > attempt.restart for i, n in ends):
            return self._did_not_begin(submission, attempt.index)
        end = ends.get((attempt.index, attempt.restart))
        if name is None and _has_saved(attempt, end, submission):
            return _Found("time_limit", _NOT_PUT_BACK, attempt.node)
        if name is None:
            name = evidence.class_from_job_state(self._job_state(submission, attempt.index))
        if name is None and end is None:
            # Not even the batch script could write: everything on the node is gone.
            name = "node_failure"
        return _found(name or "killed", attempt, end)

    def _never_started(self, task: ManifestTask, submission: Submission) -> _Found | None:
        """What became of an array element that ended before the task began."""
        index = submission.index(task.id)
        ends = [end for (i, _), end in self._ends_of(submission).items() if i == index]
        if ends and self._waited_for_a_need(task, ends[-1]):
            return None
        return self._did_not_begin(submission, index)

    def _did_not_begin(self, submission: Submission, index: int) -> _Found | None:
        """An array element that ended before the task began, or began again."""
        ends = {n: end for (i, n), end in self._ends_of(submission).items() if i == index}
        end = ends[max(ends)] if ends else None
        if end and end.status == EXIT_DONE:
            return None
        state = None if end else self._job_state(submission, index)
        name = evidence.class_from_job_state(state)
        if name is not None:
            return _Found(name, f"Its job ended before the task began: {state}.")
        log = self._run.scheduler_logs / f"{submission.job_id}_{index}_0_log.err"
        line = evidence.last_line(evidence.last_words(log))
        said = f": {line}" if line else "."
        return _Found(
            "never_started",
            f"Its job ended before the task began{said}",
            end.node if end else None,
        )

    def _waited_for_a_need(self, task: ManifestTask, end: ElementEnd) -> bool:
        """True if a needed task was not yet done when the array element ended."""
        records = [self._run.task(need).metrics for need in task.needs]
        return any(not each.exists() or each.stat().st_mtime > end.at for each in records)

    def _recorded(self, task: ManifestTask) -> ErrorRecord | None:
        """The task's own record of its failure; one that is unreadable or foreign is none."""
        paths = self._run.task(task.id)
        if not paths.error.exists():
            return None
        try:
            error = read_error(paths)
        except UserError:
            return None
        is_ours = error.schema_version == RECORD_SCHEMA_VERSION and error.digest == task.digest
        return error if is_ours else None

    def _job_state(self, submission: Submission, index: int) -> str | None:
        job_id = submission.job_id
        if job_id is None:
            return None
        if job_id not in self._states:
            self._states[job_id] = evidence.remembered_states(job_id)
        if index not in self._states[job_id] and job_id not in self._accounted:
            self._accounted.add(job_id)
            self._states[job_id] |= evidence.accounted_states(job_id)
        return self._states[job_id].get(index)

    def _ends_of(self, submission: Submission) -> dict[tuple[int, int], ElementEnd]:
        name = submission.name
        if name not in self._ends:
            self._ends[name] = evidence.element_ends(self._run.element_ends(name))
        return self._ends[name]

    @cached_property
    def _submission(self) -> dict[str, Submission]:
        """Task id → the array it was last submitted with."""
        accepted = (each for each in Ledger(self._run).submissions() if each.job_id)
        return {task: each for each in accepted for task in each.tasks}

    @cached_property
    def _log(self) -> FailureLog:
        return FailureLog(self._run)


def _has_saved(attempt: AttemptAccount, end: ElementEnd | None, submission: Submission) -> bool:
    """True if an attempt ended to be requeued, and its batch script saw that."""
    if end is None or end.status not in REQUEUE_STATUSES:
        return False
    # A signal while libraries are loaded ends a worker at once, without an account. In a
    # pack the status is that of all its tasks.
    return attempt.has_ended or len(submission.elements[attempt.index]) == 1


def _found(name: FailureClass, attempt: AttemptAccount, end: ElementEnd | None) -> _Found:
    by = EXPLANATIONS[name]
    if name == "killed" and end and end.signal:
        by = f"signal {end.signal}"
    where = attempt.node or "an unknown node"
    return _Found(name, f"Attempt {attempt.number} on {where} was ended by {by}.", attempt.node)

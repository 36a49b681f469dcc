"""The ledger of submissions (``submissions.jsonl``): an intent before, a job id after.

A launcher that dies between the two leaves an intent without an id. The job, if there is
one, carries the intent's unique name, so the next launch finds it and completes the line.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mo_hpc.core.files import append_line, read_lines
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.provenance import utc_now
from mo_hpc.executors.slurm.squeue import QueueRow

LEDGER_SCHEMA_VERSION = 2


Elements = tuple[tuple[str, ...], ...]
"""Task ids of each element of an array, in the order of its indices."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One array or job that was, or was going to be, given to Slurm.

    Attributes:
        name: Its unique job name.
        elements: The tasks of its elements; empty for a job that follows the arrays.
        job_id: None until it is known that Slurm accepted it.
        dropped: True if it is known that Slurm did not.
        cancelled: The tasks that a person took back.
        time: When it was intended, ISO 8601, UTC.
    """

    name: str
    elements: Elements
    job_id: str | None = None
    dropped: bool = False
    cancelled: frozenset[str] = frozenset()
    time: str = field(default="", compare=False)

    @property
    def is_open(self) -> bool:
        """True while it is not known what became of the intent."""
        return self.job_id is None and not self.dropped

    @property
    def tasks(self) -> tuple[str, ...]:
        """The ids of all its tasks."""
        return tuple(task for element in self.elements for task in element)

    def index(self, task_id: str) -> int:
        """The element that runs a task."""
        return next(i for i, element in enumerate(self.elements) if task_id in element)


class Ledger:
    """The submissions of one run, in order."""

    def __init__(self, run: RunPaths) -> None:
        self._path = run.submissions

    def submissions(self) -> list[Submission]:
        """Everything submitted or intended so far."""
        found: dict[str, Submission] = {}
        for line in filter(_is_entry, read_lines(self._path)):
            name = line["name"]
            event = line["event"]
            if event == "intent":
                found[name] = Submission(
                    name=name, elements=_elements(line), time=str(line.get("time", ""))
                )
            elif name in found:
                found[name] = _changed(found[name], event, line)
        return list(found.values())

    def elements(self, name: str) -> Elements:
        """The tasks of each element of the array of this name; empty if there is none."""
        named = (each.elements for each in self.submissions() if each.name == name)
        return next(named, ())

    def intend(self, label: str, elements: Sequence[Sequence[str]]) -> str:
        """Writes an intent and returns the unique job name to submit under."""
        name = f"{label}-{uuid.uuid4().hex[:8]}"
        self._append("intent", name, elements=[list(element) for element in elements])
        return name

    def confirm(self, name: str, job_id: str) -> None:
        """Writes that Slurm accepted the submission."""
        self._append("submitted", name, job_id=job_id)

    def drop(self, name: str, reason: str) -> None:
        """Writes that the submission did not reach Slurm, or has left it unseen."""
        self._append("dropped", name, reason=reason)

    def cancel(self, name: str, tasks: Iterable[str]) -> None:
        """Writes that a person took tasks of the submission back."""
        self._append("cancelled", name, tasks=sorted(tasks))

    def repair(self, rows: Iterable[QueueRow]) -> list[Submission]:
        """Settles intents that a launcher left open, by the job names in the queue.

        An intent that is not in the queue either never reached Slurm or has ended since;
        the records of its tasks tell which.

        Returns:
            The submissions that were settled, as they stand now.
        """
        job_ids = {row.name: row.job_id for row in rows}
        settled = [each for each in self.submissions() if each.is_open]
        for submission in settled:
            if job_id := job_ids.get(submission.name):
                self.confirm(submission.name, job_id)
            else:
                self.drop(submission.name, "not in the queue at the next launch")
        return [
            replace(each, job_id=job_ids.get(each.name), dropped=each.name not in job_ids)
            for each in settled
        ]

    def _append(self, event: str, name: str, **fields: Any) -> None:
        line = {
            "schema_version": LEDGER_SCHEMA_VERSION,
            "event": event,
            "name": name,
            "time": utc_now(),
            **fields,
        }
        append_line(self._path, line)


def _elements(line: dict[str, Any]) -> Elements:
    """The elements of an intent; before version 2 each was one task."""
    elements = line.get("elements", [[task] for task in line.get("tasks", ())])
    return tuple(tuple(element) for element in elements)


def _changed(submission: Submission, event: str, line: dict[str, Any]) -> Submission:
    """A submission after an event that followed its intent."""
    if event == "submitted":
        # What was given up after a timeout of sbatch may be found in the queue later.
        return replace(submission, job_id=line["job_id"], dropped=False)
    if event == "dropped":
        return replace(submission, dropped=True)
    return replace(submission, cancelled=submission.cancelled | set(line["tasks"]))


def _is_entry(line: Any) -> bool:
    """False for a line that no ledger wrote, such as one damaged by a crash."""
    if not isinstance(line, dict) or not isinstance(line.get("name"), str):
        return False
    match line.get("event"):
        case "intent":
            listed = line.get("elements", line.get("tasks"))
            return isinstance(listed, list) and all(
                isinstance(task, str) for element in _elements(line) for task in element
            )
        case "submitted":
            return isinstance(line.get("job_id"), str)
        case "cancelled":
            return isinstance(line.get("tasks"), list)
        case event:
            return event == "dropped"

"""What an attempt left behind that tells how it ended: accounts, exit statuses, last words."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mo_hpc.core.failure import FailureClass
from mo_hpc.core.paths import TaskPaths
from mo_hpc.executors.slurm.commands import ask_or_none

_LAST_WORDS: tuple[tuple[str, FailureClass], ...] = (
    (r"DUE TO TIME LIMIT", "time_limit"),
    (r"DUE TO PREEMPTION", "preempted"),
    (r"DUE TO NODE FAILURE|Node failure on |NODE_FAIL", "node_failure"),
    (r"oom[-_ ]?kill|exceeded (\w+ )?memory limit|Out Of Memory", "host_out_of_memory"),
    (r"CUDA out of memory|CUDA error: out of memory", "gpu_out_of_memory"),
    (
        r"EADDRINUSE|[Aa]ddress already in use|NCCL (WARN|error)|Connection closed by peer",
        "communication",
    ),
    # A signal to the step, which is no more than that, is told as "STEP … CANCELLED AT".
    (r"JOB \d+ ON \S+ CANCELLED AT", "cancelled"),
)
"""What Slurm and libraries write on stderr last, most telling first."""

_JOB_STATES: dict[str, FailureClass] = {
    "TIMEOUT": "time_limit",
    "DEADLINE": "time_limit",
    "PREEMPTED": "preempted",
    "NODE_FAIL": "node_failure",
    "BOOT_FAIL": "node_failure",
    "OUT_OF_MEMORY": "host_out_of_memory",
    "CANCELLED": "cancelled",
}
"""How Slurm calls the end of a job; FAILED and COMPLETED say nothing about a task."""

_MOST_READ = 64 * 1024
_SIGNALS_FROM = 128


@dataclass(frozen=True, slots=True)
class AttemptAccount:
    """What an attempt wrote about itself (``slurm.json``); times are ISO 8601."""

    folder: Path
    number: int
    node: str | None
    exit_code: int | None
    job: str | None
    index: int
    restart: int
    log_offset: int
    started: str | None = None
    ended: str | None = None
    pid: int | None = None
    cores: int = 0
    gpus: int = 0

    @property
    def has_ended(self) -> bool:
        """False if nothing was written at its end: it was killed, or is at work."""
        return self.exit_code is not None


def last_attempt(paths: TaskPaths) -> AttemptAccount | None:
    """The newest attempt of a task; None if there is none that left an account."""
    number = paths.last_attempt()
    return _read_account(paths, number) if number else None


def all_attempts(paths: TaskPaths) -> list[AttemptAccount]:
    """Every attempt of a task, oldest first."""
    return [_read_account(paths, number) for number in paths.attempt_numbers()]


def _read_account(paths: TaskPaths, number: int) -> AttemptAccount:
    folder = paths.attempt(number)
    try:
        document = json.loads(_read_small(folder / "slurm.json"))
    except (OSError, ValueError):
        document = {}
    return _account(folder, number, document if isinstance(document, dict) else {})


def _read_small(path: Path) -> bytes:
    """A small file, without a file object: one status of a large grid reads ten thousand."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, _MOST_READ)
    finally:
        os.close(descriptor)


def _account(folder: Path, number: int, document: Mapping[str, Any]) -> AttemptAccount:
    slurm = document.get("slurm") or {}
    return AttemptAccount(
        folder=folder,
        number=number,
        node=document.get("node"),
        exit_code=document.get("exit_code"),
        job=slurm.get("array_job_id") or slurm.get("job_id"),
        index=int(slurm.get("array_task_id", 0)),
        restart=int(slurm.get("restart_count", 0)),
        log_offset=int(document.get("log_offset", 0)),
        started=document.get("started"),
        ended=document.get("ended"),
        pid=document.get("pid"),
        cores=int(document.get("cores", 0)),
        gpus=int(document.get("gpus", 0)),
    )


@dataclass(frozen=True, slots=True)
class ElementEnd:
    """How the batch script of an array element ended, in its own words."""

    status: int
    node: str
    at: float = field(default=0.0, compare=False)
    """Seconds since the epoch."""

    @property
    def signal(self) -> int | None:
        """The signal that killed what it ran, if one did."""
        return self.status - _SIGNALS_FROM if self.status > _SIGNALS_FROM else None


def element_ends(path: Path) -> dict[tuple[int, int], ElementEnd]:
    """(Index of the element, restart count) → how it ended."""
    ends = {}
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    for line in lines:
        words = line.split()
        if len(words) != 5:  # noqa: PLR2004 - index, status, restarts, node, time
            continue
        index, status, restarts, node, at = words
        if all(word.isdigit() for word in (index, status, restarts, at)):
            ends[int(index), int(restarts)] = ElementEnd(int(status), node, float(at))
    return ends


def last_words(log: Path, offset: int = 0) -> str:
    """The end of a log, at most 64 KiB, from an offset in bytes."""
    try:
        with log.open("rb") as handle:
            size = handle.seek(0, 2)
            handle.seek(max(offset, size - _MOST_READ))
            return handle.read().decode(errors="replace")
    except OSError:
        return ""


def last_line(text: str) -> str | None:
    """The last line of a log that says something; what srun says of its own end is left out."""
    lines = [line for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("srun: ")]
    return (telling or lines)[-1] if lines else None


def class_from_words(text: str) -> FailureClass | None:
    """The failure class that the last words of an attempt tell."""
    return next((name for pattern, name in _LAST_WORDS if re.search(pattern, text)), None)


def remembered_states(job_id: str) -> dict[int, str]:
    """Index of an element → its state, of those that Slurm has not forgotten yet."""
    shown = ask_or_none("scontrol", "-o", "show", "job", job_id) or ""
    found = re.findall(r"\bArrayTaskId=(\d+) .*?\bJobState=(\w+)", shown)
    return {int(index): state for index, state in found}


def accounted_states(job_id: str) -> dict[int, str]:
    """Index of an element → its state, as accounting has it; empty where that is off."""
    listed = ask_or_none("sacct", "-X", "-n", "-P", "-j", job_id, "-o", "JobID,State") or ""
    pairs = re.findall(r"^\d+_(\d+)\|(\w+)", listed, re.MULTILINE)
    return {int(index): state for index, state in pairs}


def class_from_job_state(state: str | None) -> FailureClass | None:
    """The failure class that a job state tells."""
    return _JOB_STATES.get(state or "")

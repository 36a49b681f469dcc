"""One attempt at a task: its number, its times and where its output is."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import Resources
from mo_hpc.core.files import read_json, write_json
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.provenance import made_in, slurm_job, utc_now
from mo_hpc.executors.processes.machine import n_ranks

ATTEMPT_SCHEMA_VERSION = 2

OutputSetter = Callable[[Path], None]
"""Given an attempt's folder, puts this process's stdout and stderr there."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that has begun; without an end it was killed."""

    folder: Path
    number: int
    started: str
    resources: Resources
    log_offset: int

    def end(self, exit_code: int) -> None:
        """Writes how and when the attempt ended."""
        self.save(ended=utc_now(), exit_code=exit_code)

    def save(self, *, ended: str | None, exit_code: int | None) -> None:
        """Writes the attempt's account; an end of None says that it is still at work."""
        document = {
            "schema_version": ATTEMPT_SCHEMA_VERSION,
            "attempt": self.number,
            "started": self.started,
            "ended": ended,
            "exit_code": exit_code,
            "node": os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
            "pid": os.getpid(),
            "slurm": slurm_job(),
            "made_in": made_in(),
            # A requeued task appends to the log of its first start.
            "log_offset": self.log_offset,
            "cores": n_ranks(self.resources) * self.resources.cpus_per_task,
            "gpus": self.resources.nodes * self.resources.gpus_per_node,
        }
        write_json(self.folder / "slurm.json", document)


def begin_attempt(
    paths: TaskPaths, resources: Resources, set_output: OutputSetter | None
) -> Attempt:
    """Opens the next attempt.

    The error of an earlier attempt moves into that attempt's folder: if this one is killed,
    the task is unfinished, not failed.
    """
    number = paths.last_attempt() + 1
    folder = paths.attempt(number)
    folder.mkdir(parents=True)
    if number > 1 and paths.error.exists():
        paths.error.replace(paths.attempt(number - 1) / paths.error.name)
    if set_output:
        set_output(folder)
    log = folder / "stderr"
    offset = log.stat().st_size if log.exists() else 0
    attempt = Attempt(
        folder=folder, number=number, started=utc_now(), resources=resources, log_offset=offset
    )
    attempt.save(ended=None, exit_code=None)
    return attempt


def images_so_far(paths: TaskPaths) -> list[str | None]:
    """What `made_in` said in each attempt that the newest goes on from, and in that one, once.

    An attempt that left no checkpoint left nothing of its image either.
    """
    numbers = paths.attempt_numbers()
    if not paths.checkpoint_last.exists():
        numbers = numbers[-1:]
    found: dict[str | None, None] = {}
    for number in numbers:
        # One that was killed before it could say anything did nothing either.
        with suppress(UserError):
            found[read_json(paths.attempt(number) / "slurm.json").get("made_in")] = None
    return list(found)


def redirect_output(folder: Path) -> None:
    """Sends this process's stdout and stderr to files in the folder."""
    for stream, name in ((sys.stdout, "stdout"), (sys.stderr, "stderr")):
        stream.flush()
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)

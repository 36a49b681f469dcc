"""Programs of this package in processes of their own: a crash or a wait there ends no check."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

from mo_hpc.executors.processes.ranks import without_ranks

PATIENCE_S = 180.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.

    Attributes:
        code: Exit status; None if it was killed because it took too long.
        out: What it printed.
        errors: What it wrote to stderr.
    """

    code: int | None
    out: str
    errors: str

    @property
    def why(self) -> str:
        """What it says of a failure: the last line of its stderr."""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        ended = "took too long" if self.code is None else f"ended with status {self.code}"
        return f"it {ended}: {lines[-1]}" if lines else f"it {ended}"


def alone() -> dict[str, str]:
    """The environment of a program that belongs to no job, step or launch around this one."""
    return {
        name: value
        for name, value in without_ranks(os.environ).items()
        if not name.startswith(("SLURM_", "MASTER_")) and name not in {"RANK", "WORLD_SIZE"}
    }


def run_command_line(
    command: Sequence[str], environment: dict[str, str], *, patience_s: float = PATIENCE_S
) -> Ended:
    """Runs one program to its end, or kills it when patience is up."""
    return _run_together([(list(command), environment)], patience_s)[0]


def run_ranks(module: str, words: Sequence[str], n_ranks: int) -> list[Ended]:
    """Runs a module as the ranks of one task on this machine; one that fails ends all."""
    command = [sys.executable, "-m", module, *words]
    place = {"WORLD_SIZE": str(n_ranks)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(n_ranks)]
    return _run_together([(command, alone() | place | rank) for rank in ranks], PATIENCE_S)


def _run_together(
    commands: list[tuple[list[str], dict[str, str]]], patience_s: float
) -> list[Ended]:
    with ExitStack() as stack:
        started = []
        for command, environment in commands:
            # Files: a pipe that nobody reads would stop a talkative program.
            out = stack.enter_context(tempfile.TemporaryFile("w+"))
            errors = stack.enter_context(tempfile.TemporaryFile("w+"))
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                start_new_session=True,
            )
            stack.callback(_kill, process)
            started.append((process, out, errors))
        late = _wait([process for process, _, _ in started], patience_s)
        return [
            Ended(None if process in late else process.returncode, _text(out), _text(errors))
            for process, out, errors in started
        ]


def _wait(
    processes: list[subprocess.Popen[bytes]], patience_s: float
) -> list[subprocess.Popen[bytes]]:
    """Waits for all, kills the rest when one fails or time is up, and returns who was late."""
    deadline = time.monotonic() + patience_s
    while any(process.poll() is None for process in processes):
        failed = any(process.poll() not in {None, 0} for process in processes)
        if failed or time.monotonic() > deadline:
            late = [process for process in processes if process.poll() is None]
            for process in late:
                _kill(process)
            return [] if failed else late
        time.sleep(_POLL_S)
    return []


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a program that still runs, and what it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()

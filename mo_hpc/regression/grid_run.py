"""Running the grid of a night with the suite's own commands, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mo_hpc.core.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_INCOMPLETE, WorkIncomplete
from mo_hpc.regression.history import UnfinishedTask

POLL_S = 30.0
"""Seconds between two questions to the scheduler, which many people share."""

_ENDED = frozenset({"done", "failed", "blocked", "missing"})
_MOST_FAILED_POLLS = 10
_COLUMNS = (
    BarColumn(bar_width=24),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TextColumn("{task.description}", markup=False),
)


class RefusedError(Exception):
    """The launch refused its words and has said why.

    Attributes:
        document: What it printed on stdout, one JSON document.
    """

    def __init__(self, document: str) -> None:
        super().__init__("the launch was refused")
        self.document = document


@dataclass(frozen=True, slots=True)
class Ended:
    """A grid whose tasks have all ended, however they did."""

    run_dir: Path
    grid: str
    done: tuple[str, ...]
    unfinished: tuple[UnfinishedTask, ...]


def run_grid(words: Sequence[str], *, wait_s: float) -> Ended:
    """Launches a grid and waits for its tasks.

    Args:
        words: Of the launch.
        wait_s: Seconds after which tasks that are still in the queue count as not done.

    Raises:
        RefusedError: If the words are wrong.
        WorkIncomplete: If the launch or the watching broke off.
    """
    environment = _environment(os.environ, words)
    launched = _launch(words, environment)
    run_dir = Path(launched["run_dir"])
    status = _wait(run_dir, environment, time.monotonic() + wait_s)
    failures = {each["id"]: each for each in status["failures"]}
    states = {task["id"]: task["state"] for task in status["tasks"]}
    return Ended(
        run_dir=run_dir,
        grid=launched["grid"],
        done=tuple(task_id for task_id, state in states.items() if state == "done"),
        unfinished=tuple(
            _unfinished(task_id, state, failures.get(task_id, {}))
            for task_id, state in states.items()
            if state != "done"
        ),
    )


def _launch(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    done = _command("mo_hpc.launch", words, environment)
    if done.returncode == EXIT_BAD_INPUT:
        raise RefusedError(done.stdout)
    document = _document(done) if done.returncode in (EXIT_DONE, EXIT_INCOMPLETE) else None
    if document is None:
        raise WorkIncomplete(f"The launch ended with status {done.returncode}; nothing to compare.")
    return document


def _wait(run_dir: Path, environment: Mapping[str, str], until: float) -> dict[str, Any]:
    """Polls until no task is running or queued any more, or the time is up."""
    failed_polls = 0
    with Progress(*_COLUMNS, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("tasks", total=None)
        while True:
            document = _document(_command("mo_hpc.status", [f"run={run_dir}"], environment))
            if document is None:
                failed_polls += 1
            else:
                failed_polls = 0
                states = [task["state"] for task in document["tasks"]]
                ended = sum(state in _ENDED for state in states)
                progress.update(bar, completed=ended, total=len(states))
                if ended == len(states) or time.monotonic() >= until:
                    return document
            if failed_polls == _MOST_FAILED_POLLS:
                raise WorkIncomplete(f"The state of {run_dir} could not be read.")
            time.sleep(POLL_S)


def _command(
    module: str, words: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs one of the suite's commands; what it says to people goes to stderr at once."""
    return subprocess.run(
        [sys.executable, "-m", module, *words, "--json"],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        check=False,
    )


def _document(done: subprocess.CompletedProcess[str]) -> dict[str, Any] | None:
    try:
        document = json.loads(done.stdout)
    except json.JSONDecodeError:
        return None
    return document if isinstance(document, dict) and "tasks" in document else None


def _environment(inherited: Mapping[str, str], words: Sequence[str]) -> dict[str, str]:
    """The environment without the surrounding job, whose limits its own jobs would inherit."""
    if "executor=slurm" not in words:
        return dict(inherited)
    return {
        name: value
        for name, value in inherited.items()
        if name == "SLURM_CONF" or not name.startswith(("SLURM_", "SBATCH_"))
    }


def _unfinished(task_id: str, state: str, failure: Mapping[str, Any]) -> UnfinishedTask:
    return UnfinishedTask(
        id=task_id,
        state=state,
        failure_class=failure.get("class"),
        reason=failure.get("reason"),
    )

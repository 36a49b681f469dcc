"""Giving a job to Slurm: once, whatever goes wrong on the way."""

from __future__ import annotations

import io
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from mo_hpc.executors.slurm.commands import ask_or_none

_TRIES = 5
_FIRST_WAIT_S = 2.0
_BUSY = re.compile(
    r"timed out|unable to contact|temporarily|connection (refused|reset)|Transport endpoint|"
    r"Zero Bytes|Unexpected message|in backup mode",
    re.IGNORECASE,
)
_NAMED_LIMIT = re.compile(r"\b(?:Assoc|QOS)\w*Limit\b")
_ANY_LIMIT = "job submit limit"
"""In the sentence that follows a refusal by whichever limit."""


class Refused(Exception):
    """Slurm did not take a job; the message is its own.

    Attributes:
        is_full: True if the user has as many jobs in the queue as are allowed.
        is_unsure: True if the controller was too busy to say whether it took the job.
    """

    def __init__(self, message: str) -> None:
        lines = [line.removeprefix("sbatch: error: ") for line in message.strip().splitlines()]
        super().__init__("; ".join(lines) or "no message")
        named = _NAMED_LIMIT.search(message)
        self.is_full = "Submit" in named[0] if named else _ANY_LIMIT in message
        self.is_unsure = _BUSY.search(message) is not None


def submit_array(folder: Path, command: str, n_elements: int, parameters: dict[str, Any]) -> str:
    """Submits an array through submitit, which writes its batch script.

    submitit's pickles are left out: an element finds its tasks in the ledger, so an array is
    one file and one call however many elements it has, and any Python can run them.

    Args:
        folder: Where batch script and logs go.
        command: What each element runs.
        n_elements: Number of elements.
        parameters: Parameters of submitit's `SlurmExecutor`.

    Returns:
        The array's job id.

    Raises:
        Refused: If Slurm does not take it.
    """
    import submitit

    executor = submitit.SlurmExecutor(folder, max_num_timeout=0)
    executor.update_parameters(**parameters)
    executor.parameters["map_count"] = n_elements
    folder.mkdir(parents=True, exist_ok=True)

    def submit() -> str:
        try:
            # submitit prints sbatch's complaint; it comes back in the error as well.
            with _outside_of_jobs(), redirect_stderr(io.StringIO()):
                return str(executor._submit_command(command).job_id)  # noqa: SLF001
        except (
            submitit.core.utils.FailedJobError,
            submitit.core.utils.FailedSubmissionError,
        ) as error:
            raise Refused(str(error)) from None

    return _insist(submit, parameters["job_name"])


def submit_script(script: Path, name: str) -> str:
    """Submits a batch script.

    Returns:
        The job id.

    Raises:
        Refused: If Slurm does not take it.
    """

    def submit() -> str:
        with _outside_of_jobs():
            done = subprocess.run(
                ["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False
            )
        if done.returncode:
            raise Refused(done.stderr)
        # On federated clusters the id is followed by the cluster's name.
        return done.stdout.strip().partition(";")[0]

    return _insist(submit, name)


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """An environment without the settings of the job that this process may run in.

    Which cluster is meant is no such setting, though its variable is named alike.
    """
    import submitit

    cluster = os.environ.get("SLURM_CONF")
    with submitit.helpers.clean_env():
        if cluster is not None:
            os.environ["SLURM_CONF"] = cluster
        try:
            yield
        finally:
            os.environ.pop("SLURM_CONF", None)


def _insist(submit: Callable[[], str], name: str) -> str:
    """Tries again while the controller is busy, unless it took the job without saying so."""
    for number in range(1, _TRIES + 1):
        try:
            return submit()
        except Refused as refusal:
            if not refusal.is_unsure:
                raise
            if taken := _job_named(name, refusal):
                return taken
            if number == _TRIES:
                raise
    raise AssertionError("the last try returns or raises")


def _job_named(name: str, refusal: Refused) -> str | None:
    """The id of the job of this unique name; None once Slurm says that there is none.

    Raises:
        Refused: The one given, if Slurm goes on saying nothing.
    """
    for number in range(_TRIES):
        # Launchers that were turned away together must not come back together.
        time.sleep(_FIRST_WAIT_S * 2**number * random.uniform(0.5, 1.5))  # noqa: S311
        # A short job may have ended meanwhile.
        listed = ask_or_none("squeue", "-h", "-t", "all", "-n", name, "-o", "%F")
        if listed is not None:
            return next(iter(listed.split()), None)
    raise refusal

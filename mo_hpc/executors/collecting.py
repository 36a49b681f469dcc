"""Making tables and figures when the tasks of a run have ended."""

from __future__ import annotations

import subprocess
import sys

from mo_hpc.core.paths import RunPaths
from mo_hpc.core.schema import RunConfig
from mo_hpc.executors.resubmission import Outcome


def collect(run: RunPaths) -> int:
    """Makes tables and figures in a process of its own, which may import what it needs.

    Returns:
        Its exit status.
    """
    command = [sys.executable, "-m", "mo_hpc.collect", f"run={run.folder}", "--partial"]
    # What it prints is for people; stdout may hold a JSON document.
    return subprocess.run(command, stdout=sys.stderr, check=False).returncode


def collect_if_ended(run: RunPaths, config: RunConfig, outcome: Outcome) -> None:
    """Makes tables and figures if tasks were run, and not only queued."""
    if outcome.submitted and config.executor.collect and config.executor.name != "slurm":
        collect(run)

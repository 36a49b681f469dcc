"""Runs one task: ``python -m mo_hpc.worker TASK_FOLDER``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mo_hpc.core.errors import run_command
from mo_hpc.executors.run_task import run_task
from mo_hpc.executors.stopping import leave, leave_when_asked


def main(arguments: Sequence[str]) -> int:
    """Entry point; see `mo_hpc.executors.run_task.run_task` for the exit statuses."""
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.worker",
        description="Run one task of a run directory; a done task ends at once.",
        epilog="Exit status: 0 done, 1 failed or waiting, 2 bad input, 85 stopped and saved.",
    )
    parser.add_argument("folder", type=Path, help="the task's folder, RUN/tasks/ID")
    folder = parser.parse_args(arguments).folder
    leave_when_asked()
    return run_task(folder, show_progress=sys.stderr.isatty())


if __name__ == "__main__":
    leave(run_command(main, sys.argv[1:]))

"""What an array element runs: ``python -m mo_hpc.executors.slurm.element RUN NAME``.

The tasks of an element stand in the ledger, under the name of its array. Nothing is pickled:
the Python of the compute node, in a container or not, need not be the launcher's.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mo_hpc.core.errors import UserError, run_command
from mo_hpc.core.paths import RunPaths
from mo_hpc.executors.run_task import run_task
from mo_hpc.executors.slurm.ledger import Ledger
from mo_hpc.executors.stopping import leave, leave_when_asked

_PATIENCE_S = 60
"""For a worker of the same task that is dying, such as one on a node that Slurm gave up."""


def main(arguments: Sequence[str]) -> int:
    """Runs the tasks of this array element; see `run_task` and `run_pack` for the statuses."""
    options = _parser().parse_args(arguments)
    run = RunPaths(options.run)
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    elements = Ledger(run).elements(options.name)
    if index >= len(elements):
        raise UserError(
            f"The ledger has no element {index} of the array '{options.name}'.",
            where=str(run.submissions),
            remedy="Launch the grid again; what was not done is submitted again.",
        )
    element = elements[index]
    # The last element of packed tasks may hold one; the job has the shape of the others.
    if all(len(each) == 1 for each in elements):
        folder = run.task(element[0]).folder
        link = partial(_link_output, run.scheduler_logs.absolute())
        return run_task(folder, set_output=link, patience_s=_PATIENCE_S)
    return _run_pack(run, element, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.executors.slurm.element",
        description="Run the tasks of one element of a Slurm array.",
    )
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("name", help="the array's name in the run's ledger")
    parser.add_argument("--at-once", type=int, default=1, help="tasks at the same time")
    parser.add_argument("--share-gpus", action="store_true", help="they share the GPUs")
    parser.add_argument("--warning-s", type=int, default=90, help="time to save before the end")
    parser.add_argument("--max-requeues", type=int, default=20, help="restarts of one task")
    return parser


def _run_pack(run: RunPaths, task_ids: Sequence[str], options: argparse.Namespace) -> int:
    from mo_hpc.core.record import read_task
    from mo_hpc.executors.processes.pack import run_pack

    ends = os.environ.get("MO_HPC_JOB_ENDS")
    return run_pack(
        run,
        [read_task(run.task(task_id)) for task_id in task_ids],
        at_once=options.at_once,
        share_gpus=options.share_gpus,
        ends_at=float(ends) if ends else None,
        warning_s=options.warning_s,
        max_requeues=options.max_requeues,
    )


def _link_output(logs: Path, attempt: Path) -> None:
    """Puts links to the scheduler's log files into the attempt's folder.

    Links, because Slurm itself writes its last words (time limit, memory) to its own files.
    """
    job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    for name, ending in (("stdout", "out"), ("stderr", "err")):
        log = logs / f"{job}_{os.environ['SLURM_PROCID']}_log.{ending}"
        (attempt / name).symlink_to(os.path.relpath(log, attempt.absolute()))


if __name__ == "__main__":
    leave_when_asked()
    leave(run_command(main, sys.argv[1:]))

"""`python -m mo_hpc.follow`: what remains to be done when arrays of a run have ended."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mo_hpc.core.errors import EXIT_DONE, UserError, run_command
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.record import read_task
from mo_hpc.core.schema import RunConfig
from mo_hpc.core.words import parse_words
from mo_hpc.executors.collecting import collect
from mo_hpc.executors.resubmission import launch_lock, submit_missing
from mo_hpc.executors.slurm.executor import SlurmExecutor
from mo_hpc.plan.manifest import read_manifest
from mo_hpc.plan.reconcile import Wish
from mo_hpc.plan.runs import RUN_WORDS, find_run, read_run_config

_PATIENCE_S = 600
"""A launch by hand at the same moment is let through first."""

_DESCRIPTION = """\
Submits the tasks of a run that found no room in the queue and those that the
rules (configs/retry) try again; makes tables and figures when nothing is left.
A Slurm job runs this after the arrays; by hand it does the same.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; see ``--help``."""
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.follow",
        description=_DESCRIPTION,
        epilog="exit status: 0 submitted or all collected, 1 tables lack tasks, 2 wrong input.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="run=DIR or grid=NAME")
    options = parser.parse_intermixed_args(arguments)
    run = find_run(parse_words(options.words, RUN_WORDS))
    config = read_run_config(run)
    refusal: UserError | None = None
    # A run that was launched again elsewhere since then is not this job's to go on with.
    if config.executor.name == "slurm":
        with launch_lock(run, patience_s=_PATIENCE_S):
            try:
                if _goes_on(run, config):
                    return EXIT_DONE
            except UserError as error:
                refusal = error
    # Also after a refusal: nobody else will make tables of what there is.
    status = collect(run) if config.executor.collect else EXIT_DONE
    if refusal is not None:
        raise refusal
    return status


def _goes_on(run: RunPaths, config: RunConfig) -> bool:
    """Submits what there is to submit; False if the run has come to its end."""
    manifest = read_manifest(run)
    tasks = [read_task(run.task(task.id)) for task in manifest.tasks]
    outcome = submit_missing(run, config, manifest, tasks, Wish(by_hand=False))
    print(f"{len(outcome.submitted)} tasks submitted.", file=sys.stderr)
    if outcome.submitted or outcome.n_waiting:
        return True
    return SlurmExecutor(run, config).follow()


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))

"""`python -m mo_hpc.cancel`: takes back what is queued or running of a run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack

from mo_hpc.core.errors import EXIT_DONE, EXIT_INCOMPLETE, UserError, run_command
from mo_hpc.core.paths import RunPaths
from mo_hpc.executors.resubmission import Launcher, launch_lock, launcher_at_work
from mo_hpc.plan.manifest import read_manifest
from mo_hpc.plan.runs import RUN_WORDS, find_run, read_run_config
from mo_hpc.watch.cancelling import Cancellation, carry_out, plan_cancellation
from mo_hpc.watch.wording import number_of
from mo_hpc.watch.words import named_tasks, split_words

CANCEL_SCHEMA_VERSION = 1
_PATIENCE_S = 60
"""For a launch that is submitting: what it submits is to be cancelled too."""
_MOST_LISTED = 20

_DESCRIPTION = """\
Takes back what is queued or running of a run, all of it or the named tasks.
Tasks at work save their state. Nothing comes back by itself: the next launch
submits it again, and trainings go on from where they were.
"""

_EPILOG = """\
examples:
  python -m mo_hpc.cancel grid=demo
  python -m mo_hpc.cancel grid=demo scratch-iid-W
  python -m mo_hpc.cancel run=runs/demo/0a1b2c3d4e5f --yes --json

A task is named by its id, or by a beginning or part that only it has. Short
tasks that share an array element are cancelled together.

exit status: 0 cancelled, 1 nothing was under way, or not confirmed,
2 wrong input, 130 interrupted.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; see ``--help``."""
    options = _parser().parse_intermixed_args(arguments)
    words, names = split_words(options.words, RUN_WORDS)
    run = find_run(words)
    chosen = named_tasks(read_manifest(run), names) if names else None
    # A launch that runs tasks itself is what has to end; any other is waited for.
    is_slurm = read_run_config(run).executor.name == "slurm"
    launcher = None if is_slurm else launcher_at_work(run)
    planned = plan_cancellation(run, chosen, launcher)
    if not planned.is_empty and not options.yes and not _confirmed(planned, run, options.json):
        print("Nothing was cancelled.", file=sys.stderr)
        return EXIT_INCOMPLETE
    cancelled = planned if planned.is_empty else _cancel(run, chosen, launcher)
    _report(run, cancelled, as_json=options.json)
    return EXIT_INCOMPLETE if cancelled.is_empty else EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.cancel",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="run=DIR or grid=NAME, and tasks by name"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _confirmed(planned: Cancellation, run: RunPaths, as_json: bool) -> bool:
    """Shows what would be ended and asks for a yes.

    Raises:
        UserError: If there is nobody to ask.
    """
    if as_json or not sys.stdin.isatty():
        raise UserError(
            f"{number_of(len(planned.tasks), 'task')} would be cancelled, and nobody confirms it.",
            where="command line",
            remedy="Add --yes.",
        )
    print(f"To be cancelled in {run.folder}:", file=sys.stderr)
    _list(planned.tasks)
    if planned.along:
        print("These go along, because they share an array element:", file=sys.stderr)
        _list(planned.along)
    print("Cancel? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _cancel(
    run: RunPaths, chosen: Collection[str] | None, launcher: Launcher | None
) -> Cancellation:
    """Looks again while nobody submits, and ends what is there."""
    with ExitStack() as stack:
        if launcher is None:
            stack.enter_context(launch_lock(run, patience_s=_PATIENCE_S))
        cancellation = plan_cancellation(run, chosen, launcher)
        carry_out(run, cancellation)
    return cancellation


def _report(run: RunPaths, cancelled: Cancellation, *, as_json: bool) -> None:
    if as_json:
        document = {
            "schema_version": CANCEL_SCHEMA_VERSION,
            "run_dir": str(run.folder),
            "cancelled": list(cancelled.tasks),
            "along": list(cancelled.along),
            "jobs": list(cancelled.ids),
            "processes": list(cancelled.processes),
            "elsewhere": [{"pid": each.pid, "node": each.node} for each in cancelled.elsewhere],
        }
        print(json.dumps(document, indent=1))
        return
    if cancelled.is_empty:
        print("Nothing is under way.", file=sys.stderr)
        return
    print(f"{number_of(len(cancelled.tasks), 'task')} cancelled.", file=sys.stderr)
    if cancelled.along:
        print("Of these, tasks that shared an array element:", file=sys.stderr)
        _list(cancelled.along)
    for each in cancelled.elsewhere:
        print(f"End process {each.pid} on {each.node}: kill {each.pid}", file=sys.stderr)
    print("The next launch submits them again.", file=sys.stderr)


def _list(tasks: Sequence[str]) -> None:
    for task in tasks[:_MOST_LISTED]:
        print(f"  {task}", file=sys.stderr)
    if len(tasks) > _MOST_LISTED:
        print(f"  … and {len(tasks) - _MOST_LISTED} more", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))

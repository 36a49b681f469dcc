"""`python -m mo_hpc.status`: what became of the tasks of a run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from rich.console import Console

from mo_hpc.core.errors import EXIT_DONE, EXIT_INCOMPLETE, EXIT_INTERRUPTED, run_command
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.words import parse_words
from mo_hpc.plan.manifest import read_manifest
from mo_hpc.plan.runs import RUN_WORDS, find_run
from mo_hpc.watch.accounting import ask_accounting
from mo_hpc.watch.display import show
from mo_hpc.watch.document import document
from mo_hpc.watch.live import add_watch_option, require_interval, watch, with_interval
from mo_hpc.watch.snapshot import Snapshot, rules_of, take

_DESCRIPTION = """\
Shows the tasks of a run by state, their progress, what failed and why, what
happens next, and what it has cost. State is read from the run's own files
first and from the scheduler second, with one squeue.
"""

_EPILOG = """\
examples:
  python -m mo_hpc.status grid=demo
  python -m mo_hpc.status grid=demo --watch
  python -m mo_hpc.status run=runs/demo/0a1b2c3d4e5f --json

states:
  done       a whole record; nothing will be done again
  running    a worker is at it            queued    it waits for its turn
  requeued   it saved its state and waits to go on
  failed     see the class, the reason and what happens next
  blocked    a task it needs failed
  missing    nothing is under way; the next launch submits it

see also: python -m mo_hpc.logs, .cancel, .retry (each with --help)

exit status: 0 all tasks are done, 1 some are not, 2 wrong input,
130 interrupted.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; see ``--help``."""
    options = _parser().parse_intermixed_args(with_interval(arguments))
    if options.watch is not None:
        require_interval(options.watch)
    run = find_run(parse_words(options.words, RUN_WORDS))
    return show_status(
        run,
        watch_s=options.watch,
        as_json=options.json,
        show_all=options.all,
        accounting=options.accounting,
    )


def show_status(
    run: RunPaths,
    *,
    watch_s: int | None = None,
    as_json: bool = False,
    show_all: bool = False,
    accounting: bool = False,
) -> int:
    """Shows a run, at once or until it ends, and returns the exit status.

    Args:
        run: The run.
        watch_s: Seconds between two looks; None: look once.
        as_json: The account is one JSON document on stdout; what is shown until then goes to
            stderr.
        show_all: List every task and failure.
        accounting: Ask Slurm's accounting for the cost as well.
    """
    try:
        if watch_s is None:
            snapshot = take(run, read_manifest(run), rules_of(run))
        else:
            snapshot = watch(run, watch_s, Console(highlight=False, stderr=as_json))
    except KeyboardInterrupt:
        again = f"python -m mo_hpc.status run={run.folder}"
        print(f"The run goes on; look again with: {again}", file=sys.stderr)
        return EXIT_INTERRUPTED
    _print(snapshot, as_json=as_json, show_all=show_all, accounting=accounting)
    return EXIT_DONE if snapshot.is_done else EXIT_INCOMPLETE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.status",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="run=DIR or grid=NAME")
    add_watch_option(parser)
    parser.add_argument("--all", action="store_true", help="list every task and every failure")
    parser.add_argument(
        "--accounting", action="store_true", help="cost and memory from sacct too, if it answers"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _print(snapshot: Snapshot, *, as_json: bool, show_all: bool, accounting: bool) -> None:
    usage = ask_accounting(snapshot.run) if accounting else None
    if as_json:
        print(json.dumps(document(snapshot, usage), indent=1))
        return
    show(snapshot, Console(highlight=False), show_all=show_all)
    if accounting:
        print(usage.total.sentence() if usage else "Slurm's accounting does not answer here.")


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))

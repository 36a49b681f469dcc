"""`python -m mo_hpc.logs`: what a task printed, and why it failed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mo_hpc.core.errors import EXIT_DONE, EXIT_INCOMPLETE, UserError, run_command
from mo_hpc.core.paths import RunPaths
from mo_hpc.executors.failures.evidence import AttemptAccount
from mo_hpc.plan.manifest import read_manifest
from mo_hpc.plan.runs import RUN_WORDS, find_run
from mo_hpc.watch.follow_log import follow_log
from mo_hpc.watch.output import chosen_attempt, error_of, is_shared, part_of, scheduler_log
from mo_hpc.watch.words import named_tasks, split_words

_DESCRIPTION = """\
Prints what a task wrote to stderr in its last attempt, and if it failed its
message and traceback. Where the files are is said on stderr.
"""

_EPILOG = """\
examples:
  python -m mo_hpc.logs grid=demo scratch-iid-W
  python -m mo_hpc.logs grid=demo scratch-iid-W --follow
  python -m mo_hpc.logs grid=demo scratch-iid-W --attempt 1 --stdout

A task is named by its id, or by a beginning or part that only it has. A task
that was requeued has an attempt for each start; they share a file, of which
only the attempt's own part is shown.

exit status: 0 shown, 1 there is nothing to show, 2 wrong input,
130 interrupted.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; see ``--help``."""
    options = _parser().parse_intermixed_args(arguments)
    words, names = split_words(options.words, RUN_WORDS)
    run = find_run(words)
    manifest = read_manifest(run)
    if len(names) != 1:
        raise UserError(
            "Name one task whose output is wanted." if not names else "Name only one task.",
            where="task",
            valid=[task.id for task in manifest.tasks],
        )
    (task_id,) = named_tasks(manifest, names)
    if options.follow:
        return follow_log(run, task_id, "stdout" if options.stdout else "stderr")
    attempt = chosen_attempt(run.task(task_id), options.attempt)
    if attempt is None:
        return _not_begun(run, task_id)
    _show(run, task_id, attempt, stdout=options.stdout)
    return EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.logs",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="run=DIR or grid=NAME, and a task")
    parser.add_argument("--stdout", action="store_true", help="stdout instead of stderr")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--attempt", type=int, metavar="N", help="that attempt, not the last")
    which.add_argument("--follow", action="store_true", help="go on until the task ends")
    return parser


def _show(run: RunPaths, task_id: str, attempt: AttemptAccount, *, stdout: bool) -> None:
    paths = run.task(task_id)
    name = "stdout" if stdout else "stderr"
    _say(f"{task_id}, attempt {attempt.number} on {attempt.node or 'an unknown node'}")
    if stdout and is_shared(paths, attempt, name):
        _say("Attempts of one job share this file; all of it follows.")
    part = part_of(paths, attempt, stdout=stdout)
    for text in part.read():
        sys.stdout.write(text)
    if (error := error_of(paths, attempt)) and not stdout:
        print(f"\n{error.traceback.rstrip()}")
        _say(f"It failed ({error.failure_class}): {error.message}")
    sys.stdout.flush()
    _say(f"File: {part.log}")


def _not_begun(run: RunPaths, task_id: str) -> int:
    """Shows what the scheduler wrote for a task that has no attempt."""
    log = scheduler_log(run, task_id)
    if log is None:
        _say(f"{task_id} has not begun: it waits in the queue, or was never submitted.")
        _say(f"See: python -m mo_hpc.status run={run.folder}")
        return EXIT_INCOMPLETE
    _say(f"{task_id} has not begun; this is what its job printed.")
    print(Path(log).read_text(errors="replace"), end="")
    _say(f"File: {log}")
    return EXIT_DONE


def _say(line: str) -> None:
    sys.stdout.flush()
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))

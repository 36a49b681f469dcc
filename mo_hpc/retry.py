"""`python -m mo_hpc.retry`: submits failed tasks again."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Collection, Mapping, Sequence
from contextlib import redirect_stdout

from mo_hpc.core.errors import EXIT_DONE, EXIT_INCOMPLETE, run_command, unknown_name
from mo_hpc.core.failure import EXPLANATIONS, FAILURE_CLASSES
from mo_hpc.core.record import read_task
from mo_hpc.executors.collecting import collect_if_ended
from mo_hpc.executors.in_image import enter_with_tasks, run_container
from mo_hpc.executors.resubmission import Outcome, current_states, launch_lock, submit_missing
from mo_hpc.plan.manifest import read_manifest
from mo_hpc.plan.reconcile import Wish
from mo_hpc.plan.runs import RUN_WORDS, find_run, read_run_config
from mo_hpc.plan.state import TaskState
from mo_hpc.watch.outcome import report
from mo_hpc.watch.words import named_tasks, split_words

_DESCRIPTION = """\
Submits tasks that failed again: all of them, those of some classes, or those
that are named. Failures that the rules (configs/retry) try again go by
themselves; this is for the others, once their cause is mended.
"""

_EPILOG = """\
examples:
  python -m mo_hpc.retry grid=demo class=python_error
  python -m mo_hpc.retry grid=demo class=python_error,bad_data
  python -m mo_hpc.retry grid=demo scratch-iid-W

A task is named by its id, or by a beginning or part that only it has; a
cancelled one may be named too. What lacked memory or time gets more of it, as
the rules say. To give more by hand, launch again:
  python -m mo_hpc.launch ... resources.memory_gb=32 retry=failed

exit status: 0 done or submitted, 1 incomplete or failed, 2 wrong input,
130 interrupted.
"""


_NAMES_A_RUN = tuple(f"{word}=" for word in RUN_WORDS)


def main(arguments: Sequence[str]) -> int:
    """Runs the command; see ``--help``."""
    options = _parser().parse_intermixed_args(arguments)
    words, names = split_words(options.words, (*RUN_WORDS, "class"))
    classes = _classes(words.pop("class", None))
    run = find_run(words)
    config, manifest = read_run_config(run), read_manifest(run)
    inside = [word for word in arguments if not word.startswith(_NAMES_A_RUN)]
    inside.append(f"run={run.folder.absolute()}")
    enter_with_tasks(run_container(run, config), config, "mo_hpc.retry", inside)
    named = named_tasks(manifest, names)
    # Libraries that tasks load print what they like; stdout is for the JSON document.
    with launch_lock(run), redirect_stdout(sys.stderr):
        states = current_states(run, manifest, config)
        wanted = _wanted(states, classes, named)
        outcome = Outcome(states, [])
        if not wanted:
            print("No task of that kind failed; nothing was submitted.", file=sys.stderr)
        else:
            tasks = [read_task(run.task(task.id)) for task in manifest.tasks]
            wish = Wish(by_hand=False, tasks=wanted)
            outcome = submit_missing(run, config, manifest, tasks, wish)
    report(run, manifest, outcome, as_json=options.json)
    collect_if_ended(run, config, outcome)
    return EXIT_INCOMPLETE if outcome.is_incomplete else EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.retry",
        description=_DESCRIPTION,
        epilog=f"classes:\n{_explained_classes()}\n\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="run=DIR or grid=NAME, class=NAME, tasks by name"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _explained_classes() -> str:
    return "\n".join(
        textwrap.fill(
            EXPLANATIONS[name],
            width=78,
            initial_indent=f"  {name:18} ",
            subsequent_indent=" " * 21,
        )
        for name in FAILURE_CLASSES
    )


def _classes(text: str | None) -> frozenset[str]:
    """The classes of ``class=A,B``; all where none is named.

    Raises:
        UserError: If a class is unknown.
    """
    if text is None:
        return frozenset(FAILURE_CLASSES)
    named = text.strip("[]").split(",")
    for name in named:
        if name not in FAILURE_CLASSES:
            raise unknown_name("class", name, FAILURE_CLASSES)
    return frozenset(named)


def _wanted(
    states: Mapping[str, TaskState], classes: Collection[str], named: Collection[str]
) -> frozenset[str]:
    """Tasks that failed in one of these ways, if any are named among those.

    What was cancelled goes only if it is named, by itself or by its class.
    """
    return frozenset(
        task_id
        for task_id, state in states.items()
        if state.diagnosis
        and state.diagnosis.failure_class in classes
        and (task_id in named or not named)
        and (state.name == "failed" or task_id in named or len(classes) < len(FAILURE_CLASSES))
    )


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))

"""`python -m mo_hpc.nightly`: a small grid every night against an accepted reference."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mo_hpc.core.errors import (
    EXIT_BAD_INPUT,
    EXIT_DONE,
    EXIT_INCOMPLETE,
    UserError,
    run_command,
)
from mo_hpc.core.libraries import TABLES, require_libraries
from mo_hpc.core.words import parse_words

if TYPE_CHECKING:
    from mo_hpc.regression.compare import Comparison
    from mo_hpc.regression.folder import NightlyFolder
    from mo_hpc.regression.history import Night

NIGHTLY_SCHEMA_VERSION = 1
_DEFAULT_AT = "03:30"
"""Outside the hours that daylight saving time skips or repeats."""

_NIGHTS_SHOWN = 10

_DESCRIPTION = """\
Runs a small grid and compares every metric with a reference that was accepted:
what moved, by how much, and since which commit. The reference changes only by
accept, with a reason.

commands:
  run        run the grid afresh, compare, add a line to the history
  accept     make a night's results the reference (--reason is mandatory)
  show       the last nights and the reference
  install    start it every night: by scrontab, cron or a self-resubmitting job
  uninstall  remove what install set up
"""

_EPILOG = """\
keys:
  nightly_root=DIR   reference, history, figures (default: nightly)
  runs_root=DIR      runs of the nights (default: <nightly_root>/runs)
  keep=N             nights whose runs are kept (default: 7)
  wait_hours=N       then tasks in the queue count as not done (default: 12)
  night=NAME         accept: another night than the last
  any other          run, install: passed to python -m mo_hpc.launch; defaults:
                     grid=nightly axes.seed=[1,2,3,4,5], and with executor=slurm
                     site.partition=nightly

examples:
  python -m mo_hpc.nightly run
  python -m mo_hpc.nightly accept --reason "first reference"
  python -m mo_hpc.nightly install executor=slurm site=NAME --at 03:30 --dry-run

exit status: 0 all within tolerance, 1 regression or tasks not done,
2 wrong input or no reference yet, 130 interrupted.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; see ``--help``."""
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.nightly",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=_COMMANDS, metavar="command", help="see above")
    parser.add_argument("words", nargs="*", metavar="key=value", help="see below")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--reason", default="", help="accept: why these results are right")
    parser.add_argument(
        "--method",
        default="auto",
        choices=("auto", "scrontab", "cron", "job"),
        help="install: who starts it (default: the first that works)",
    )
    parser.add_argument(
        "--at", default=_DEFAULT_AT, metavar="HH:MM", help="install: when (default: %(default)s)"
    )
    parser.add_argument("--dry-run", action="store_true", help="install: only show it")
    options = parser.parse_intermixed_args(arguments)
    return _COMMANDS[options.command](options)


def _run(options: argparse.Namespace) -> int:
    require_libraries(
        TABLES, for_what="The nightly check", in_image=["nightly", "run", *options.words]
    )
    from mo_hpc.regression.folder import locked
    from mo_hpc.regression.grid_run import RefusedError
    from mo_hpc.regression.night import run_night, settings_of
    from mo_hpc.regression.trend import write_trends

    settings = settings_of(options.words)
    try:
        with locked(settings.folder):
            result = run_night(settings)
            figures = write_trends(
                settings.folder, result.history, result.reference, result.comparison
            )
    except RefusedError as refused:
        # The launch has said on stderr what is wrong; its document says the same.
        if options.json:
            print(refused.document, end="")
        return EXIT_BAD_INPUT
    if result.comparison is None:
        raise _no_reference(result.night, settings.folder)
    return _report(result.night, result.comparison, figures, as_json=options.json)


def _report(night: Night, comparison: Comparison, figures: list[Path], *, as_json: bool) -> int:
    from mo_hpc.regression.report import document_of, lines_of

    if as_json:
        document = _night_document(night) | document_of(comparison)
        print(json.dumps(document | {"figures": [str(path) for path in figures]}, indent=1))
    else:
        print("\n".join([*lines_of(night, comparison), f"Figures: {figures[0].parent}"]))
    return EXIT_INCOMPLETE if comparison.verdict == "regression" else EXIT_DONE


def _no_reference(night: Night, folder: NightlyFolder) -> UserError:
    unfinished = len(night.unfinished)
    remedy = f'If its results are right:\n{_command("accept", folder)} --reason "…"'
    if unfinished:
        remedy = f"Look at them with:\npython -m mo_hpc.status run={shlex.quote(night.run_dir)}"
    state = f"{unfinished} of its tasks are not done" if unfinished else "all its tasks are done"
    return UserError(
        f"There is no reference to compare with. The night {night.night} is in the history; "
        f"{state}.",
        where=str(folder.reference),
        remedy=remedy,
    )


def _accept(options: argparse.Namespace) -> int:
    from mo_hpc.regression.folder import locked
    from mo_hpc.regression.history import find_night
    from mo_hpc.regression.reference import accept, reference_of
    from mo_hpc.regression.report import lines_of_acceptance

    words = parse_words(options.words, ("nightly_root", "night"))
    folder = _folder(words)
    night = find_night(folder, words.get("night"))
    new = reference_of(night, options.reason)
    with locked(folder):
        acceptance = accept(folder, new)
    if options.json:
        document = {"schema_version": NIGHTLY_SCHEMA_VERSION}
        print(json.dumps(document | acceptance.model_dump(mode="json"), indent=1))
        return EXIT_DONE
    print("\n".join(lines_of_acceptance(acceptance)))
    print(f"The night {night.night} is the reference: {folder.reference}")
    if night.origin.dirty:
        print("It was computed with uncommitted changes; the reference says so.", file=sys.stderr)
    return EXIT_DONE


def _show(options: argparse.Namespace) -> int:
    from mo_hpc.regression.history import read_history
    from mo_hpc.regression.reference import read_reference
    from mo_hpc.regression.report import history_document, lines_of_history

    folder = _folder(parse_words(options.words, ("nightly_root",)))
    nights = read_history(folder)[-_NIGHTS_SHOWN:]
    reference = read_reference(folder)
    if options.json:
        document = {"schema_version": NIGHTLY_SCHEMA_VERSION}
        print(json.dumps(document | history_document(nights, reference), indent=1))
    else:
        print("\n".join(lines_of_history(nights, reference)))
    return EXIT_DONE


def _install(options: argparse.Namespace) -> int:
    from mo_hpc.regression.night import settings_of
    from mo_hpc.regression.schedule import install, plan_schedule

    schedule = plan_schedule(settings_of(options.words), options.method, options.at)
    if not options.dry_run:
        install(schedule)
    if options.json:
        document = {
            "schema_version": NIGHTLY_SCHEMA_VERSION,
            "method": schedule.method,
            "at": schedule.at,
            "script": str(schedule.settings.folder.script),
            "script_text": schedule.script,
            "table": list(schedule.table),
            "installed": not options.dry_run,
        }
        print(json.dumps(document, indent=1))
        return EXIT_DONE
    print(f"{schedule.settings.folder.script}:\n\n{schedule.script}")
    print("\n".join([f"{schedule.method}, at {schedule.at}:", *schedule.table]))
    print("Nothing was changed." if options.dry_run else "Installed.")
    return EXIT_DONE


def _uninstall(options: argparse.Namespace) -> int:
    from mo_hpc.regression.schedule import uninstall

    folder = _folder(parse_words(options.words, ("nightly_root",)))
    removed = uninstall(type(folder)(folder.root.resolve()))
    if options.json:
        document = {"schema_version": NIGHTLY_SCHEMA_VERSION, "removed": removed}
        print(json.dumps(document, indent=1))
    else:
        print("\n".join(f"Removed {each}." for each in removed) or "Nothing was installed.")
    return EXIT_DONE


def _folder(words: Mapping[str, str]) -> NightlyFolder:
    from mo_hpc.regression.folder import NightlyFolder

    return NightlyFolder(Path(words.get("nightly_root", "nightly")))


def _command(command: str, folder: NightlyFolder) -> str:
    """A command for the same nightly folder, as it can be pasted."""
    return shlex.join(["python", "-m", "mo_hpc.nightly", command, f"nightly_root={folder.root}"])


def _night_document(night: Night) -> dict[str, Any]:
    return {
        "schema_version": NIGHTLY_SCHEMA_VERSION,
        **night.model_dump(mode="json", exclude={"schema_version", "cells", "unfinished"}),
    }


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "accept": _accept,
    "show": _show,
    "install": _install,
    "uninstall": _uninstall,
}

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))

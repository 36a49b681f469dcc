"""Watching a run until nothing is under way: a picture that is redrawn, or a line per change."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from mo_hpc.core.errors import UserError
from mo_hpc.core.paths import RunPaths
from mo_hpc.plan.manifest import read_manifest
from mo_hpc.plan.state import counts
from mo_hpc.watch.display import render
from mo_hpc.watch.snapshot import Snapshot, rules_of, take
from mo_hpc.watch.wording import tally

LEAST_INTERVAL_S = 30
"""The scheduler serves everyone on the cluster; it is not asked more often than this."""

_FILES_S = 5
"""Files of tasks at work are read this often in between."""

_ROWS_AROUND = 22
"""Lines of the picture that are not rows of the table, at most."""

_FLAG = "--watch"


def add_watch_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--watch [SECONDS]``."""
    parser.add_argument(
        _FLAG,
        type=int,
        metavar="SECONDS",
        help=f"follow it until it ends; asks the scheduler every {LEAST_INTERVAL_S} s or SECONDS",
    )


def with_interval(arguments: Sequence[str]) -> list[str]:
    """The arguments with the usual interval after a bare ``--watch``.

    What follows it may be a word such as ``grid=demo``, which argparse would take for it.
    """
    words = list(arguments)
    for position, word in enumerate(words):
        if word == _FLAG and not "".join(words[position + 1 : position + 2]).isdigit():
            words[position] = f"{_FLAG}={LEAST_INTERVAL_S}"
    return words


def require_interval(interval_s: int) -> None:
    """Refuses to ask the scheduler more often than is decent.

    Raises:
        UserError: If the interval is too short.
    """
    if interval_s < LEAST_INTERVAL_S:
        raise UserError(
            f"The interval of {interval_s} s is shorter than {LEAST_INTERVAL_S} s.",
            where=_FLAG,
            remedy="Every look asks Slurm's queue, which serves everyone on the cluster. "
            "Epochs are read from files in between, without asking it.",
        )


def watch(run: RunPaths, interval_s: int, console: Console) -> Snapshot:
    """Shows a run until nothing is under way, and returns how it ended.

    Raises:
        UserError: If the run cannot be read or Slurm does not answer at the first look.
        KeyboardInterrupt: At Ctrl-C; the run itself goes on.
    """
    manifest, rules = read_manifest(run), rules_of(run)
    show = _redrawn if console.is_terminal else _line_per_change
    return show(lambda: take(run, manifest, rules), interval_s, console)


def _redrawn(look: Callable[[], Snapshot], interval_s: int, console: Console) -> Snapshot:
    snapshot = look()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while snapshot.is_under_way:
            trouble = ""
            next_look = time.monotonic() + interval_s
            while (left_s := next_look - time.monotonic()) > 0:
                live.update(_picture(snapshot, console, interval_s), refresh=True)
                time.sleep(min(_FILES_S, left_s))
                snapshot = snapshot.with_new_progress()
            snapshot, trouble = _look_again(look, snapshot)
            if trouble:
                live.console.print(Text(trouble))
    return snapshot


def _picture(snapshot: Snapshot, console: Console, interval_s: int) -> Group:
    rows = max(3, console.size.height - _ROWS_AROUND)
    seen = datetime.fromtimestamp(snapshot.taken).strftime("%H:%M:%S")  # noqa: DTZ006 - local time
    note = f"As of {seen}, again every {interval_s} s. Ctrl-C leaves; the run goes on."
    return Group(render(snapshot, most_rows=rows), Text(note, "dim"))


def _line_per_change(look: Callable[[], Snapshot], interval_s: int, console: Console) -> Snapshot:
    snapshot = look()
    _say(console, snapshot, f"{tally(counts(snapshot.states))}")
    while snapshot.is_under_way:
        time.sleep(interval_s)
        before = snapshot
        snapshot, trouble = _look_again(look, before)
        if trouble:
            _say(console, snapshot, trouble)
        for line in changes(before, snapshot):
            _say(console, snapshot, line)
    return snapshot


def changes(before: Snapshot, after: Snapshot) -> list[str]:
    """A line for each task whose state is another now."""
    return [
        f"{task_id}: {before.states[task_id].name} → {state.name}"
        + (f" ({state.diagnosis.failure_class})" if state.diagnosis else "")
        for task_id, state in after.states.items()
        if before.states[task_id].name != state.name
    ]


def _look_again(look: Callable[[], Snapshot], before: Snapshot) -> tuple[Snapshot, str]:
    """A new look, or the last one and why there is none: Slurm may be silent for a while."""
    try:
        return look(), ""
    except UserError as error:
        return before, error.what


def _say(console: Console, snapshot: Snapshot, line: str) -> None:
    seen = datetime.fromtimestamp(snapshot.taken).strftime("%H:%M:%S")  # noqa: DTZ006 - local time
    console.print(Text(f"{seen}  {line}"), soft_wrap=True)

"""Independent jobs on several cores, in processes that share what is in memory already."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from rich.console import Console
from rich.progress import track

Job = Callable[[], None]

_MOST_PROCESSES = 4
_jobs: Sequence[Job] = ()


def run_all(jobs: Sequence[Job], *, description: str, show_progress: bool) -> None:
    """Runs jobs, in any order, and raises what the first that failed has raised.

    Processes are forked, because ten thousand records would take longer to send than to use.

    Args:
        jobs: What shall be done; only files that they write outlast them.
        description: Stands before the bar.
        show_progress: Whether to show a bar on stderr.
    """
    with ProcessPoolExecutor(
        min(len(jobs), len(os.sched_getaffinity(0)), _MOST_PROCESSES),
        mp_context=get_context("fork"),
        initializer=_inherit,
        initargs=(jobs,),
    ) as pool:
        done = pool.map(_run, range(len(jobs)))
        for _ in track(
            done,
            total=len(jobs),
            description=description,
            console=Console(stderr=True),
            disable=not show_progress,
            transient=True,
        ):
            pass


def _inherit(jobs: Sequence[Job]) -> None:
    global _jobs  # noqa: PLW0603 - how a forked process gets what cannot be sent
    _jobs = jobs


def _run(number: int) -> None:
    _jobs[number]()

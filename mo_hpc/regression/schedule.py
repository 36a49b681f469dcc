"""Setting up the nightly start, by whichever of scrontab, cron and Slurm a site has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from mo_hpc.core.errors import UserError
from mo_hpc.regression.crontab import Crontab, has_block, with_block, without_block
from mo_hpc.regression.folder import NightlyFolder
from mo_hpc.regression.night import Settings
from mo_hpc.regression.script import (
    Method,
    is_ours,
    job_name,
    script_text,
    table_lines,
    write_script,
)

METHODS: tuple[Method, ...] = get_args(Method)
_TABLES: dict[Method, Crontab] = {"scrontab": Crontab("scrontab"), "cron": Crontab("crontab")}
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Schedule:
    """What an installation consists of.

    Attributes:
        settings: What the night is told, with absolute folders.
        method: Who starts it.
        at: When, HH:MM, in the time zone of the machine that starts it.
        script: Text of the script.
        table: Lines of the crontab or scrontab; none for a job.
    """

    settings: Settings
    method: Method
    at: str
    script: str
    table: tuple[str, ...]


def plan_schedule(settings: Settings, method: str, at: str) -> Schedule:
    """Decides how the night is started; nothing is changed.

    Args:
        settings: What the night is told.
        method: One of `METHODS`, or ``auto`` for the first of them that works here.
        at: HH:MM.

    Raises:
        UserError: If the time is not one, a folder cannot be written into a crontab, or the
            method does not work here.
    """
    if not _TIME.fullmatch(at):
        raise UserError(f"The time '{at}' is not of the form HH:MM.", where="--at")
    root = settings.folder.root.resolve()
    if set("%\n") & set(f"{root}{Path.cwd()}"):
        raise UserError(
            "The path holds '%' or a line break, which end a command in a crontab.",
            where=str(root),
            remedy="Choose another nightly_root=DIR.",
        )
    absolute = replace(settings, folder=NightlyFolder(root), runs=settings.runs.resolve())
    chosen = _chosen(method)
    lines = () if chosen == "job" else tuple(table_lines(absolute, chosen, at))
    return Schedule(absolute, chosen, at, script_text(absolute, chosen, at), lines)


def install(schedule: Schedule) -> None:
    """Sets the night up, in place of whatever started it before.

    Raises:
        UserError: If a program refuses.
    """
    folder = schedule.settings.folder
    write_script(folder, schedule.script)
    uninstall(folder, keep_script=True)
    if schedule.method == "job":
        _submit(folder)
        return
    table = _TABLES[schedule.method]
    table.write(with_block(table.read(), list(schedule.table), folder.root))
    # scrontab ends with 0 also where it has refused the lines.
    if not has_block(table.read(), folder.root):
        raise UserError(
            f"{table.program} did not take the lines.",
            where="--method",
            remedy="Look at them with --dry-run and enter them by hand, or try another --method.",
        )


def uninstall(folder: NightlyFolder, *, keep_script: bool = False) -> list[str]:
    """Removes all that starts the nights of a folder; a night under way goes on.

    Args:
        folder: With an absolute path.
        keep_script: Whether the script stays, for another method.

    Returns:
        What was removed, in words.
    """
    removed = []
    for table in _TABLES.values():
        text = _readable(table)
        if text is not None and has_block(text, folder.root):
            table.write(without_block(text, folder.root))
            removed.append(f"the block in {table.program}")
    if waiting := _waiting_jobs(folder):
        subprocess.run(["scancel", *waiting], check=False, timeout=_TIMEOUT_S)
        removed.append(f"the job {', '.join(waiting)}")
    if is_ours(folder.script) and not keep_script:
        folder.script.unlink()
        removed.append(str(folder.script))
    return removed


def _chosen(method: str) -> Method:
    if method in METHODS:
        problem = _problem(method)
        if problem:
            raise problem
        return method
    problems = []
    for each in METHODS:
        problem = _problem(each)
        if problem is None:
            return each
        problems.append(problem.what)
    raise UserError(
        " ".join(problems),
        where="--method",
        remedy="Start it yourself every night: python -m mo_hpc.nightly run",
    )


def _problem(method: Method) -> UserError | None:
    """Why a method does not work here; None where it does."""
    if method == "job":
        if shutil.which("sbatch"):
            return None
        return UserError("sbatch is not on the path.", where="--method")
    try:
        _TABLES[method].read()
    except UserError as error:
        return error
    return None


def _readable(table: Crontab) -> str | None:
    try:
        return table.read()
    except UserError:
        return None


def _submit(folder: NightlyFolder) -> None:
    """Runs the script outside any job, where it does no more than submit the first night."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SLURM_JOB")
    }
    done = _run(["bash", str(folder.script)], environment)
    if done.returncode:
        raise UserError(
            f"The job was not submitted: {(done.stderr or done.stdout).strip()}",
            where="--method",
            remedy="Name another partition with site=NAME or site.partition=NAME.",
        )


def _waiting_jobs(folder: NightlyFolder) -> list[str]:
    """Ids of the jobs that wait for their night; one that is running is left alone."""
    if shutil.which("squeue") is None:
        return []
    name = f"--name={job_name(folder.root)}"
    done = _run(["squeue", "--noheader", "--format=%A", "--states=PENDING", name], None)
    return done.stdout.split() if done.returncode == 0 else []


def _run(
    command: Sequence[str], environment: dict[str, str] | None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
    )

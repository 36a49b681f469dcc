"""The script that cron or Slurm starts: where to go, what to set, which command to run."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Literal

from mo_hpc.core.config import load_named
from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import SiteConfig
from mo_hpc.core.validation import validated
from mo_hpc.regression.folder import NightlyFolder
from mo_hpc.regression.night import Settings

Method = Literal["scrontab", "cron", "job"]

MARK = "# Written by: python -m mo_hpc.nightly install (installing again replaces it)"
_KEPT = re.compile(r"PATH|PYTHONPATH|SLURM_CONF|XDG_CACHE_HOME|MO_HPC_\w+")
"""Variables that the command needs and cron or a login shell would not set."""


def job_name(root: Path) -> str:
    """The name of the Slurm job of a nightly folder, by which it is found again."""
    return f"mo_hpc-nightly-{hashlib.sha256(str(root).encode()).hexdigest()[:8]}"


def slurm_options(settings: Settings, folder: NightlyFolder) -> list[str]:
    """What the job that runs the night asks for, as sbatch's long options.

    With ``executor=slurm`` it only submits, waits and compares.
    """
    words = dict(word.partition("=")[::2] for word in settings.words)
    site = words.get("site", "default")
    config = validated(SiteConfig, load_named("site", site), where=f"site={site}")
    submits_only = words.get("executor") == "slurm"
    options = {
        "job-name": job_name(folder.root),
        "output": str(folder.root / "nightly-job.log"),
        "open-mode": "append",
        "ntasks": "1",
        "cpus-per-task": "1" if submits_only else "2",
        "mem": "2G" if submits_only else "8G",
        "partition": words.get("site.partition") or config.partition,
        "account": words.get("site.account") or config.account,
        "qos": words.get("site.qos") or config.qos,
        "mail-type": "FAIL",
    }
    return [f"--{key}={shlex.quote(value)}" for key, value in options.items() if value]


def script_text(settings: Settings, method: Method, at: str) -> str:
    """The script.

    Args:
        settings: What the night was told; its folders are absolute.
        method: Who starts it. As a job it submits its successor before it runs the night, so
            that a night that fails, or a Python that is gone, does not end the series.
        at: When, HH:MM.
    """
    folder = settings.folder
    words = [*settings.words, f"nightly_root={folder.root}", f"runs_root={settings.runs}"]
    words += [f"keep={settings.keep}", f"wait_hours={settings.wait_s / 3600:g}"]
    command = shlex.join([sys.executable, "-m", "mo_hpc.nightly", "run", *words])
    log = shlex.quote(str(folder.log))
    is_job = method == "job"
    options = [f"#SBATCH {each}" for each in slurm_options(settings, folder)] if is_job else []
    # Slurm would start a requeued night a second time, beside its own successor.
    options += ["#SBATCH --no-requeue", "#SBATCH --dependency=singleton"] if is_job else []
    lines = [
        "#!/usr/bin/env bash",
        MARK,
        *options,
        "set -euo pipefail",
        *(
            f"export {name}={shlex.quote(value)}"
            for name, value in sorted(os.environ.items())
            if _KEPT.fullmatch(name)
        ),
        f"cd {shlex.quote(str(Path.cwd()))}",
        *(_successor(folder, at) if is_job else []),
        f"{command} >>{log} 2>&1 || {{",
        # What is printed here is what cron mails, and what the job's own log shows.
        f'  status=$?; tail -n 40 {log}; exit "$status"',
        "}",
    ]
    return "\n".join(lines) + "\n"


def table_lines(settings: Settings, method: Method, at: str) -> list[str]:
    """The lines of a crontab or scrontab that start the script."""
    hour, minute = at.split(":")
    options = slurm_options(settings, settings.folder) if method == "scrontab" else []
    script = shlex.quote(str(settings.folder.script))
    return [*(f"#SCRON {each}" for each in options), f"{int(minute)} {int(hour)} * * * {script}"]


def write_script(folder: NightlyFolder, text: str) -> None:
    """Writes the script, unless the file there is somebody else's.

    Raises:
        UserError: If it is.
    """
    from mo_hpc.core.files import write_atomic

    if folder.script.exists() and not is_ours(folder.script):
        raise UserError(
            "A file is in the place of the script, and was not written by install.",
            where=str(folder.script),
            remedy="Rename it, or choose another nightly_root=DIR.",
        )
    write_atomic(folder.script, text)
    folder.script.chmod(0o755)


def is_ours(script: Path) -> bool:
    """Whether `install` wrote this file."""
    return script.is_file() and MARK in script.read_text().splitlines()[:2]


def _successor(folder: NightlyFolder, at: str) -> list[str]:
    """Submits the next night unless it is in the queue, then goes on only inside a job."""
    name, script = job_name(folder.root), shlex.quote(str(folder.script))
    return [
        f"now=$(date +%s); begin=$(date -d {at} +%s)",
        # An hour ahead at least: a clock that lags must not start the same night twice.
        "while (( begin < now + 3600 )); do (( begin += 86400 )); done",
        f'queued=$(squeue --noheader --user="$(id -un)" --name={name} --states=PENDING)',
        f'[[ -n $queued ]] || sbatch --begin="$(date -d "@$begin" +%FT%T)" {script}',
        "[[ -n ${SLURM_JOB_ID:-} ]] || exit 0",
    ]

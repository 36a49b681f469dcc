"""The test job: submitted the way a launch submits, watched, and taken away again."""

from __future__ import annotations

import fcntl
import math
import secrets
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mo_hpc.container.image import RUNTIMES
from mo_hpc.core.execution import Resources
from mo_hpc.core.files import write_atomic
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.schema import RunConfig
from mo_hpc.executors.checkup.container import site_container
from mo_hpc.executors.checkup.node_report import (
    Outcome,
    printed_report,
    read_report,
    read_signal,
    text_of,
)
from mo_hpc.executors.checkup.probe import LOCK, REPORT, SIGNAL, WORD
from mo_hpc.executors.slurm.batch_script import array_parameters, python_command
from mo_hpc.executors.slurm.commands import SlurmSilent, ask, ask_or_none
from mo_hpc.executors.slurm.sbatch import Refused, submit_array

_BEGAN = "batch_began"
_BATCH = "batch_facts"
_DRIVER = "nvidia-smi --query-gpu=driver_version --format=csv,noheader"
_LEAST_TIME_MIN = 2
_EARLY_WARNING_S = 60
"""Slurm may send the warning ahead of the time limit that much earlier than asked."""

_POLL_S = 0.25
_LONGEST_BETWEEN_QUESTIONS_S = 30.0
_VISIBLE_WITHIN_S = 10.0
"""A shared file system shows other machines' files with that much delay."""

_STOP_WITHIN_S = 40.0
_LAST_LINES = 3
_LINES_OF_SCHEDULER = ("srun:", "slurmstepd:")


def run_probe(
    config: RunConfig,
    paths: list[Path],
    *,
    wait_s: float,
    say: Callable[[str], None],
) -> Outcome:
    """Runs the probe on a compute node of the site.

    Args:
        config: Site and resources; the job asks for one node and one rank of them.
        paths: Paths that exist here and should on the node.
        wait_s: How long the job may wait in the queue.
        say: Is told what is being waited for.

    Returns:
        What became of it. Its folder is gone afterwards, unless no report came.
    """
    outcome = Outcome()
    with _folder(Path(config.runs_root).absolute(), outcome) as folder:
        word = secrets.token_hex(8)
        (folder / WORD).write_text(word)
        with (folder / LOCK).open("w") as lock:
            _lock(lock.fileno())
            submitted_at_s = time.time()
            try:
                outcome.job_id = _submit(config, folder, paths)
            except Refused as refusal:
                outcome.refusal = str(refusal)
                return outcome
            try:
                outcome.window_s = (submitted_at_s, submitted_at_s)
                _watch(folder, outcome, wait_s, say)
            finally:
                if outcome.stop is None:
                    ask_or_none("scancel", outcome.job_id)
        if outcome.report and outcome.report.word != word:
            outcome.report = outcome.report.model_copy(update={"word": None})
    return outcome


def probe_resources(config: RunConfig) -> Resources:
    """What a task gets on a node, for one rank and a few minutes."""
    ahead_s = config.site.signal_before_end_s + _EARLY_WARNING_S
    time_min = min(config.resources.time_min, _LEAST_TIME_MIN + math.ceil(ahead_s / 60))
    return config.resources.model_copy(
        update={"nodes": 1, "tasks_per_node": 1, "time_min": time_min}
    )


@contextmanager
def _folder(runs_root: Path, outcome: Outcome) -> Iterator[Path]:
    """A folder below the root of the runs; it stays if its logs are needed."""
    new = [each for each in (runs_root, *runs_root.parents) if not each.exists()]
    folder = runs_root / f"doctor-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        if outcome.end and not outcome.printed:
            outcome.errors = "\n".join([_errors(folder), f"logs: {folder}"]).strip()
        else:
            shutil.rmtree(folder, ignore_errors=True)
            # A launch may have begun to use the folders above it; then they are not empty.
            with suppress(OSError):
                for each in new:
                    each.rmdir()


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # Reported by the folder checks; the node will find the lock free.
        return


def _submit(config: RunConfig, folder: Path, paths: list[Path]) -> str:
    parameters = array_parameters(
        config,
        probe_resources(config),
        name=folder.name,
        n_elements=1,
        after=(),
        account=folder / "ended",
    )
    began = f": > {shlex.quote(str(folder / _BEGAN))}"
    parameters["setup"] = [
        began,
        *parameters["setup"],
        *_batch_lines(folder, config.site.container),
    ]
    words = [str(folder), *map(str, paths)]
    if config.resources.gpus_per_node:
        words.append("--cuda")
    module = "mo_hpc.executors.checkup.probe"
    run = RunPaths(folder)
    if container := site_container(config, folder):
        script = run.enter_image(folder.name)
        write_atomic(script, container.script(f"bash {script}"))
    command = f"{python_command(run, config.site, folder.name)} -u -m {module} {shlex.join(words)}"
    return submit_array(folder, command, 1, parameters)


def _batch_lines(folder: Path, image: str | None) -> list[str]:
    """Shell lines that note what the batch script itself sees, outside any image."""
    lines = [
        'scontrol show job "$SLURM_JOB_ID" >/dev/null 2>&1; echo "scontrol=$?"',
        'echo "node=$SLURMD_NODENAME"',
        f'echo "driver=$({_DRIVER} 2>/dev/null | head -1)"',
    ]
    if image:
        runtime = " || ".join(f"{name} --version" for name in RUNTIMES)
        lines.append(f'echo "runtime=$({{ {runtime}; }} 2>/dev/null)"')
        lines.append(f'echo "image_bytes=$(stat -Lc %s {shlex.quote(image)} 2>/dev/null)"')
    return ["{", *lines, f"}} > {shlex.quote(str(folder / _BATCH))}"]


def _watch(folder: Path, outcome: Outcome, wait_s: float, say: Callable[[str], None]) -> None:
    """Waits for the report, then asks the probe to stop and waits for its answer."""
    _await_report(folder, outcome, wait_s, say)
    outcome.began = (folder / _BEGAN).exists()
    outcome.batch = _facts(folder)
    if outcome.report is None:
        outcome.printed = printed_report(_logs(folder, "out"))
        return
    outcome.window_s = (outcome.window_s[0], time.time())
    say("asking the test job to stop")
    sent_at_s = time.time()
    ask_or_none("scancel", "--signal=USR2", outcome.job_id)
    end = time.monotonic() + _STOP_WITHIN_S
    while outcome.stop is None and time.monotonic() < end:
        time.sleep(_POLL_S)
        outcome.stop = read_signal(folder / SIGNAL)
    outcome.stop_window_s = (sent_at_s, time.time())


def _await_report(
    folder: Path, outcome: Outcome, wait_s: float, say: Callable[[str], None]
) -> None:
    """Fills in the report, or why there is none."""
    began = time.monotonic()
    asked = began
    run_s = 60.0 * _LEAST_TIME_MIN
    while True:
        now = time.monotonic()
        outcome.report = read_report(folder / REPORT)
        if outcome.report is not None:
            return
        if now - asked >= min(1 + (now - began) / 10, _LONGEST_BETWEEN_QUESTIONS_S):
            asked = now
            state, reason = _queue_state(outcome.job_id)
            say(
                f"test job {outcome.job_id}: {state.lower() or 'ended'} {reason}, "
                f"{now - began:.0f} s"
            )
            if state == "PENDING":
                outcome.window_s = (time.time(), time.time())
                if now - began > wait_s:
                    outcome.pending = reason or "none given yet"
                    return
            elif not state or now - began > wait_s + run_s:
                _await_files(folder, outcome)
                return
        time.sleep(_POLL_S)


def _await_files(folder: Path, outcome: Outcome) -> None:
    """A job that has ended may have written what is not seen here yet."""
    end = time.monotonic() + _VISIBLE_WITHIN_S
    while time.monotonic() < end and outcome.report is None:
        if _logs(folder, "err") or printed_report(_logs(folder, "out")):
            break
        time.sleep(_POLL_S)
        outcome.report = read_report(folder / REPORT)
    if outcome.report is None:
        outcome.end = _how_it_ended(outcome.job_id)


def _queue_state(job_id: str) -> tuple[str, str]:
    """State and reason in the queue; an empty state for a job that has left it."""
    try:
        told = ask("squeue", "-h", "-j", job_id, "-o", "%T|%r")
    except SlurmSilent as silent:
        return ("" if "Invalid job id" in str(silent) else "UNKNOWN"), str(silent)
    state, _, reason = told.strip().partition("|")
    return ("" if state == "COMPLETING" else state), f"({reason})" if reason != "None" else ""


def _how_it_ended(job_id: str) -> str:
    told = (ask_or_none("scontrol", "-o", "show", "job", job_id) or "").split()
    words = [word for word in told if word.startswith(("JobState=", "ExitCode=", "NodeList="))]
    return " ".join(words) or "Slurm has forgotten it"


def _facts(folder: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in text_of(folder / _BATCH).splitlines())
    return {key: value for key, _, value in pairs}


def _logs(folder: Path, ending: str) -> str:
    return "".join(text_of(path) for path in sorted(folder.glob(f"*.{ending}")))


def _errors(folder: Path) -> str:
    """The last lines of the error output that are not the scheduler's own."""
    lines = [line for line in _logs(folder, "err").splitlines() if line.strip()]
    own = [line for line in lines if not line.startswith(_LINES_OF_SCHEDULER)]
    return "\n".join((own or lines)[-_LAST_LINES:])

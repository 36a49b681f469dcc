"""What can happen to a run on a Slurm test cluster of this host, as functions that do it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIMEOUT_S = 10
MODES = {"before": "kill -9 $PPID; exit 1", "after": '{sbatch} "$@"; kill -9 $PPID; exit 1'}
"""What an sbatch does that kills the launch which called it."""


@dataclass(slots=True)
class Chaos:
    """A run under faults.

    Attributes:
        run: The run's folder.
        words: The words it is launched with.
        random: Decides which fault comes next, and whom it meets.
        scratch: A folder for helpers.
        destroyed: Task id → how often its record was destroyed.
    """

    run: Path
    words: tuple[str, ...]
    random: random.Random
    scratch: Path
    destroyed: Counter[str] = field(default_factory=Counter)

    def tasks(self) -> list[Path]:
        """The folders of all tasks."""
        return sorted((self.run / "tasks").iterdir())

    def done(self) -> list[Path]:
        """The folders of the tasks with a record that nobody has damaged."""
        return [task for task in self.tasks() if is_whole(task / "metrics.json", task.name)]

    def live_attempts(self) -> list[dict[str, Any]]:
        """The accounts of attempts whose process is alive."""
        found = []
        for task in self.tasks():
            account = last_account(task)
            if account and account["ended"] is None and alive(account["pid"]):
                found.append(account)
        return found

    def job_names(self) -> set[str]:
        """The names of this run's jobs."""
        lines = (self.run / "submissions.jsonl").read_text().splitlines()
        return {json.loads(line)["name"] for line in lines}

    def queue(self) -> list[tuple[str, str, str, str]]:
        """(id, state, reason, node) of this run's jobs."""
        rows = command("squeue", "-h", "-r", "-o", "%i|%T|%r|%N|%j").splitlines()
        names = self.job_names()
        split = [row.split("|", 4) for row in rows]
        return [(row[0], row[1], row[2], row[3]) for row in split if row[4] in names]

    def running(self) -> tuple[str, str] | None:
        """Id and node of a running array element."""
        rows = [(row[0], row[3]) for row in self.queue() if row[1] == "RUNNING" and "_" in row[0]]
        return self.random.choice(rows) if rows else None


Fault = Callable[[Chaos], str | None]
"""Does its worst and says to whom; None if there was nobody."""


def kill_worker(chaos: Chaos) -> str | None:
    """Kills the process that trains."""
    attempts = chaos.live_attempts()
    if not attempts:
        return None
    pid = chaos.random.choice(attempts)["pid"]
    kill(pid)
    return f"process {pid}"


def kill_parent(chaos: Chaos) -> str | None:
    """Kills the srun that started the step."""
    attempts = [each["slurm"]["job_id"] for each in chaos.live_attempts() if each["slurm"]]
    if not attempts:
        return None
    job_id = chaos.random.choice(attempts)
    for process in processes("srun"):
        if environment(process).get("SLURM_JOB_ID") == job_id:
            kill(process)
            return f"srun of job {job_id}"
    return None


def signal_element(chaos: Chaos) -> str | None:
    """Asks an element to save and stop, as Slurm does ahead of a time limit."""
    target = chaos.running()
    if target is None:
        return None
    name = chaos.random.choice(("USR2", "TERM"))
    command("scancel", f"--signal={name}", target[0])
    return f"{name} to {target[0]}"


def cancel_element(chaos: Chaos) -> str | None:
    """Cancels an element, as a person does by mistake."""
    target = chaos.running()
    if target is None:
        return None
    command("scancel", target[0])
    return target[0]


def preempt(chaos: Chaos) -> str | None:
    """Submits a more urgent job that wants a whole node."""
    target = chaos.running()
    if target is None:
        return None
    command(
        "sbatch",
        "-p",
        "urgent",
        "--exclusive",
        "-w",
        target[1],
        "-o",
        "/dev/null",
        "--time=1",
        "--wrap",
        "sleep 1",
    )
    return target[1]


def node_down(chaos: Chaos) -> str | None:
    """Takes a node down and gives it back."""
    target = chaos.running()
    if target is None:
        return None
    command("scontrol", "update", f"nodename={target[1]}", "state=down", "reason=chaos")
    time.sleep(1)
    command("scontrol", "update", f"nodename={target[1]}", "state=resume")
    return target[1]


def kill_slurmd(chaos: Chaos) -> str | None:
    """Kills a node's daemon and starts it again."""
    target = chaos.running()
    if target is None:
        return None
    node = target[1]
    for process in processes("slurmd"):
        if arguments(process)[1:3] == ["-N", node]:
            kill(process)
            time.sleep(1)
            command("slurmd", "-N", node)
            return node
    return None


def kill_launcher(chaos: Chaos) -> str | None:
    """Kills a launch just before or just after its sbatch."""
    if len(chaos.done()) == len(chaos.tasks()):
        return None
    mode = chaos.random.choice(sorted(MODES))
    folder = chaos.scratch / mode
    folder.mkdir(exist_ok=True)
    wrapper = folder / "sbatch"
    wrapper.write_text("#!/bin/bash\n" + MODES[mode].replace("{sbatch}", which("sbatch")) + "\n")
    wrapper.chmod(0o755)
    launch(chaos, path=f"{folder}{os.pathsep}{os.environ['PATH']}").wait()
    return f"{mode} sbatch"


def two_launches(chaos: Chaos) -> str | None:
    """Launches twice at the same time."""
    both = [launch(chaos), launch(chaos)]
    for each in both:
        each.wait()
    return "both"


def cancel_follower(chaos: Chaos) -> str | None:
    """Cancels the job that follows the arrays."""
    followers = [row[0] for row in chaos.queue() if "_" not in row[0]]
    if not followers:
        return None
    command("scancel", *followers)
    return followers[0]


def damage_record(chaos: Chaos) -> str | None:
    """Cuts a record short, gives it another task's name, or makes it older."""
    done = [task for task in chaos.done() if not needed(chaos, task)]
    if not done:
        return None
    task = chaos.random.choice(done)
    record = task / "metrics.json"
    text = record.read_text()
    document = json.loads(text)
    damages = {
        "cut short": text[: len(text) // 2],
        "foreign": json.dumps(document | {"task_id": "another"}),
        "older schema": json.dumps(document | {"schema_version": 0}),
    }
    name = chaos.random.choice(sorted(damages))
    record.write_text(damages[name])
    chaos.destroyed[task.name] += 1
    return f"{name}: {task.name}"


FAULTS: dict[str, tuple[Fault, int]] = {
    "kill -9 worker": (kill_worker, 4),
    "kill -9 srun": (kill_parent, 2),
    "signal": (signal_element, 4),
    "scancel": (cancel_element, 2),
    "preemption": (preempt, 2),
    "node down": (node_down, 2),
    "kill -9 slurmd": (kill_slurmd, 1),
    "launcher killed": (kill_launcher, 2),
    "two launches": (two_launches, 1),
    "follower cancelled": (cancel_follower, 1),
    "record damaged": (damage_record, 2),
}
"""Name → fault and how often it comes, relative to the others."""


def is_whole(record: Path, task_id: str) -> bool:
    """True for a record of this task that is as it was written."""
    try:
        document = json.loads(record.read_text())
    except (OSError, ValueError):
        return False
    return document["task_id"] == task_id and document["schema_version"] > 0


def needed(chaos: Chaos, task: Path) -> bool:
    """True if other tasks read this one's model: its record is theirs to trust."""
    manifest = json.loads((chaos.run / "manifest.json").read_text())
    return any(task.name in each["needs"] for each in manifest["tasks"])


def launch(
    chaos: Chaos, *more: str, path: str | None = None, stdout: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Starts a launch of the disturbed run."""
    environment = os.environ | ({"PATH": path} if path else {})
    return subprocess.Popen(
        [sys.executable, "-m", "mo_hpc.launch", *chaos.words, *more],
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        env=environment,
    )


def command(*words: str) -> str:
    """What a command of Slurm prints; a refusal, such as of a job just ended, is no news."""
    try:
        return subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        ).stdout
    except subprocess.TimeoutExpired:
        # scancel tries for a minute to signal a job that is just ending.
        return ""


def which(name: str) -> str:
    """The path of a command that must be there."""
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not on the path: this needs a Slurm test cluster.")
    return found


def last_account(task: Path) -> dict[str, Any] | None:
    """The account of a task's newest attempt."""
    return next(reversed(all_accounts(task)), None)


def all_accounts(task: Path) -> list[dict[str, Any]]:
    """The accounts of a task's attempts, in order."""
    folders = sorted((task / "attempts").glob("*"), key=lambda folder: int(folder.name))
    files = [folder / "slurm.json" for folder in folders]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def alive(pid: int) -> bool:
    """True while there is such a process."""
    return Path(f"/proc/{pid}").exists()


def kill(pid: int) -> None:
    """Kills a process, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def processes(name: str) -> list[int]:
    """Ids of the processes of a program."""
    return [int(word) for word in command("pgrep", "-x", name).split()]


def arguments(pid: int) -> list[str]:
    """A process's arguments."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def environment(pid: int) -> dict[str, str]:
    """A process's environment."""
    try:
        pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    except OSError:
        return {}
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)

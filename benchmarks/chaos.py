"""Runs a grid on Slurm under random faults and compares its tables with an undisturbed run's.

Usage: python benchmarks/chaos.py [--faults 200] [--seed 1] [--folder DIR] [key=value ...]

The undisturbed run is made first, by executor=local. Then the same grid is launched on Slurm,
and faults are done to it at random: signals, kills, preemption, dead nodes and daemons,
killed launchers, damaged records. In the end every task must be done, no task may have been
run by two workers at a time or more often than its record was destroyed, and the tables must
be the same, byte for byte. The seed fixes the sequence of faults; whom they meet is up to
timing.

For a test cluster on this host only: it kills daemons and takes nodes down. Needs root.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faults import FAULTS, Chaos, all_accounts, command, launch

GRID = ("grid=nightly", "train.max_epochs=3")
RULES = (
    "{"
    + ", ".join(
        f"{name}: {{times: 1000}}"
        for name in (
            "killed",
            "node_failure",
            "preempted",
            "time_limit",
            "communication",
            "never_started",
        )
    )
    + "}"
)
MEAN_PAUSE_S = 1.0
LAUNCH_EVERY_S = 20.0
TASK_LIST, TIME_COLUMN = "tasks.csv", "wall_time_s"


def disturb(chaos: Chaos, n_faults: int) -> Counter[str]:
    """Does faults to a run until there were so many and all tasks are done."""
    happened: Counter[str] = Counter()
    next_launch = time.monotonic()
    while happened.total() < n_faults or len(chaos.done()) < len(chaos.tasks()):
        if happened.total() < n_faults:
            name = chaos.random.choices(list(FAULTS), [often for _, often in FAULTS.values()])[0]
            if (whom := FAULTS[name][0](chaos)) is not None:
                happened[name] += 1
                print(f"{happened.total():4}  {name}: {whom}", file=sys.stderr, flush=True)
        hurry(chaos)
        if time.monotonic() > next_launch:
            launch(chaos).wait()
            next_launch = time.monotonic() + LAUNCH_EVERY_S
        time.sleep(chaos.random.expovariate(1 / MEAN_PAUSE_S))
    return happened


def hurry(chaos: Chaos) -> None:
    """Shortens the two minutes for which Slurm holds back what was requeued."""
    for job_id, state, reason, _ in chaos.queue():
        if state == "PENDING" and reason == "BeginTime":
            command("scontrol", "update", f"jobid={job_id}", "StartTime=now+2")


def violations(chaos: Chaos) -> Iterator[str]:
    """What would show that a task was run twice, or is not done."""
    for task in chaos.tasks():
        accounts = [account for account in all_accounts(task) if account]
        finished = sum(account["exit_code"] == 0 for account in accounts)
        if finished > 1 + chaos.destroyed[task.name]:
            yield f"{task.name} was done {finished} times"
        for earlier, later in itertools.pairwise(accounts):
            if earlier["ended"] and earlier["ended"] > later["started"]:
                yield f"{task.name}: two attempts at the same time"
    document = json.loads(launch(chaos, "--json", stdout=subprocess.PIPE).communicate()[0])
    if document["submitted"]:
        yield f"a last launch submitted {document['submitted']}"
    yield from (
        f"{task['id']} is {task['state']}" for task in document["tasks"] if task["state"] != "done"
    )


def main() -> int:
    """Prints what happened; status 1 if a task was not done exactly once or a table differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="key=value", default=[])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_intermixed_args()
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="chaos-"))).absolute()
    words = (*GRID, *options.words)
    started = time.monotonic()
    calm = ask("launch", *words, "executor=local", f"runs_root={folder / 'calm'}")
    calm_s = time.monotonic() - started
    wild_words = (*words, "executor=slurm", f"retry.rules={RULES}", f"runs_root={folder / 'wild'}")
    wild = ask("launch", *wild_words)
    dice = random.Random(options.seed)  # noqa: S311 - nothing is kept secret with it
    chaos = Chaos(Path(wild["run_dir"]), wild_words, dice, folder)
    happened = disturb(chaos, options.faults)
    wild_s = time.monotonic() - started - calm_s
    wrong = [*violations(chaos), *different_tables(Path(calm["run_dir"]), chaos.run)]
    n_attempts = sum(len(all_accounts(task)) for task in chaos.tasks())
    print(f"{len(chaos.tasks())} tasks, {n_attempts} attempts, {happened.total()} faults:")
    for name, number in happened.most_common():
        print(f"  {number:4}  {name}")
    print(f"undisturbed (executor=local): {calm_s:.0f} s; under faults: {wild_s:.0f} s")
    print("\n".join(wrong) or "Every task was done exactly once; the tables are the same.")
    return 1 if wrong else 0


def different_tables(calm: Path, wild: Path) -> Iterator[str]:
    """Names of the tables that differ between two runs."""
    for run in (calm, wild):
        ask("collect", f"run={run}")
    names = {path.name for run in (calm, wild) for path in (run / "tables").iterdir()}
    for name in sorted(names):
        one, other = calm / "tables" / name, wild / "tables" / name
        if not (one.exists() and other.exists() and content(one) == content(other)):
            yield f"tables differ: {name}"


def content(table: Path) -> bytes:
    """A table's bytes; of the list of tasks, without the time each took."""
    if table.name != TASK_LIST:
        return table.read_bytes()
    rows = list(csv.DictReader(table.open()))
    return json.dumps([{**row, TIME_COLUMN: None} for row in rows]).encode()


def ask(module: str, *words: str) -> dict[str, Any]:
    """The JSON document of a command."""
    call = [sys.executable, "-m", f"mo_hpc.{module}", *words, "--json"]
    done = subprocess.run(call, stdout=subprocess.PIPE, check=False)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


if __name__ == "__main__":
    sys.exit(main())

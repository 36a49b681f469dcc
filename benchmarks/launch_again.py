"""Launches a small grid three times and prints what each launch submitted.

Usage: python benchmarks/launch_again.py [--folder DIR] [key=value ...]

The second launch follows the first at once; before the third, one record is removed. Words
such as ``executor=slurm`` are handed on to the launch; with Slurm the second launch finds the
tasks in the queue.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GRID = ("grid=nightly", "train.max_epochs=3", "executor.collect=false")
POLL_S = 1.0


def main() -> int:
    """Prints a Markdown table; status 1 if a launch submitted anything else than it should."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="key=value", default=[])
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_intermixed_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="again-"))
    words = (*GRID, *options.words, f"runs_root={folder / 'runs'}")
    first = ask("launch", *words)
    second = ask("launch", *words)
    wait_until_done(first["run_dir"])
    victim = first["submitted"][-1]
    (Path(first["run_dir"]) / "tasks" / victim / "metrics.json").unlink()
    third = ask("launch", *words)
    wait_until_done(first["run_dir"])
    print("| launch | tasks | submitted | skipped |")
    print("| --- | --- | --- | --- |")
    for name, document in (
        ("first", first),
        ("again at once", second),
        (f"after removing metrics.json of {victim}", third),
    ):
        sizes = [len(document[key]) for key in ("tasks", "submitted", "skipped")]
        print(f"| {name} | {' | '.join(map(str, sizes))} |")
    right = second["submitted"] == [] and third["submitted"] == [victim]
    return 0 if right else 1


def ask(module: str, *words: str) -> dict[str, Any]:
    """The JSON document of a command."""
    command = [sys.executable, "-m", f"mo_hpc.{module}", *words, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def wait_until_done(run: str) -> None:
    """Waits for a run that goes on after its launch."""
    while set(ask("status", f"run={run}")["counts"]) != {"done"}:
        time.sleep(POLL_S)


if __name__ == "__main__":
    sys.exit(main())

"""Kills a training with SIGKILL several times and compares it with one that never stopped.

Usage: python benchmarks/killed_and_resumed.py [--kills 5] [--epochs 12] [--folder DIR]

Runs one pretraining and one fine-tuning of the demo grid twice with `mo_hpc.launch`: once
undisturbed, once killed at random moments and launched again. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GRID = (
    "grid=demo",
    "executor=inline",
    "executor.collect=false",
    "axes.protocol=[lodo_strict]",
    "axes.element=[W]",
    "axes.paradigm=[fine_tune]",
    "axes.energy_reference=[foundation]",
)
COMPARED = (
    "energy_mae_mev_per_atom",
    "energy_rmse_mev_per_atom",
    "force_mae_mev_per_ang_component",
    "force_rmse_mev_per_ang_component",
)


def main() -> int:
    """Runs both and prints the comparison; status 1 if a number differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="resume-"))
    words = (*GRID, f"train.max_epochs={options.epochs}")
    launch(words, folder / "undisturbed")
    chances = random.Random(options.seed)  # noqa: S311 - moments to kill at, not a secret
    killed = [kill_at(words, folder / "killed", chances) for _ in range(options.kills)]
    launch(words, folder / "killed")
    return report(folder, killed)


def command(words: tuple[str, ...], root: Path) -> list[str]:
    """The launch that a user would type."""
    return [sys.executable, "-m", "mo_hpc.launch", *words, f"runs_root={root}"]


def launch(words: tuple[str, ...], root: Path) -> None:
    """Launches and waits."""
    subprocess.run(command(words, root), check=True, stderr=subprocess.DEVNULL)


def kill_at(words: tuple[str, ...], root: Path, chances: random.Random) -> int:
    """Launches and kills after some more epochs; the number of epochs done by then."""
    target = epochs_done(root) + chances.randint(2, 5)
    process = subprocess.Popen(command(words, root), stderr=subprocess.DEVNULL)
    while process.poll() is None and epochs_done(root) < target:
        time.sleep(0.01)
    time.sleep(chances.random() * 0.3)
    process.kill()
    process.wait()
    return epochs_done(root)


def epochs_done(root: Path) -> int:
    """Epochs that all tasks of a run have behind them."""
    files = root.glob("*/*/tasks/*/progress.jsonl")
    return sum(len(path.read_text().splitlines()) for path in files)


def records(root: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """Record and hash of the selected weights of every task."""
    found = {}
    for path in sorted(root.glob("*/*/tasks/*/metrics.json")):
        best = path.parent / "checkpoints" / "best.pt"
        weights = hashlib.sha256(best.read_bytes()).hexdigest()[:12]
        found[path.parent.name] = (json.loads(path.read_text()), weights)
    return found


def report(folder: Path, killed: list[int]) -> int:
    """Prints the table."""
    whole, broken = records(folder / "undisturbed"), records(folder / "killed")
    print(f"Killed with SIGKILL after {', '.join(map(str, killed))} epochs (all tasks).\n")
    print("| task | quantity | never stopped | killed and resumed | equal |")
    print("| --- | --- | --- | --- | --- |")
    equal = whole.keys() == broken.keys()
    for task_id, (record, weights) in whole.items():
        other, other_weights = broken[task_id]
        rows = [(key, record["metrics"][key], other["metrics"][key]) for key in COMPARED]
        rows.append(("sha256 of best.pt", weights, other_weights))
        rows.append(("resumed", record["training"]["resumed"], other["training"]["resumed"]))
        for name, one, two in rows:
            same = "" if name == "resumed" else str(one == two)
            equal = equal and (name == "resumed" or one == two)
            print(f"| {task_id} | {name} | {one} | {two} | {same} |")
        equal = equal and record["metrics"] == other["metrics"]
    print(f"\nAll test metrics equal, bit for bit: {equal}.")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())

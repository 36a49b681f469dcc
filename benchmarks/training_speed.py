"""Times this suite against `mace_run_train` on the same training, and prints Markdown.

Same data, model, threads, epochs and validation; each side in a process of its own, the two
taking turns so that a change of the machine's load meets both:
`python benchmarks/training_speed.py [--repeats N] [--threads N]`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from side_by_side import TINY_MODEL, TRAIN, Outcome, Setup, run_mace, run_ours, write_setup
from tabulate import tabulate

WIDE_MODEL = TINY_MODEL | {"num_channels": 32, "max_L": 1, "max_ell": 3, "correlation": 3}
CASES = {
    "8 channels, L = 0, 16 atoms": (TINY_MODEL, {"max_epochs": 10}, 48, 12),
    "32 channels, L = 1, 16 atoms": (WIDE_MODEL, {"max_epochs": 3}, 24, 8),
}


def main() -> None:
    """Runs all cases and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    words = parser.parse_args()
    rows = []
    for name, (model, changes, n_train, n_valid) in CASES.items():
        train = TRAIN | {"dtype": "float32"} | changes
        setup = Setup(n_train, n_valid, 2, model, train, words.threads)
        ours, mace = _runs(setup, words.repeats)
        for what, value in (("step", _step_ms), ("whole process", _whole_s)):
            a, b = (statistics.median(map(value, runs)) for runs in (ours, mace))
            unit = "ms" if what == "step" else "s"
            rows.append([name, f"{what} ({unit})", a, b, b / a])
    headers = ["training", "median", "mo_hpc", "mace_run_train", "ratio"]
    print(tabulate(rows, headers, tablefmt="github", floatfmt=".2f"))
    print(f"\n{words.repeats} interleaved runs a side, {words.threads} thread(s), float32, CPU.")


def _runs(setup: Setup, repeats: int) -> tuple[list[Outcome], list[Outcome]]:
    ours, mace = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_setup(folder, setup)
            ours.append(run_ours(folder, setup))
            mace.append(run_mace(folder, setup))
    return ours, mace


def _step_ms(outcome: Outcome) -> float:
    return 1e3 * statistics.median(outcome.step_seconds)


def _whole_s(outcome: Outcome) -> float:
    return outcome.wall_time_s


if __name__ == "__main__":
    main()

"""Prints the loss of every step of this suite and of `mace_run_train`, side by side.

Same data, model, seed and settings; float64 on one thread:
`python benchmarks/parity_with_mace.py [--loss l1l2|weighted] [--epochs N]`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from side_by_side import TINY_MODEL, TRAIN, Outcome, Setup, run_mace, run_ours, write_setup
from tabulate import tabulate


def largest_difference(ours: Outcome, mace: Outcome) -> float:
    """Largest relative difference over all steps' losses and all epochs' validation errors."""
    pairs = [
        *zip(ours.step_losses, mace.step_losses, strict=True),
        *zip(
            ours.valid_energy_mae_ev_per_atom,
            mace.valid_energy_mae_ev_per_atom,
            strict=True,
        ),
        *zip(ours.valid_force_mae_ev_per_ang, mace.valid_force_mae_ev_per_ang, strict=True),
    ]
    return max(abs(a - b) / abs(b) for a, b in pairs)


def main() -> None:
    """Runs both and prints Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loss", choices=["l1l2", "weighted"], default="weighted")
    parser.add_argument("--epochs", type=int, default=4)
    words = parser.parse_args()
    train = TRAIN | {"loss": words.loss, "max_epochs": words.epochs}
    # 22 structures in batches of 4: both sides leave two out, another two in each epoch.
    setup = Setup(n_train=22, n_valid=5, repeats=2, model=TINY_MODEL, train=train)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_setup(folder, setup)
        ours, mace = run_ours(folder, setup), run_mace(folder, setup)
    steps = zip(
        range(1, len(ours.step_losses) + 1), ours.step_losses, mace.step_losses, strict=True
    )
    headers = ["step", "loss, mo_hpc", "loss, mace_run_train"]
    print(tabulate(steps, headers, tablefmt="github", floatfmt=".12f"))
    print()
    epochs = zip(
        range(1, words.epochs + 1),
        ours.valid_energy_mae_ev_per_atom,
        mace.valid_energy_mae_ev_per_atom,
        ours.valid_force_mae_ev_per_ang,
        mace.valid_force_mae_ev_per_ang,
        strict=True,
    )
    headers = [
        "epoch",
        "energy MAE (eV/atom), mo_hpc",
        "mace_run_train",
        "force MAE (eV/Å, component), mo_hpc",
        "mace_run_train",
    ]
    print(tabulate(epochs, headers, tablefmt="github", floatfmt=".12f"))
    print(f"\nLargest relative difference: {largest_difference(ours, mace):.1e}")


if __name__ == "__main__":
    main()

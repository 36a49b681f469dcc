"""A grid on a real Slurm under random faults ends with every task done once and its tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).resolve().parent.parent / "benchmarks" / "chaos.py"
SMALL = ("axes.protocol=[iid]", "axes.paradigm=[zero_shot,fine_tune]", "axes.seed=[1,2,3]")

pytestmark = [pytest.mark.slurm, pytest.mark.slurm_slow]


@pytest.fixture(autouse=True)
def own_cluster(slurm: None) -> None:
    local = subprocess.run(["pgrep", "-x", "slurmctld"], capture_output=True, check=False)
    if local.returncode or os.geteuid() != 0:
        pytest.skip("The faults kill daemons: they need root on a test cluster of this host.")


@pytest.mark.parametrize(
    ("seed", "packing"),
    [(7, ()), (8, ("executor.tasks_per_element=2", "executor.at_once=2"))],
    ids=["one task in an element", "packed"],
)
def test_a_grid_survives_random_faults(
    seed: int,
    packing: tuple[str, ...],
    tmp_path: Path,
    cache_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MO_HPC_CACHE", str(cache_root))
    command = [sys.executable, str(CHAOS), "--faults=15", f"--seed={seed}", f"--folder={tmp_path}"]
    done = subprocess.run([*command, *SMALL, *packing], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "Every task was done exactly once; the tables are the same." in done.stdout

"""A whole grid on a real Slurm: arrays in stages, the collector, and one allocation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SMALL = (
    "grid=nightly",
    "axes.protocol=[iid]",
    "axes.paradigm=[zero_shot,fine_tune]",
    "train.max_epochs=2",
)

pytestmark = [pytest.mark.slurm, pytest.mark.slurm_slow, pytest.mark.usefixtures("slurm")]


@pytest.fixture
def here(tmp_path: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MO_HPC_CACHE", str(cache_root))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(module: str, *words: str) -> dict[str, Any]:
    arguments = [sys.executable, "-m", f"mo_hpc.{module}", *words, "--json"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def wait(condition: Callable[[], bool], timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(1)


def test_a_grid_ends_in_tables_and_is_never_submitted_twice(here: Path) -> None:
    words = (*SMALL, "executor=slurm")
    first = command("launch", *words)
    assert len(first["submitted"]) == 3
    assert {task["state"] for task in first["tasks"]} <= {"queued", "running"}
    assert command("launch", *words)["submitted"] == [], "queued tasks were submitted again"

    run = here / first["run_dir"]
    wait((run / "report.html").exists)
    status = command("status", f"run={run}")
    assert status["counts"] == {"done": 3}
    assert list((run / "tables").glob("*.md"))
    assert command("launch", *words)["submitted"] == []

    victim = first["submitted"][-1]
    (run / "tasks" / victim / "metrics.json").unlink()
    assert command("launch", *words)["submitted"] == [victim]
    wait(lambda: command("status", f"run={run}")["counts"] == {"done": 3})
    record = json.loads((run / "tasks" / victim / "metrics.json").read_text())
    assert record["provenance"]["slurm"]["job_id"]


def test_a_failed_stage_blocks_what_needs_it(here: Path) -> None:
    broken = "grid.stages.pretrain.train={learning_rate: 1.0e+30, clip_grad_norm: null}"
    first = command("launch", *SMALL, broken, "executor=slurm")
    run = here / first["run_dir"]
    wait(lambda: set(command("status", f"run={run}")["counts"]) == {"failed", "blocked"})
    status = command("status", f"run={run}")
    assert status["counts"] == {"failed": 1, "blocked": 2}
    assert status["failures"][0]["class"] == "diverged"
    assert "pretrain" in status["failures"][1]["reason"]
    assert command("launch", *SMALL, broken, "executor=slurm")["submitted"] == []


def test_a_grid_inside_one_allocation(here: Path) -> None:
    script = REPOSITORY / "jobs" / "one_allocation.sbatch"
    environment = os.environ | {"MO_HPC_PYTHON": sys.executable}
    done = subprocess.run(
        ["sbatch", "--wait", "--parsable", str(script), *SMALL],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )
    log = "".join(path.read_text() for path in here.glob("*.log"))
    assert done.returncode == 0, done.stderr + log
    assert command("status", "grid=nightly")["counts"] == {"done": 3}
    assert list(here.glob("runs/nightly/*/report.html"))

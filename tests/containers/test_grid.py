"""A grid through real Slurm with its tasks in the real image, launched from another Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mo_hpc.core.files import sha256_file

REPOSITORY = Path(__file__).resolve().parents[2]
WORDS = (
    "grid=nightly",
    "axes.protocol=[iid]",
    "axes.paradigm=[zero_shot,fine_tune]",
    "grid.stages.pretrain.train={max_epochs: 60}",
    "grid.stages.transfer.train.max_epochs=3",
    "executor=slurm",
)

pytestmark = [pytest.mark.image, pytest.mark.slurm, pytest.mark.usefixtures("slurm")]


@dataclass(frozen=True)
class Host:
    """A thin environment that launches; its Python is not the image's."""

    python: Path
    folder: Path

    def run(self, module: str, *words: str) -> dict[str, Any]:
        """Runs a command of the suite and reads what it prints."""
        done = subprocess.run(
            [str(self.python), "-m", f"mo_hpc.{module}", *words, "--json"],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document


@pytest.fixture(scope="module")
def host(
    slurm: None, image: Path, thin_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Host:
    return Host(thin_python, tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="module")
def run(host: Host, image: Path) -> Iterator[Path]:
    """A grid of three tasks that comes to its end, though its first task is preempted."""
    cache = f"cache_root={host.folder / 'cache'}"
    first = host.run("launch", *WORDS, cache, f"site.container={image}")
    run = host.folder / first["run_dir"]
    try:
        (pretrain,) = (name for name in first["submitted"] if name.startswith("pretrain"))
        preempt(run, pretrain)
        wait((run / "report.html").exists, timeout_s=600)
        yield run
    finally:
        subprocess.run([str(host.python), "-m", "mo_hpc.cancel", f"run={run}"], check=False)


def preempt(run: Path, task: str) -> None:
    """A more urgent job takes the node of a task that trains, which comes back."""
    folder = run / "tasks" / task
    progress = folder / "progress.jsonl"
    wait(lambda: progress.exists() and progress.read_text().count("\n") >= 2)
    attempt = json.loads((folder / "attempts/1/slurm.json").read_text())
    element = "{array_job_id}_{array_task_id}".format(**attempt["slurm"])
    urgent = ["sbatch", "-p", "urgent", "-w", attempt["node"], "--exclusive", "-o", "/dev/null"]
    subprocess.run([*urgent, "--wrap", "sleep 1"], check=True, capture_output=True)
    wait(lambda: goes_on(element, folder / "attempts/2"))


def goes_on(element: str, attempt: Path) -> bool:
    """Whether the next attempt has begun; Slurm's delay of two minutes is ended until it has."""
    if attempt.exists():
        return True
    command = ["scontrol", "update", f"jobid={element}", "StartTime=now"]
    subprocess.run(command, check=False, capture_output=True)
    time.sleep(3)
    return False


def wait(condition: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.5)


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in run.glob("tasks/*/metrics.json")]


def test_the_grid_ends_in_tables(host: Host, run: Path) -> None:
    status = host.run("status", f"run={run}")
    assert status["counts"] == {"done": 3}
    assert list((run / "tables").glob("*.md"))
    assert list((run / "figures").glob("*.png"))


def test_the_preempted_task_went_on_where_it_was(run: Path) -> None:
    (pretrain,) = (each for each in records(run) if each["stage"] == "pretrain")
    assert pretrain["training"]["resumed"] == 1
    assert pretrain["training"]["epochs"] == 60
    accounts = sorted((run / "tasks" / pretrain["task_id"] / "attempts").glob("*/slurm.json"))
    first, second = (json.loads(path.read_text()) for path in accounts)
    assert [first["exit_code"], second["exit_code"]] == [85, 0]
    assert second["slurm"]["restart_count"] == "1", "it was submitted again, not put back"


def test_every_record_names_the_image_and_what_it_was_built_from(run: Path, image: Path) -> None:
    for record in records(run):
        made = record["provenance"]
        assert made["image_sha256"] == sha256_file(image)
        assert len(made["git"]["commit"]) == 40
        assert len(made["lock_sha256"]) == 64


def test_host_and_image_have_different_pythons(host: Host, run: Path) -> None:
    version = "import sys; print('%d.%d' % sys.version_info[:2])"
    told = subprocess.run([host.python, "-c", version], capture_output=True, text=True, check=True)
    inside = {record["provenance"]["python"].rpartition(".")[0] for record in records(run)}
    assert len(inside) == 1
    assert told.stdout.strip() not in inside


def test_tables_are_made_in_the_image_again(host: Host, run: Path, image: Path) -> None:
    document = host.run("collect", f"run={run}")
    assert document["images"] == [{"sha256": sha256_file(image), "n_tasks": 3}]
    assert document["missing"] == []


def test_nothing_is_left_beside_the_run_and_the_cache(host: Host, run: Path) -> None:
    inside = {run.parts[len(host.folder.parts)], "cache"}
    assert {path.name for path in host.folder.iterdir()} == inside


def test_a_record_from_outside_the_image_is_not_mixed_in(host: Host, run: Path) -> None:
    zero_shot = next(path for path in run.glob("tasks/*zero_shot*/metrics.json"))
    kept = zero_shot.read_text()
    zero_shot.unlink()
    worker = [sys.executable, "-m", "mo_hpc.worker", str(zero_shot.parent)]
    try:
        subprocess.run(worker, check=True, capture_output=True)
        refused = host.run("collect", f"run={run}")
        assert "different environments" in refused["error"]["what"]
        assert "--mixed-images" in refused["error"]["remedy"]
        assert host.run("collect", f"run={run}", "--mixed-images")["missing"] == []
    finally:
        zero_shot.write_text(kept)

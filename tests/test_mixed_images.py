"""A run whose image was exchanged on the way, through the commands as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = (
    "grid=nightly",
    "axes.paradigm=[zero_shot]",
    "axes.protocol=[iid]",
    "train.max_epochs=1",
    "executor=inline",
    "executor.collect=false",
)
FIRST, SECOND = "1" * 64, "2" * 64


def run(*words: str, cwd: Path, image: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command as in an image of this digest: the variable is all that records see of it."""
    environment = {name: value for name, value in os.environ.items() if "IMAGE" not in name}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=cwd,
        env=environment | ({"MO_HPC_IMAGE_SHA256": image} if image else {}),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, cache_root) -> tuple[Path, dict]:
    """A working directory with a run whose last task was made in another image."""
    folder = tmp_path_factory.mktemp("work")
    words = ("mo_hpc.launch", *SMALL, f"cache_root={cache_root}", "--json")
    done = run(*words, cwd=folder, image=FIRST)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    last = document["tasks"][-1]["id"]
    (folder / document["run_dir"] / "tasks" / last / "metrics.json").unlink()
    again = run(*words, cwd=folder, image=SECOND)
    assert json.loads(again.stdout)["submitted"] == [last], again.stderr
    return folder, document


def images(folder: Path, document: dict) -> list[str]:
    records = [
        json.loads(
            (folder / document["run_dir"] / "tasks" / task["id"] / "metrics.json").read_text()
        )
        for task in document["tasks"]
    ]
    return [record["provenance"]["image_sha256"] for record in records]


@pytest.mark.slow
def test_tables_are_refused_until_the_message_has_been_followed(mixed, cache_root):
    folder, document = mixed
    n_tasks = len(document["tasks"])
    assert images(folder, document) == [*[FIRST] * (n_tasks - 1), SECOND]

    refused = run("mo_hpc.collect", "grid=nightly", cwd=folder)
    assert refused.returncode == 2
    assert f"image sha256 {SECOND}: 1 task" in " ".join(refused.stderr.split())
    assert not (folder / document["run_dir"] / "report.html").exists()

    on_request = run("mo_hpc.collect", "grid=nightly", "--mixed-images", cwd=folder)
    assert on_request.returncode == 0, on_request.stderr
    assert "Records of 2 different environments" in " ".join(on_request.stdout.split())

    shown = refused.stderr
    commands = shown[shown.index("mkdir") : shown.index("and launch the grid again")]
    subprocess.run(["bash", "-ec", commands], check=True, cwd=folder)
    words = ("mo_hpc.launch", *SMALL, f"cache_root={cache_root}", "--json")
    again = run(*words, cwd=folder, image=FIRST)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["submitted"] == [document["tasks"][-1]["id"]]
    assert images(folder, document) == [FIRST] * n_tasks

    collected = run("mo_hpc.collect", "grid=nightly", cwd=folder)
    assert collected.returncode == 0, collected.stderr
    assert "different environments" not in collected.stdout

"""Whole nights, as a user types them: accept one, pass the next, notice the worse one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mo_hpc.core.files import read_lines

pytestmark = pytest.mark.slow

WORDS = (
    "executor=inline",
    "executor.collect=false",
    "axes.protocol=[iid]",
    "axes.paradigm=[scratch]",
    # One seed: nothing to borrow a spread from, so the tolerance is the floor of 1 %.
    "axes.seed=[1]",
    "train.max_epochs=1",
    "train.allow_missing_energy_reference=true",
    # Of the transfer alone: so few frames of the pretraining may lack an element.
    "grid.stages.transfer.split.max_train=24",
    "keep=2",
)
GOOD, WORSE = "train.learning_rate=0.5", "train.learning_rate=1e-9"


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mo_hpc.nightly", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def nights(tmp_path_factory, cache_root):
    """A working directory after four nights, the first of which was accepted; what they said."""
    folder = tmp_path_factory.mktemp("nights")
    os.environ["MO_HPC_CACHE"] = str(cache_root)
    said = {
        "first": command("run", *WORDS, GOOD, cwd=folder),
        "accept": command("accept", "--reason", "first reference", cwd=folder),
        "same": command("run", *WORDS, GOOD, "--json", cwd=folder),
        "worse": command("run", *WORDS, WORSE, cwd=folder),
        "failed": command("run", *WORDS, "train.learning_rate=1e6", "--json", cwd=folder),
    }
    return folder, said


def test_without_a_reference_the_night_is_kept_and_the_remedy_is_accept(nights):
    _, said = nights
    first = said["first"]
    assert first.returncode == 2, first.stderr
    assert "There is no reference to compare with." in first.stderr
    assert "accept nightly_root=nightly --reason" in first.stderr
    assert said["accept"].returncode == 0, said["accept"].stderr


def test_the_same_night_again_is_computed_again_and_passes(nights):
    folder, said = nights
    same = said["same"]
    assert same.returncode == 0, same.stderr
    document = json.loads(same.stdout)
    assert (document["verdict"], document["regressions"]) == ("pass", [])
    assert document["n_compared"] > 20
    first, second, *_ = read_lines(folder / "nightly" / "history.jsonl")
    assert first["cells"] == second["cells"], "same seeds, same numbers"
    assert first["run_dir"] != second["run_dir"]
    assert second["throughput"]["train_frames_per_s"] > 0
    assert all(Path(folder, figure).stat().st_size > 1000 for figure in document["figures"])


def test_a_worse_training_is_a_regression_that_names_metric_and_origin(nights):
    folder, said = nights
    worse = said["worse"]
    assert worse.returncode == 1, worse.stderr
    assert worse.stdout.startswith("REGRESSION: ")
    assert "pretrain: force_mae_mev_per_ang_component" in worse.stdout
    assert "meV/Å (+" in worse.stdout
    assert "tolerances of" in worse.stdout
    assert "changed: words" in worse.stdout
    third = read_lines(folder / "nightly" / "history.jsonl")[2]
    assert third["verdict"] == "regression"
    assert "pretrain: force_mae_mev_per_ang_component" in third["moved"]


def test_a_training_that_fails_is_named_with_its_class(nights):
    _, said = nights
    failed = said["failed"]
    assert failed.returncode == 1, failed.stderr
    document = json.loads(failed.stdout)
    assert document["verdict"] == "regression"
    classes = {task["failure_class"] for task in document["unfinished"]}
    assert "diverged" in classes
    assert document["absent"] == ["pretrain has no result", "transfer-iid-scratch has no result"]


def test_old_runs_go_and_the_history_stays(nights):
    folder, _ = nights
    kept = sorted(path.name for path in (folder / "nightly" / "runs").iterdir())
    names = [line["night"] for line in read_lines(folder / "nightly" / "history.jsonl")]
    assert len(names) == 4
    assert kept == names[-2:]


def test_a_night_that_failed_cannot_be_accepted_and_an_older_one_can(nights):
    folder, _ = nights
    refused = command("accept", "--reason", "why not", cwd=folder)
    assert refused.returncode == 2
    assert "tasks that are not done" in refused.stderr
    before = (folder / "nightly" / "reference.json").read_bytes()
    worse = read_lines(folder / "nightly" / "history.jsonl")[2]["night"]
    no_reason = command("accept", f"night={worse}", cwd=folder)
    assert no_reason.returncode == 2
    assert "needs a reason" in no_reason.stderr
    assert (folder / "nightly" / "reference.json").read_bytes() == before
    shown = command("show", cwd=folder)
    assert shown.returncode == 0
    assert "first reference" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_words_that_the_launch_refuses_are_no_night(tmp_path, cache_root):
    refused = command(
        "run", "train.max_epochs=many", f"cache_root={cache_root}", "--json", cwd=tmp_path
    )
    assert refused.returncode == 2
    assert "train.max_epochs" in json.loads(refused.stdout)["error"]["what"] + refused.stderr
    assert not (tmp_path / "nightly" / "history.jsonl").exists()
    assert "Traceback" not in refused.stderr

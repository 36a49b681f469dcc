"""The commands as a user types them: one small grid from nothing to tables, and back again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SMALL = (
    "grid=nightly",
    "axes.paradigm=[zero_shot,fine_tune]",
    "train.max_epochs=2",
    "executor=inline",
    "executor.collect=false",
)


def run(*words: str, cwd: Path, module: str = "mo_hpc.launch") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> Path:
    """A working directory where the small grid has been run once."""
    folder = tmp_path_factory.mktemp("work")
    os.environ["MO_HPC_CACHE"] = str(cache_root)
    done = run(*SMALL, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "first.json").write_text(done.stdout)
    return folder


def test_the_json_document_keeps_its_contract(workplace: Path) -> None:
    document = json.loads((workplace / "first.json").read_text())
    assert document["grid"] == "nightly"
    assert document["executor"] == "inline"
    ids = [task["id"] for task in document["tasks"]]
    assert document["submitted"] == ids
    assert document["skipped"] == []
    assert {task["state"] for task in document["tasks"]} == {"done"}
    assert all(set(task) == {"id", "axes", "state"} for task in document["tasks"])
    assert (workplace / document["run_dir"] / "manifest.json").is_file()


def test_a_second_launch_submits_nothing(workplace: Path) -> None:
    again = run(*SMALL, "--json", cwd=workplace)
    assert again.returncode == 0, again.stderr
    document = json.loads(again.stdout)
    assert document["submitted"] == []
    assert len(document["skipped"]) == len(document["tasks"])


def test_with_one_record_removed_exactly_that_task_runs(workplace: Path) -> None:
    document = json.loads((workplace / "first.json").read_text())
    victim = document["tasks"][-1]["id"]
    folder = workplace / document["run_dir"] / "tasks" / victim
    before = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").unlink()
    again = run(*SMALL, "--json", cwd=workplace)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["submitted"] == [victim]
    after = json.loads((folder / "metrics.json").read_text())
    assert after["metrics"] == before["metrics"]


def test_status_and_collect_read_what_launch_wrote(workplace: Path) -> None:
    status = run("grid=nightly", "--json", cwd=workplace, module="mo_hpc.status")
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["counts"] == {"done": 7}
    collect = run("grid=nightly", "--json", cwd=workplace, module="mo_hpc.collect")
    assert collect.returncode == 0, collect.stderr
    document = json.loads(collect.stdout)
    assert document["missing"] == []
    for path in document["paths"]:
        assert (workplace / path).stat().st_size > 0


def test_every_record_says_where_it_comes_from(workplace: Path) -> None:
    document = json.loads((workplace / "first.json").read_text())
    for task in document["tasks"]:
        folder = workplace / document["run_dir"] / "tasks" / task["id"]
        record = json.loads((folder / "metrics.json").read_text())
        assert record["synthetic"] is True
        assert len(record["dataset_hash"]) == 64
        assert record["split"]["audit"]["n_shared_groups"] == 0
        assert record["provenance"]["libraries"]["torch"]
        if record["paradigm"] != "scratch":
            assert record["foundation"]["is_stand_in"] is True


def test_a_model_of_an_earlier_run_predicts_there_what_it_did_here(workplace: Path) -> None:
    earlier = json.loads((workplace / "first.json").read_text())
    maker = earlier["tasks"][0]["id"]
    words = ["axes.paradigm=[zero_shot]", "axes.protocol=[iid]", "executor=inline", "--json"]
    name = f"run:nightly/{Path(earlier['run_dir']).name}/{maker}"
    done = run("grid=demo", f"foundation={name}", *words, cwd=workplace)
    assert done.returncode == 0, done.stderr
    records = []
    for document in (earlier, json.loads(done.stdout)):
        (task,) = [task["id"] for task in document["tasks"] if "iid-zero_shot" in task["id"]]
        folder = workplace / document["run_dir"] / "tasks" / task
        records.append(json.loads((folder / "metrics.json").read_text()))
    assert records[0]["metrics"] == records[1]["metrics"]
    assert records[0]["split"] == records[1]["split"]
    assert records[1]["foundation"]["name"] == name.rpartition("/")[0]
    assert records[1]["foundation"]["run_task_id"] == maker
    assert records[0]["foundation"]["sha256"] == records[1]["foundation"]["sha256"]


BAD = {
    "grid=demoo": "grid",
    "grid=demo dataset=mo420": "mo420",
    "grid=demo train.max_epochs=many": "train.max_epochs",
    "grid=demo axes.element=[Xx]": "element",
    "train.seed=1": "grid",
}


@pytest.mark.parametrize("words", BAD)
def test_wrong_input_ends_with_2_and_one_message(
    tmp_path: Path, cache_root: Path, words: str
) -> None:
    failed = run(*words.split(), "--json", f"cache_root={cache_root}", cwd=tmp_path)
    assert failed.returncode == 2
    document = json.loads(failed.stdout)
    assert set(document["error"]) == {"what", "where", "valid", "remedy"}
    assert failed.stderr.startswith("error: ")
    assert "Traceback" not in failed.stderr
    assert BAD[words] in failed.stderr
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_writes_nothing(tmp_path: Path, cache_root: Path) -> None:
    shown = run("grid=demo", "--dry-run", f"cache_root={cache_root}", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "lodo_strict" in shown.stdout
    assert "Estimated size" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_for_slurm_shows_the_batch_script(tmp_path: Path, cache_root: Path) -> None:
    shown = run(
        "grid=demo", "executor=slurm", "--dry-run", f"cache_root={cache_root}", cwd=tmp_path
    )
    assert shown.returncode == 0, shown.stderr
    assert "#SBATCH" in shown.stdout


def test_killed_and_launched_again_equals_never_stopped(workplace: Path, tmp_path: Path) -> None:
    """SIGKILL while a task trains; the next launch resumes it to the same bits."""
    words = [word for word in SMALL if not word.startswith("train.")]
    longer = [*words, "train.max_epochs=12", "axes.protocol=[iid]", "axes.paradigm=[fine_tune]"]
    undisturbed = run(*longer, "runs_root=whole", cwd=tmp_path)
    assert undisturbed.returncode == 0, undisturbed.stderr

    process = subprocess.Popen(
        [sys.executable, "-m", "mo_hpc.launch", *longer, "runs_root=broken"],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not _epochs(tmp_path / "broken", "transfer") >= 3:
        assert process.poll() is None, "the task ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list((tmp_path / "broken").glob("*/*/tasks/transfer*/metrics.json"))

    resumed = run(*longer, "runs_root=broken", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    whole, broken = (_records(tmp_path / name) for name in ("whole", "broken"))
    assert whole.keys() == broken.keys()
    for task_id, record in whole.items():
        assert broken[task_id]["metrics"] == record["metrics"]
        assert broken[task_id]["valid_metrics"] == record["valid_metrics"]
    assert any(record["training"]["resumed"] == 1 for record in broken.values())


def _epochs(root: Path, stage: str) -> int:
    files = list(root.glob(f"*/*/tasks/{stage}*/progress.jsonl"))
    return sum(len(path.read_text().splitlines()) for path in files)


def _records(root: Path) -> dict[str, dict]:
    return {
        path.parent.name: json.loads(path.read_text())
        for path in root.glob("*/*/tasks/*/metrics.json")
    }

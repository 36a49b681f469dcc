"""Launch and status when something is wrong: one message, one document, nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mo_hpc import cancel, launch, logs, retry, status
from mo_hpc.core.errors import run_command
from mo_hpc.core.files import write_json
from mo_hpc.core.paths import RunPaths
from mo_hpc.executors import resubmission
from mo_hpc.plan.manifest import Manifest, ManifestTask


class Idle:
    """An executor that accepts everything and runs nothing."""

    def require(self, _tasks) -> None:
        """All can be run."""

    def submit(self, _tasks) -> list[str]:
        return []

    def preview(self, _tasks) -> str:
        return "nothing"


@pytest.fixture
def launched(tmp_path, monkeypatch, cache_root, capsys):
    """Launches in an empty folder and returns exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def run(*words):
        code = run_command(launch.main, [*words, f"cache_root={cache_root}"])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def a_run(tmp_path, monkeypatch):
    """A run of one task that nobody has worked on."""
    monkeypatch.chdir(tmp_path)
    run = RunPaths(Path("runs") / "demo" / ("0" * 12))
    manifest = Manifest(
        grid="demo",
        description="-",
        run_digest="0" * 12,
        executor="inline",
        site="default",
        dataset="demo",
        labels="-",
        synthetic=True,
        tasks=(ManifestTask(id="a", digest="0" * 64, stage="s", axes={}, needs=()),),
    )
    write_json(run.manifest, manifest.model_dump(mode="json"))
    run.task("a").folder.mkdir(parents=True)
    return run


def test_no_words_list_the_grids(launched, capsys):
    assert run_command(launch.main, ["--json"]) == 2
    shown = capsys.readouterr()
    assert "No grid was chosen." in shown.err
    document = json.loads(shown.out)
    assert document["schema_version"] == 1
    assert document["error"]["what"] == "No grid was chosen."
    assert {"demo", "nightly"} <= set(document["error"]["valid"])
    assert run_command(status.main, []) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("executor=slurm",), "sbatch is not on the path"),
        (("executor=local", "resources.gpus_per_node=4"), "asks for 4 GPUs"),
        (("executor=inline", "resources.gpus_per_node=4"), "asks for 4 GPUs"),
        (("executor=slurm", "resources.time_min=1", "--dry-run"), "90 s before its time limit"),
        (("executor=slurm", "resources.time_min=1", "--dry-run", "--json"), "90 s before"),
    ],
)
def test_a_refused_launch_leaves_nothing(launched, monkeypatch, tmp_path, words, said):
    monkeypatch.setenv("PATH", "/nowhere")
    code, out, err = launched("grid=demo", *words)
    assert code == 2
    assert said in err
    assert ("error" in json.loads(out)) if "--json" in words else not out
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_runs_should_lie_is_one_message(launched, tmp_path):
    (tmp_path / "afile").write_text("")
    code, _, err = launched("grid=demo", "executor=inline", "runs_root=afile")
    assert code == 2
    assert err.startswith("error: ")
    assert "afile" in err
    assert "remedy:" in err


@pytest.mark.parametrize("name", ["grid.name=../../evil", "dataset.name=../evil"])
def test_no_name_leads_out_of_its_folder(launched, tmp_path, name):
    code, _, err = launched("grid=demo", "executor=inline", name)
    assert code == 2
    assert name.partition("=")[0] in err
    assert "where:  grid=demo" not in err
    assert list(tmp_path.iterdir()) == []


def test_an_executor_that_waits_leaves_nothing_to_watch(launched, monkeypatch):
    monkeypatch.setattr(launch, "executor_of", lambda *_: Idle())
    monkeypatch.setattr(resubmission, "executor_of", lambda *_: Idle())
    words = ("grid=demo", "axes.protocol=[iid]", "axes.paradigm=[scratch]", "executor=inline")
    code, _, err = launched(*words, "--watch")
    assert code == 1
    assert "executor=inline has waited; nothing to watch." in err


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe{}"])
def test_a_damaged_task_file_is_mended(launched, monkeypatch, tmp_path, content):
    monkeypatch.setattr(launch, "executor_of", lambda *_: Idle())
    monkeypatch.setattr(resubmission, "executor_of", lambda *_: Idle())
    words = ("grid=demo", "axes.protocol=[iid]", "axes.paradigm=[scratch]", "executor=inline")
    assert launched(*words)[0] == 1
    (task,) = tmp_path.glob("runs/demo/*/tasks/*/task.json")
    before = task.read_bytes()
    task.write_bytes(content)
    assert launched(*words)[0] == 1
    assert task.read_bytes() == before


@pytest.mark.parametrize("content", ["[]", "null", "{", "{}"])
def test_a_damaged_manifest_names_the_way_out(a_run, capsys, content):
    a_run.manifest.write_text(content)
    assert run_command(status.main, [f"run={a_run.folder}"]) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "Launch the grid again with the same words; that writes it anew." in err
    assert f"{a_run.manifest}:" not in err or content == "{}"


def test_damaged_progress_is_left_out(a_run, capsys):
    lines = ['{"epoch": 3, "valid_force_mae_mev_per_ang_component": 7.25}', "[1]", "3", "{}"]
    a_run.task("a").progress.write_text("\n".join(lines) + '\n{"epoch": "x"}\n')
    assert run_command(status.main, ["grid=demo"]) == 1
    assert "3   7.2" in " ".join(capsys.readouterr().out.splitlines())


def test_damaged_submissions_are_left_out(a_run, capsys):
    a_run.submissions.write_text('[1]\n{}\n{"event": "intent", "name": 3}\n')
    assert run_command(status.main, ["grid=demo", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["counts"] == {"missing": 1}


def test_paths_are_printed_in_one_piece(a_run, tmp_path, capsys):
    far = tmp_path / ("long name " * 12).strip()
    far.mkdir()
    a_run.folder.rename(far / "run")
    assert run_command(status.main, [f"run={far / 'run'}"]) == 1
    assert f"Run directory: {far / 'run'}\n" in capsys.readouterr().out


@pytest.mark.parametrize("command", [each.main for each in (launch, status, cancel, logs, retry)])
def test_help_tells_every_exit_status(command, capsys):
    with pytest.raises(SystemExit):
        command(["--help"])
    assert "130 interrupted" in capsys.readouterr().out

"""The self-check passes here, and each of its checks fails when what it looks at is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement

import mo_hpc
from mo_hpc import selfcheck
from mo_hpc.core.errors import run_command
from mo_hpc.core.installation import BUILD_FILE, BuildAccount
from mo_hpc.executors.checkup.finding import Group
from mo_hpc.selfchecks import children, gpu_checks, mpi_checks, place_checks, software, step_checks
from mo_hpc.selfchecks.children import Ended
from mo_hpc.selfchecks.rank_checks import compared
from mo_hpc.selfchecks.small_training import train_three_steps

REPOSITORY = Path(__file__).parent.parent
GROUP = Group("test")
QUICK = {
    "Software": {"Python", "mo_hpc", "imports", "versions"},
    "Training on the CPU": {"three steps", "rotation", "a force"},
}


def run(*words, **variables) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mo_hpc.selfcheck", *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def by_group(document) -> dict[str, set[str]]:
    groups: dict[str, set[str]] = {}
    for check in document["checks"]:
        groups.setdefault(check["group"], set()).add(check["name"])
    return groups


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return train_three_steps(folder / "cache", folder / "task", torch.device("cpu"))


# -- the command ----------------------------------------------------------------------


def test_quick_passes_within_a_minute_and_leaves_nothing(tmp_path):
    home, temporary, here = (tmp_path / name for name in ("home", "temporary", "here"))
    for folder in (home, temporary, here):
        folder.mkdir()
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "mo_hpc.selfcheck", "--quick", "--json"],
        cwd=here,
        env={**os.environ, "HOME": str(home), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 60
    document = json.loads(done.stdout)
    assert document["all_right"] is document["quick"] is True
    assert by_group(document) == QUICK
    assert {check["verdict"] for check in document["checks"]} == {"ok"}
    assert [path for folder in (home, temporary, here) for path in folder.rglob("*")] == []


@pytest.mark.slow
def test_everything_passes_here(tmp_path):
    done = run("--json", "--folder", str(tmp_path / "runs"))
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    found = {(each["group"], each["name"]): each for each in document["checks"]}
    gloo = found["Training on two ranks", "2 ranks, gloo"]
    assert gloo["verdict"] == "ok", gloo
    assert found["MPI", "2 ranks"]["verdict"] in {"ok", "not checked"}
    demo = found["From the grid to a record", "a demo task"]
    assert re.search(r"2 epochs of 160 structures on the \w+: \d+, \d+ structures/s", demo["found"])
    assert not (tmp_path / "runs").exists()


def test_a_file_for_a_folder_is_wrong_input(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run_command(selfcheck.main, ["--folder", str(tmp_path / "file")]) == 2
    assert "is not a folder" in " ".join(capsys.readouterr().err.split())


def test_without_a_library_nothing_is_trained_and_the_status_is_1(monkeypatch, capsys):
    monkeypatch.setattr(software, "LIBRARIES", {"numpy": "numpy", "absent": "absent_library"})
    assert run_command(selfcheck.main, ["--quick"]) == 1
    shown = capsys.readouterr().out
    assert "absent: ModuleNotFoundError: No module named 'absent_library'" in " ".join(
        shown.split()
    )
    assert "not checked three steps" in shown
    assert "1 problem" in shown


def test_a_check_that_breaks_is_a_problem_and_no_traceback_on_stdout(monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("nothing works")
        yield

    monkeypatch.setattr(step_checks, "step_findings", broken)
    assert run_command(selfcheck.main, ["--quick", "--json"]) == 1
    shown = capsys.readouterr()
    last = json.loads(shown.out)["checks"][-1]
    assert last["verdict"] == "problem"
    assert "RuntimeError: nothing works" in last["found"]
    assert "Traceback" in shown.err


# -- software -------------------------------------------------------------------------


def test_every_declared_library_is_imported():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *extras["train"], *extras["tables"]]
    assert {Requirement(text).name for text in declared} == set(software.LIBRARIES)


@pytest.mark.parametrize(("account", "verdict"), [(None, "warning"), (BuildAccount(), "problem")])
def test_other_versions_than_the_locks(monkeypatch, account, verdict):
    locked = software.locked_versions() | {"numpy": "1.0.0"}
    monkeypatch.setattr(software, "locked_versions", lambda: locked)
    monkeypatch.setattr(software, "build_account", lambda: account)
    finding = software._versions()
    assert finding.verdict == verdict
    assert f"numpy {np.__version__} (lock: 1.0.0)" in finding.found
    assert "torch" not in finding.found


def test_an_image_whose_lock_is_another_than_it_was_built_from(monkeypatch):
    monkeypatch.setattr(software, "build_account", lambda: BuildAccount(lock_sha256="0" * 64))
    (finding,) = software._lock_of_build()
    assert finding.verdict == "problem"


def test_code_of_the_current_folder_is_not_that_of_the_image(tmp_path):
    package = Path(mo_hpc.__file__).parent
    assert software._own_code(package, tmp_path).verdict == "ok"
    (tmp_path / BUILD_FILE).write_text("{}")
    assert software._own_code(package, tmp_path).verdict == "problem"
    assert software._own_code(tmp_path / "lib" / "mo_hpc", tmp_path).verdict == "ok"


# -- training -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "verdict"),
    [
        ([3.0, 2.5, 2.0], "ok"),
        ([3.0, 3.0, 3.0], "problem"),
        ([3.0, 2.0, 4.0], "problem"),
        ([3.0, float("nan"), 2.0], "problem"),
    ],
)
def test_a_loss_has_to_fall(losses, verdict):
    assert step_checks.loss_finding(GROUP, losses).verdict == verdict


def hooked(trained, change):
    """Lets a change of the model's output, by its positions, act for a block."""
    return trained.model.register_forward_hook(
        lambda _model, inputs, output: output | change(inputs[0]["positions"].detach(), output)
    )


def test_a_model_that_sees_a_direction_is_found_out(trained):
    assert step_checks.rotation_finding(GROUP, trained).verdict == "ok"
    hook = hooked(trained, lambda x, out: {"energy": out["energy"] + 1e-9 * x[:, 0].sum()})
    assert step_checks.rotation_finding(GROUP, trained).verdict == "problem"
    hook.remove()
    direction = torch.tensor([1e-9, 0.0, 0.0], dtype=torch.float64)
    hook = hooked(trained, lambda _x, out: {"forces": out["forces"] + direction})
    assert step_checks.rotation_finding(GROUP, trained).verdict == "problem"
    hook.remove()


def test_forces_that_are_no_derivative_are_found_out(trained):
    assert step_checks.force_finding(GROUP, trained).verdict == "ok"
    hook = hooked(trained, lambda _x, out: {"forces": 1.01 * out["forces"]})
    assert step_checks.force_finding(GROUP, trained).verdict == "problem"
    hook.remove()


def test_gradients_are_compared():
    one = {"weight": np.array([1.0, -2.0]), "loss": np.array(3.0)}
    close = {"weight": np.array([1.0, -2.0 + 1e-12]), "loss": np.array(3.0)}
    assert compared(GROUP, "2", one, close).verdict == "ok"
    half = {"weight": np.array([0.5, -1.0]), "loss": np.array(3.0)}
    assert compared(GROUP, "2", one, half).verdict == "problem"
    assert compared(GROUP, "2", one, {"loss": np.array(3.0)}).verdict == "problem"
    nothing = {"weight": np.zeros(2), "loss": np.array(0.0)}
    assert compared(GROUP, "2", nothing, nothing).verdict == "problem"


# -- processes ------------------------------------------------------------------------


def test_a_program_that_hangs_is_ended():
    command = [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(60)"]
    ended = children.run_command_line(command, dict(os.environ), patience_s=1.0)
    assert (ended.code, ended.out) == (None, "begun\n")
    assert "took too long" in ended.why


def test_a_rank_that_fails_ends_the_others(tmp_path, monkeypatch):
    (tmp_path / "ranks_program.py").write_text(
        "import os, sys, time\n"
        "assert 'SLURM_JOB_ID' not in os.environ and os.environ['WORLD_SIZE'] == '2'\n"
        "sys.exit('no') if os.environ['RANK'] == '1' else time.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    began = time.monotonic()
    ended = children.run_ranks("ranks_program", [], 2)
    assert time.monotonic() - began < 30
    assert ended[1].code == 1
    assert ended[1].why == "it ended with status 1: no"
    assert ended[0].code == -9


# -- GPUs, MPI, places ----------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_machine_without_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_checks, "DRIVER_DEVICE", tmp_path / "nvidiactl")
    (finding,) = gpu_checks.gpu_findings(GROUP, tmp_path)
    assert finding.verdict == "not checked"
    (tmp_path / "nvidiactl").write_text("")
    (finding,) = gpu_checks.gpu_findings(GROUP, tmp_path)
    assert finding.verdict == ("problem" if torch.version.cuda else "warning")


@pytest.mark.parametrize(
    ("driver", "verdict"),
    [((12, 8), "ok"), ((13, 0), "ok"), ((12, 4), "warning"), (None, "not checked")],
)
def test_the_driver_against_what_torch_was_built_for(driver, verdict):
    finding = gpu_checks.driver_finding(GROUP, "550.54.14", driver, "12.8")
    assert finding.verdict == verdict
    assert "550.54.14" in finding.found


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun 6", "535.54.03"),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release",
            "570.86.15",
        ),
    ],
)
def test_the_driver_says_its_version(monkeypatch, tmp_path, text, version):
    (tmp_path / "version").write_text(f"{text}\nGCC version: 12.2.0\n")
    monkeypatch.setattr(gpu_checks, "_DRIVER_VERSION", tmp_path / "version")
    assert gpu_checks._driver() == version


def told(**changes) -> Ended:
    document = {"library": "MPICH 5", "standard": "5.0", "size": 2, "sum": 3} | changes
    return Ended(0, f"a note\n{json.dumps(document)}\n", "")


def test_ranks_that_do_not_see_each_other_are_found_out():
    own = Path(sys.executable).with_name("mpiexec")
    assert mpi_checks.job_finding(GROUP, own, told()).verdict == "ok"
    alone = mpi_checks.job_finding(GROUP, own, told(size=1, sum=1))
    assert alone.verdict == "problem"
    assert "each is a job of 1" in alone.found
    of_host = Path("/usr/bin/mpiexec")
    assert mpi_checks.job_finding(GROUP, of_host, told(size=1, sum=1)).verdict == "warning"
    broken = mpi_checks.job_finding(GROUP, own, Ended(15, "", "Abort(1): no PMI\n"))
    assert broken.verdict == "problem"
    assert "Abort(1): no PMI" in broken.found


MOUNTS = r"""
22 1 0:21 / / rw - overlay overlay rw
23 22 0:22 / /scratch rw - lustre mgs:/fs rw
24 22 0:23 / /tmp rw - tmpfs tmpfs rw
25 23 0:24 / /scratch/my\040runs rw - nfs4 server:/runs rw
"""


@pytest.mark.parametrize(
    ("folder", "found", "verdict"),
    [
        ("/scratch/me/runs", "/scratch is lustre", "ok"),
        ("/scratch/my runs/a", "/scratch/my runs is nfs4", "ok"),
        ("/tmp/runs", "/tmp is tmpfs", "warning"),
        ("/home/me/runs", "/ is overlay", "warning"),
    ],
)
def test_a_folder_that_ends_with_the_container(tmp_path, monkeypatch, folder, found, verdict):
    (tmp_path / "mounts").write_text(MOUNTS.strip() + "\n")
    monkeypatch.setattr(place_checks, "nearest", lambda path: path)
    finding = place_checks.lasting(GROUP, Path(folder), tmp_path / "mounts")
    assert (finding.verdict, finding.found.split(":")[0]) == (verdict, found)


def test_shared_memory_that_is_little_or_not_there(tmp_path, monkeypatch):
    assert place_checks.shared_memory(GROUP, tmp_path / "absent").verdict == "warning"
    assert place_checks.shared_memory(GROUP, tmp_path).verdict == "ok"
    monkeypatch.setattr(place_checks, "_LITTLE_SHARED_MEMORY", 2**60)
    assert place_checks.shared_memory(GROUP, tmp_path).verdict == "warning"

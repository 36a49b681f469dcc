"""One task in one worker: lock, needs, attempts and records."""

import fcntl
import json
import os
import signal
import subprocess
import warnings
from dataclasses import replace

import pytest

from mo_hpc.core import registry
from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import Resources
from mo_hpc.core.files import read_json, read_lines, write_atomic
from mo_hpc.core.record import read_error, read_record
from mo_hpc.executors.completion import is_done
from mo_hpc.executors.failures.classes import failure_class
from mo_hpc.executors.notes import without_known_notes
from mo_hpc.executors.run_task import run_task


def test_a_task_leaves_a_record_and_the_account_of_its_attempt(run, make_task):
    paths = run.task(make_task("a").id)
    assert run_task(paths.folder) == 0
    record = read_record(paths)
    assert record.task_id == "a"
    assert record.provenance["libraries"]["numpy"]
    attempt = read_json(paths.attempt(1) / "slurm.json")
    assert attempt["exit_code"] == 0
    assert attempt["started"] <= attempt["ended"]


def test_a_done_task_ends_at_once(run, make_task):
    paths = run.task(make_task("a").id)
    run_task(paths.folder)
    before = paths.metrics.read_bytes()
    assert run_task(paths.folder) == 0
    assert paths.metrics.read_bytes() == before
    assert paths.last_attempt() == 1
    assert len(read_lines(paths.progress)) == 1


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ("fail", "python_error"),
        ("bad_input", "bad_input"),
        ("bad_data", "bad_data"),
        ("diverge", "diverged"),
        ("memory", "host_out_of_memory"),
    ],
)
def test_a_failure_is_a_record_too(run, make_task, capsys, behaviour, expected):
    paths = run.task(make_task("a", behaviour).id)
    assert run_task(paths.folder) == 1
    error = read_error(paths)
    assert error.failure_class == expected
    assert "fake_kind.py" in error.traceback
    assert not paths.metrics.exists()
    assert read_json(paths.attempt(1) / "slurm.json")["exit_code"] == 1
    shown = capsys.readouterr().err
    assert f"a failed ({expected}): {error.message}" in shown
    assert "Traceback" not in shown


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OutOfMemoryError("CUDA out of memory"), "gpu_out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "host_out_of_memory"),
        (RuntimeError("[gloo] Connection closed by peer [127.0.0.1]:4242"), "communication"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "python_error"),
    ],
)
def test_failures_as_torch_reports_them(error, expected):
    assert failure_class(error) == expected


def test_an_unknown_kind_is_refused_with_the_valid_ones(run, make_task):
    task = make_task("a")
    document = task.model_copy(update={"kind": "cook"}).model_dump(mode="json")
    write_atomic(run.task("a").task, json.dumps(document))
    with pytest.raises(UserError, match="Unknown kind 'cook'") as caught:
        run_task(run.task("a").folder)
    assert {"fake", "train"} <= set(caught.value.valid)


def test_what_needs_an_unfinished_task_waits_without_a_record(run, make_task, capsys):
    make_task("first")
    paths = run.task(make_task("second", needs=["first"]).id)
    assert run_task(paths.folder) == 1
    assert "second cannot start: first is not done yet" in capsys.readouterr().err
    assert not paths.error.exists()
    assert paths.last_attempt() == 0
    run_task(run.task("first").folder)
    assert run_task(paths.folder) == 0


def test_what_needs_a_failed_task_says_so(run, make_task, capsys):
    make_task("first", "fail")
    make_task("second", needs=["first"])
    run_task(run.task("first").folder)
    assert run_task(run.task("second").folder) == 1
    assert "second cannot start: first is failed" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["truncate", "other digest", "older schema"])
def test_a_record_that_cannot_be_trusted_is_replaced(run, make_task, damage):
    paths = run.task(make_task("a").id)
    run_task(paths.folder)
    text = paths.metrics.read_text()
    if damage == "truncate":
        paths.metrics.write_text(text[: len(text) // 2])
    else:
        field, value = {"other digest": ("digest", "f"), "older schema": ("schema_version", "0")}[
            damage
        ]
        paths.metrics.write_text(json.dumps(json.loads(text) | {field: value}))
    assert not is_done(paths)
    assert run_task(paths.folder) == 0
    assert is_done(paths)
    assert paths.last_attempt() == 2


def test_a_second_worker_leaves_everything_alone(run, make_task, capsys):
    paths = run.task(make_task("a").id)
    with paths.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run_task(paths.folder) == 1
    assert "being run by another worker" in capsys.readouterr().err
    assert paths.last_attempt() == 0
    assert not paths.error.exists()


def test_an_older_failure_moves_to_its_attempt(run, make_task):
    paths = run.task(make_task("a", "fail").id)
    run_task(paths.folder)
    make_task("a", "ok")
    assert run_task(paths.folder) == 0
    assert not paths.error.exists()
    assert read_json(paths.attempt(1) / "error.json")["failure_class"] == "python_error"


def test_a_missing_task_is_the_users_error(run):
    with pytest.raises(UserError, match="does not exist"):
        run_task(run.task("nobody").folder)


def test_threads_follow_the_resources(run, make_task, monkeypatch):
    monkeypatch.setenv("MKL_NUM_THREADS", "64")
    paths = run.task(make_task("a", resources=Resources(cpus_per_task=3)).id)
    run_task(paths.folder)
    assert read_lines(paths.progress)[0]["threads"] == "3"
    assert os.environ["MKL_NUM_THREADS"] == "3"
    assert read_record(paths).provenance["threads"] == 3


def test_other_ranks_write_nothing(run, make_task, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    paths = run.task(make_task("a", resources=Resources(tasks_per_node=2)).id)
    assert run_task(paths.folder) == 0
    assert not paths.metrics.exists()
    assert paths.last_attempt() == 0


def test_worker_stops_on_a_signal_and_goes_on_later(run, make_task, worker_command, wait_until):
    paths = run.task(make_task("a", "wait").id)
    worker = subprocess.Popen([*worker_command, str(paths.folder)])
    wait_until((paths.folder / "waiting").exists)
    worker.send_signal(signal.SIGUSR2)
    assert worker.wait(20) == 85
    assert (paths.folder / "saved").read_text() == str(int(signal.SIGUSR2))
    assert read_json(paths.attempt(1) / "slurm.json")["exit_code"] == 85
    assert not paths.error.exists()
    assert subprocess.run([*worker_command, str(paths.folder)], check=False).returncode == 0
    assert is_done(paths)


def test_a_killed_worker_frees_its_lock(run, make_task, worker_command, wait_until):
    paths = run.task(make_task("a", "wait").id)
    worker = subprocess.Popen([*worker_command, str(paths.folder)])
    wait_until((paths.folder / "waiting").exists)
    worker.kill()
    worker.wait()
    assert read_json(paths.attempt(1) / "slurm.json")["ended"] is None
    assert run_task(paths.folder) == 0
    assert paths.last_attempt() == 2


def test_worker_refuses_a_folder_without_a_task(tmp_path, worker_command):
    done = subprocess.run(
        [*worker_command, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "task.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_worker_help_imports_nothing_heavy(worker_command):
    program = (
        "import sys, runpy; sys.argv = ['worker', '--help']\n"
        "try: runpy.run_module('mo_hpc.worker', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'mace', 'ase', 'pandas', 'numpy', 'matplotlib', 'submitit'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([worker_command[0], "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_known_notes_of_libraries_are_left_out_and_others_are_not(recwarn, capsys):
    with without_known_notes():
        print("cuequivariance or cuequivariance_torch is not available. It will be disabled.")
        print("something else")
        warnings.warn(
            "Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD detected", stacklevel=1
        )
        warnings.warn("something new", stacklevel=1)
    assert capsys.readouterr().out == "something else\n"
    assert [str(each.message) for each in recwarn] == ["something new"]


def test_a_task_whose_model_was_removed_runs_again_and_serves_its_dependants(
    run, make_task, monkeypatch
):
    maker = replace(registry.TASK_KINDS["fake"], runner="fake_kind:run_maker")
    monkeypatch.setitem(registry.TASK_KINDS, "maker", maker)
    maker = run.task(make_task("maker", kind="maker").id)
    user = run.task(make_task("user", needs=["maker"]).id)
    assert run_task(maker.folder) == 0
    maker.model.unlink()
    assert run_task(user.folder) == 1
    assert run_task(maker.folder) == 0
    assert maker.model.is_file()
    assert run_task(user.folder) == 0

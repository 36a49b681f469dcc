"""Labellings that are asked to stop, or killed, and end with the frames of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from mo_hpc import launch
from mo_hpc.core.errors import EXIT_DONE, EXIT_REQUEUE, run_command
from mo_hpc.core.files import read_json, read_lines
from mo_hpc.core.labelling import frames_file
from mo_hpc.core.paths import RunPaths, TaskPaths
from mo_hpc.core.record import read_record
from mo_hpc.executors.completion import is_done
from mo_hpc.executors.slurm.ledger import Ledger
from mo_hpc.plan.manifest import run_folder, write_run
from mo_hpc.plan.planner import make_plan

ONE_TASK = "label.structures_per_task=6"
SLOWLY = "calculator.kwargs={seconds: 0.05}"


def frames_of(run: RunPaths) -> dict[str, bytes]:
    """The frames of each structure, but what computed them."""
    return {
        structure.structure_id: frames_file(task, structure.structure_id).read_bytes()
        for task in run.task_folders()
        for structure in read_record(task).structures
    }


def wait_for(condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def is_in_the_middle(task: TaskPaths) -> bool:
    """Whether a structure is done and another one has two frames."""
    growing = list(task.relaxations.glob("*.part.xyz"))
    done = [path for path in task.relaxations.glob("*.xyz") if path not in growing]
    return bool(done) and any(path.read_text().count("REF_energy=") > 1 for path in growing)


@pytest.fixture
def expected(label, own_module) -> dict[str, bytes]:
    """The frames of a run that nothing has stopped."""
    words = (f"calculator.factory={own_module}:slow", "calculator.name=slow", ONE_TASK)
    code, run = label(*words)
    assert code == EXIT_DONE
    return frames_of(run)


def test_a_signal_stops_a_labelling_which_goes_on_from_its_last_frame(
    expected, label, own_module, tmp_path
):
    words = [f"calculator.factory={own_module}:slow", "calculator.name=slow", SLOWLY, ONE_TASK]
    document, explicit = launch.compose(
        [
            *("grid=label_mo420", "label.design=small", "label.dopants=[Ta]"),
            *(f"cache_root={tmp_path / 'cache'}", f"runs_root={tmp_path / 'stopped'}", *words),
        ]
    )
    config = launch.validated(launch.RunConfig, document, where="test")
    plan = make_plan(config, explicit)
    run = run_folder(config.runs_root, plan)
    write_run(run, plan, config, "")
    (task,) = run.task_folders()
    command = [sys.executable, "-m", "mo_hpc.worker", str(task.folder)]
    worker = subprocess.Popen(command)
    try:
        wait_for(lambda: is_in_the_middle(task))
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=60) == EXIT_REQUEUE
    finally:
        worker.kill()
    assert not is_done(task)
    kept = {path: path.stat().st_mtime_ns for path in task.relaxations.glob("*.xyz")}
    assert subprocess.run(command, check=False).returncode == EXIT_DONE
    done = {path: stamp for path, stamp in kept.items() if ".part" not in path.name}
    assert done
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in done.items())
    assert frames_of(run) == expected
    noted = [line["structure_id"] for line in read_lines(task.progress)]
    assert noted == list(expected)


@pytest.mark.slurm
@pytest.mark.usefixtures("slurm")
def test_an_array_of_labellings_on_slurm_is_killed_and_resumed(
    expected, small_design, own_module, tmp_path
):
    words = [
        *("grid=label_mo420", "label.design=small", "label.dopants=[Ta]", SLOWLY),
        *(f"calculator.factory={own_module}:slow", "calculator.name=slow"),
        *("executor=slurm", "executor.follow=false", "executor.collect=false"),
        *("label.structures_per_task=3", "resources.memory_gb=0.5", "resources.time_min=5"),
        *(f"cache_root={tmp_path / 'cache'}", f"runs_root={tmp_path / 'slurm'}"),
    ]
    assert run_command(launch.main, words) == EXIT_DONE
    (folder,) = (tmp_path / "slurm" / "label_mo420").iterdir()
    run = RunPaths(folder)
    try:
        first, second = run.task_folders()
        wait_for(lambda: is_in_the_middle(first), 240)
        os.kill(read_json(first.attempt(1) / "slurm.json")["pid"], signal.SIGKILL)
        wait_for(lambda: is_done(second), 240)
        wait_for(lambda: _left_the_queue(run), 240)
        assert not is_done(first)
        recorded = sorted(path.name for path in first.relaxations.glob("*.part.xyz"))
        assert len(recorded) == 1
        assert run_command(launch.main, [*words, "retry=failed"]) == EXIT_DONE
        wait_for(lambda: is_done(first), 240)
    finally:
        if jobs := [each.job_id for each in Ledger(run).submissions() if each.job_id]:
            subprocess.run(["scancel", *jobs], check=False)
    assert first.attempt_numbers() == [1, 2]
    assert second.attempt_numbers() == [1]
    assert frames_of(run) == expected


def _left_the_queue(run: RunPaths) -> bool:
    jobs = ",".join(each.job_id for each in Ledger(run).submissions() if each.job_id)
    listed = subprocess.run(
        ["squeue", "-h", "-j", jobs], capture_output=True, text=True, check=False
    )
    return not listed.stdout.strip()

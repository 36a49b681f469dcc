"""Packed array elements: real child processes under one that a scheduler signals."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import Resources
from mo_hpc.core.files import read_json, read_lines
from mo_hpc.executors.completion import is_done
from mo_hpc.executors.processes.machine import Machine
from mo_hpc.executors.processes.pack import run_pack

ELEMENT = textwrap.dedent("""
    import json, pathlib, sys
    from mo_hpc.core.paths import RunPaths
    from mo_hpc.core.record import read_task
    from mo_hpc.executors.processes.pack import run_pack

    if __name__ == "__main__":
        folder, options, *ids = sys.argv[1:]
        run = RunPaths(pathlib.Path(folder))
        tasks = [read_task(run.task(i)) for i in ids]
        sys.exit(run_pack(run, tasks, **json.loads(options)))
""")
OPTIONS = '{"at_once": %d, "share_gpus": false, "ends_at": null, "warning_s": 1, "max_requeues": 1}'


@pytest.fixture
def pack(run):
    def pack(tasks, *, at_once=1, ends_at=None, warning_s=1, max_requeues=1, share_gpus=False):
        return run_pack(
            run,
            tasks,
            at_once=at_once,
            share_gpus=share_gpus,
            ends_at=ends_at,
            warning_s=warning_s,
            max_requeues=max_requeues,
        )

    return pack


@pytest.fixture
def element(run, tmp_path):
    """Starts an element as the leader of a process group, as a scheduler does."""
    script = tmp_path / "element.py"
    script.write_text(ELEMENT)
    started = []

    def start(*ids, at_once=2):
        command = [sys.executable, str(script), str(run.folder), OPTIONS % at_once, *ids]
        process = subprocess.Popen(
            command, start_new_session=True, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def account(run, name, attempt=1):
    return read_json(run.task(name).attempt(attempt) / "slurm.json")


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_tasks_run_in_turn_and_a_done_one_is_left_alone(run, make_task, pack):
    tasks = [make_task("a", "sleep", seconds=0.3), make_task("b", needs=["a"])]
    assert pack(tasks) == 0
    starts = [read_lines(run.task(name).progress)[0]["time"] for name in "ab"]
    assert starts[1] - starts[0] > 0.3
    assert (run.task("b").attempt(1) / "stdout").read_text() == "out of b, start 0\n"
    assert pack([*tasks, make_task("c")]) == 0
    assert [run.task(name).last_attempt() for name in "abc"] == [1, 1, 1]


def test_each_task_knows_its_job_and_works_alone(run, make_task, element, monkeypatch):
    job = {"SLURM_JOB_ID": "77", "SLURM_ARRAY_JOB_ID": "70", "SLURM_ARRAY_TASK_ID": "7"}
    place = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "PMI_RANK": "1", "PMI_SIZE": "2"}
    for name, value in (job | place).items():
        monkeypatch.setenv(name, value)
    make_task("a")
    assert element("a").wait(timeout=30) == 0
    ids = {"job_id": "77", "array_job_id": "70", "array_task_id": "7"}
    assert account(run, "a")["slurm"] == ids


def test_as_many_at_once_as_it_says(run, make_task, pack):
    tasks = [make_task(f"t{i}", "sleep", seconds=0.6) for i in range(4)]
    assert pack(tasks, at_once=4) == 0
    starts = [read_lines(run.task(task.id).progress)[0]["time"] for task in tasks]
    assert max(starts) - min(starts) < 0.6


def test_a_failure_ends_with_1_and_takes_no_other_with_it(run, make_task, pack):
    tasks = [
        make_task("bad", "fail"),
        make_task("gone", "kill"),
        make_task("blocked", needs=["bad"]),
        make_task("good"),
    ]
    assert pack(tasks) == 1
    assert is_done(run.task("good"))
    assert run.task("bad").error.exists()
    assert account(run, "gone")["exit_code"] is None
    assert run.task("blocked").last_attempt() == 0
    # A second element with the same tasks tries only what may be tried: nothing is requeued.
    assert pack(tasks) == 1


def test_a_task_that_saved_itself_goes_on_in_here(run, make_task, pack):
    assert pack([make_task("a", "stop_once")]) == 0
    assert run.task("a").last_attempt() == 2


def test_one_that_never_gets_there_is_for_a_requeue(run, make_task, pack):
    assert pack([make_task("a", "stop_always"), make_task("b")]) == 85
    assert run.task("a").last_attempt() == 2
    assert is_done(run.task("b"))


def test_at_the_deadline_tasks_save_and_the_rest_waits(run, make_task, pack):
    tasks = [make_task("a", "wait"), make_task("b")]
    begun = time.time()
    assert pack(tasks, ends_at=begun + 12, warning_s=10) == 85
    assert time.time() - begun < 9
    assert (run.task("a").folder / "saved").read_text() == str(int(signal.SIGTERM))
    assert run.task("b").last_attempt() == 0
    assert pack(tasks) == 0
    assert [run.task(name).last_attempt() for name in "ab"] == [2, 1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_burst_of_signals_to_the_group_is_one_request(
    run, make_task, element, wait_until, number
):
    for name in ("a", "b", "c"):
        make_task(name, "wait", slow_rank=0)
    process = element("a", "b", "c")
    wait_until(lambda: all((run.task(n).folder / "waiting").exists() for n in ("a", "b")))
    to_all = number != signal.SIGUSR1
    for _ in range(3):
        # The time limit and preemption signal every process of the job, the fork server too.
        (os.killpg if to_all else os.kill)(process.pid, number)
        time.sleep(0.2)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 85, errors
    assert [account(run, name)["exit_code"] for name in ("a", "b")] == [85, 85]
    assert run.task("c").last_attempt() == 0


def test_a_killed_fork_server_takes_no_task_with_it(run, make_task, element, wait_until):
    make_task("a", "sleep", seconds=2)
    make_task("b", "sleep", seconds=0.1)
    process = element("a", "b", at_once=1)
    wait_until(run.task("a").progress.exists)
    os.kill(parent_of(account(run, "a")["pid"]), signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert [run.task(name).last_attempt() for name in "ab"] == [1, 1]


def test_a_killed_element_lets_its_tasks_save(run, make_task, element, wait_until):
    make_task("a", "wait")
    process = element("a")
    wait_until((run.task("a").folder / "waiting").exists)
    process.kill()
    wait_until(lambda: account(run, "a")["exit_code"] == 85)
    assert element("a").wait(timeout=30) == 0


def test_shared_gpus_are_taken_by_the_least_used(monkeypatch):
    machine = Machine(4, by_slot=True, gpus=["0", "1"], share_gpus=True)
    task = Resources(gpus_per_node=1)
    assert [machine.take(task) for _ in range(5)] == [["0"], ["1"], ["0"], ["1"], None]
    machine.give_back(task, ["1"])
    assert machine.take(task) == ["1"]


def test_one_shared_gpu_is_seen_by_all(run, make_task, pack, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    tasks = [make_task(n, "sleep", seconds=0.5, resources=Resources()) for n in "ab"]
    assert pack(tasks, at_once=2, share_gpus=True) == 0
    lines = [read_lines(run.task(n).progress)[0] for n in "ab"]
    assert [line["gpus"] for line in lines] == ["3", "3"]
    assert abs(lines[0]["time"] - lines[1]["time"]) < 0.5


def test_more_gpus_than_the_element_has_is_the_users_error(make_task, pack, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(UserError, match="asks for 4 GPUs"):
        pack([make_task("a", resources=Resources(gpus_per_node=4))])

"""Processes of this machine: slots, output, ranks, signals and orphans."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import Resources
from mo_hpc.core.files import read_json, read_lines
from mo_hpc.executors.completion import is_done
from mo_hpc.executors.local import LocalExecutor
from mo_hpc.executors.processes import machine as machine_module
from mo_hpc.executors.processes.machine import Machine

# A launcher of its own, because signals and kills must not hit the tests.
LAUNCHER = textwrap.dedent("""
    import json, pathlib, sys
    from mo_hpc.core.paths import RunPaths
    from mo_hpc.core.record import read_task
    from mo_hpc.core.schema import RunConfig
    from mo_hpc.executors.local import LocalExecutor

    if __name__ == "__main__":
        folder, *ids = sys.argv[1:]
        run = RunPaths(pathlib.Path(folder))
        config = RunConfig.model_validate_json(run.config.read_text())
        LocalExecutor(run, config).submit([read_task(run.task(i)) for i in ids])
""")


@pytest.fixture
def launcher(run, make_config, tmp_path):
    script = tmp_path / "launcher.py"
    script.write_text(LAUNCHER)

    def start(*ids):
        run.config.write_text(make_config("local", slots=2).model_dump_json())
        return subprocess.Popen(
            [sys.executable, str(script), str(run.folder), *ids],
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_output_goes_to_the_attempt(run, make_task, make_config):
    LocalExecutor(run, make_config("local")).submit([make_task("a")])
    folder = run.task("a").attempt(1)
    assert (folder / "stdout").read_text() == "out of a, start 0\n"
    assert (folder / "stderr").read_text() == "err of a, start 0\n"


def test_no_more_tasks_at_once_than_slots(run, make_task, make_config):
    tasks = [make_task(f"t{i}", "sleep", seconds=0.4) for i in range(5)]
    LocalExecutor(run, make_config("local", slots=2)).submit(tasks)
    starts = sorted(read_lines(run.task(task.id).progress)[0]["time"] for task in tasks)
    at_once = max(sum(1 for s in starts if start - 0.4 < s <= start) for start in starts)
    assert at_once == 2


def test_a_task_that_saved_itself_is_started_again(run, make_task, make_config):
    LocalExecutor(run, make_config("local")).submit([make_task("a", "stop_once")])
    paths = run.task("a")
    assert is_done(paths)
    codes = [read_json(paths.attempt(number) / "slurm.json")["exit_code"] for number in (1, 2)]
    assert codes == [85, 0]


def test_restarts_are_bounded(run, make_task, make_config):
    config = make_config("local", site={"max_requeues": 0})
    LocalExecutor(run, config).submit([make_task("a", "stop_once")])
    assert not is_done(run.task("a"))
    assert run.task("a").last_attempt() == 1


def test_ranks_of_one_task_run_together(run, make_task, make_config):
    task = make_task("a", resources=Resources(tasks_per_node=2, cpus_per_task=1))
    LocalExecutor(run, make_config("local")).submit([task])
    assert is_done(run.task("a"))
    assert {line["rank"] for line in read_lines(run.task("a").progress)} == {0, 1}
    assert run.task("a").last_attempt() == 1
    assert (run.scheduler_logs / "a_rank1" / "stdout").read_text().startswith("out of a")


def test_a_stop_signal_lets_tasks_save(run, make_task, launcher, wait_until):
    for name in ("a", "b", "c"):
        make_task(name, "wait")
    process = launcher("a", "b", "c")
    wait_until(lambda: all((run.task(n).folder / "waiting").exists() for n in ("a", "b")))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors
    assert all((run.task(name).folder / "saved").exists() for name in ("a", "b"))
    assert run.task("c").last_attempt() == 0


def test_tasks_do_not_outlive_their_launcher(run, make_task, launcher, wait_until):
    make_task("a", "wait")
    process = launcher("a")
    wait_until((run.task("a").folder / "waiting").exists)
    pid = read_json(run.task("a").attempt(1) / "slurm.json")["pid"]
    process.kill()
    process.wait()
    wait_until(lambda: not is_alive(pid), timeout_s=10)
    assert (run.task("a").folder / "saved").exists()


def test_a_killed_worker_is_seen_and_the_others_go_on(run, make_task, launcher, wait_until):
    for name in ("a", "b"):
        make_task(name, "wait" if name == "a" else "sleep", seconds=1)
    process = launcher("a", "b")
    wait_until((run.task("a").folder / "waiting").exists)
    os.kill(read_json(run.task("a").attempt(1) / "slurm.json")["pid"], signal.SIGKILL)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "killed by signal 9" in errors
    assert is_done(run.task("b"))


def test_each_task_gets_its_own_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    machine = Machine.of_this_host(slots=8)
    taken = [machine.take(Resources()) for _ in range(3)]
    assert taken == [["4"], ["6"], None]
    machine.give_back(Resources(), ["4"])
    assert machine.take(Resources()) == ["4"]
    assert machine.take(Resources(device="cpu")) == []


def test_tasks_share_the_cores_by_what_each_asks_for(monkeypatch):
    monkeypatch.setattr(machine_module, "n_cores", lambda: 4)
    machine = Machine.of_this_host(slots=None)
    two, one = Resources(cpus_per_task=2), Resources(cpus_per_task=1)
    assert [machine.take(each) for each in (two, one, one, one)] == [[], [], [], None]
    machine.give_back(two, [])
    assert machine.take(one) == []
    assert machine.take(two) is None


def test_a_task_wider_than_the_machine_runs_alone(monkeypatch):
    monkeypatch.setattr(machine_module, "n_cores", lambda: 2)
    machine = Machine.of_this_host(slots=None)
    assert machine.take(Resources(cpus_per_task=8)) == []
    assert machine.take(Resources(cpus_per_task=1)) is None


def test_a_plan_for_gpus_can_be_shown_without_any(run, make_task, make_config, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    task = make_task("a", resources=Resources(gpus_per_node=4))
    assert "0 GPUs" in LocalExecutor(run, make_config("local")).preview([task])


def test_more_gpus_than_there_are_is_the_users_error(run, make_task, make_config, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    task = make_task("a", resources=Resources(gpus_per_node=4))
    with pytest.raises(UserError, match="asks for 4 GPUs and this machine offers 1") as caught:
        LocalExecutor(run, make_config("local")).submit([task])
    assert "resources.gpus_per_node=0" in str(caught.value)


def test_torch_is_imported_once_and_computes_in_every_worker(run, make_task, launcher):
    """A fork of a process with a live thread pool would hang here."""
    for name in ("a", "b"):
        make_task(name, kind="fake_torch", resources=Resources(cpus_per_task=2, memory_gb=1))
    process = launcher("a", "b")
    _, errors = process.communicate(timeout=60)
    assert is_done(run.task("a"))
    assert is_done(run.task("b"))
    assert "an import that talks" not in errors
    assert (run.scheduler_logs / "workers.log").read_text() == "an import that talks\n"


def test_the_preview_tells_what_a_task_too_big_for_the_machine_gets(run, make_task, make_config):
    small, big = make_task("a"), make_task("b", resources=Resources(cpus_per_task=9999))
    executor = LocalExecutor(run, make_config("local"))
    assert "runs alone" not in executor.preview([small])
    assert "runs alone, with the cores there are" in executor.preview([small, big])
    assert "runs alone" not in LocalExecutor(run, make_config("local", slots=2)).preview([big])

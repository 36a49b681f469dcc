"""The grid inside one MPI job, with a real MPI: crashes, kills, signals and two launches."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import Resources
from mo_hpc.core.files import read_json, read_lines
from mo_hpc.executors import mpi
from mo_hpc.executors.completion import is_done
from mo_hpc.executors.locking import is_held
from mo_hpc.executors.mpi import MpiExecutor
from mo_hpc.executors.processes.mpi_worker import own_gpus


def account(run, name, attempt=1):
    return read_json(run.task(name).attempt(attempt) / "slurm.json")


@pytest.fixture
def tasks(make_task):
    """A small grid with needs."""
    return [
        make_task("first", "sleep", seconds=0.3),
        make_task("saves-itself", "stop_once"),
        make_task("bad", "fail"),
        make_task("gone", "kill"),
        make_task("second", needs=["first", "saves-itself"]),
        make_task("blocked", needs=["gone"]),
        *(make_task(f"t{i}", "sleep", seconds=0.1) for i in range(6)),
    ]


def test_a_grid_with_a_killed_child_goes_to_its_end(run, tasks, mpi_launch):
    launch = mpi_launch([task.id for task in tasks], ranks=4)
    out, errors = launch.communicate(timeout=300)
    assert launch.returncode == 0, errors
    assert json.loads(out) == [task.id for task in tasks]
    not_done = {task.id for task in tasks if not is_done(run.task(task.id))}
    assert not_done == {"bad", "gone", "blocked"}
    assert run.task("saves-itself").last_attempt() == 2
    assert run.task("blocked").last_attempt() == 0
    assert "killed by signal 9  gone" in errors
    starts = [read_lines(run.task(name).progress)[0]["time"] for name in ("first", "second")]
    assert starts[1] - starts[0] > 0.3
    assert {read_lines(run.task(f"t{i}").progress)[0]["rank"] for i in range(6)} == {0}


def waiting(run, *names):
    return all((run.task(name).folder / "waiting").exists() for name in names)


def ranks_of(run):
    """Rank → process id."""
    found = subprocess.run(
        ["pgrep", "-f", f"mpi4py.futures .*{run.folder}"],
        capture_output=True,
        text=True,
        check=True,
    )
    ranks = {}
    for pid in found.stdout.split():
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        for word in words:
            name, _, value = word.decode(errors="replace").partition("=")
            if name in ("PMI_RANK", "OMPI_COMM_WORLD_RANK"):
                ranks[int(value)] = int(pid)
    return ranks


@pytest.mark.parametrize("receiver", ["launcher", "rank 0", "rank 2"])
def test_a_signal_to_anyone_lets_all_save(run, make_task, mpi_launch, wait_until, receiver):
    names = ["a", "b", "c"]
    for name in names:
        make_task(name, "wait")
    launch = mpi_launch(names)
    wait_until(lambda: waiting(run, "a", "b"))
    if receiver == "launcher":
        launch.send_signal(signal.SIGUSR1)
    else:
        pid = ranks_of(run)[int(receiver[-1])]
        for _ in range(3):
            os.kill(pid, signal.SIGTERM)
            time.sleep(0.1)
    out, errors = launch.communicate(timeout=120)
    assert launch.returncode == 130, errors
    assert not out
    assert "Interrupted; what was finished is kept." in errors
    assert [account(run, name)["exit_code"] for name in ("a", "b")] == [85, 85]
    assert run.task("c").last_attempt() == 0


def test_before_the_jobs_time_is_up_all_save(
    run, make_task, make_config, mpi_launch, wait_until, monkeypatch
):
    make_task("a", "wait")
    make_task("b")
    warning_s = make_config().site.signal_before_end_s
    monkeypatch.setenv("MO_HPC_JOB_ENDS", str(time.time() + warning_s + 4))
    launch = mpi_launch(["a", "b"], ranks=2)
    _, errors = launch.communicate(timeout=120)
    assert launch.returncode == 130, errors
    assert account(run, "a")["exit_code"] == 85
    monkeypatch.delenv("MO_HPC_JOB_ENDS")
    launch = mpi_launch(["a", "b"], ranks=2)
    launch.communicate(timeout=120)
    assert [run.task(name).last_attempt() for name in ("a", "b")] == [2, 1]


def test_a_killed_rank_ends_the_job_and_the_next_one_goes_on(
    run, make_task, mpi_launch, wait_until
):
    make_task("done")
    make_task("a", "wait")
    make_task("b", "wait")
    launch = mpi_launch(["done", "a", "b"])
    wait_until(lambda: waiting(run, "a", "b"))
    os.kill(ranks_of(run)[1], signal.SIGKILL)
    launch.communicate(timeout=120)
    assert launch.returncode != 0
    # Some launchers kill the tasks as well, others leave them the time to save.
    wait_until(lambda: not any(is_held(run.task(name).lock) for name in ("a", "b")))
    launch = mpi_launch(["done", "a", "b"])
    out, errors = launch.communicate(timeout=120)
    assert launch.returncode == 0, errors
    assert json.loads(out) == ["a", "b"]
    assert [run.task(name).last_attempt() for name in ("done", "a", "b")] == [1, 2, 2]


def test_each_rank_takes_its_gpus(monkeypatch):
    four = ["0", "1", "2", "3"]
    assert [own_gpus(four, rank, 2) for rank in range(2)] == [["0", "2"], ["1", "3"]]
    assert [own_gpus(["0", "1"], rank, 3) for rank in range(3)] == [["0"], ["1"], ["0"]]
    assert own_gpus([], 1, 2) == []
    monkeypatch.setenv("SLURM_GPUS_PER_TASK", "2")
    assert own_gpus(["0", "1"], 1, 2) == ["0", "1"]


def test_a_task_sees_the_gpu_of_its_rank(run, make_task, mpi_launch, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6,7")
    for name in ("a", "b"):
        make_task(name, "sleep", seconds=1, resources=Resources(gpus_per_node=1))
    _, errors = mpi_launch(["a", "b"]).communicate(timeout=120)
    assert {read_lines(run.task(n).progress)[0]["gpus"] for n in ("a", "b")} == {"6", "7"}, errors


def test_more_gpus_than_a_rank_has_is_the_users_error(run, make_task, mpi_launch, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6,7")
    make_task("a", resources=Resources(gpus_per_node=2))
    launch = mpi_launch(["a"], ranks=3)
    _, errors = launch.communicate(timeout=120)
    assert launch.returncode == 2
    assert "asks for 2 GPUs and a rank of this MPI job has 1" in errors


def test_one_rank_alone_is_told_how_to_start(make_task, mpi_launch):
    make_task("a")
    launch = mpi_launch(["a"], ranks=1)
    _, errors = launch.communicate(timeout=120)
    assert launch.returncode == 2
    assert "The MPI job has one rank; none is left to work." in errors
    assert "mpiexec -n 5 python -m mpi4py.futures -m mo_hpc.launch grid=fakes" in errors


def test_without_mpi_the_message_says_what_to_do(run, make_task, make_config, monkeypatch):
    executor = MpiExecutor(run, make_config("mpi"))
    monkeypatch.delitem(sys.modules, "mpi4py.futures", raising=False)
    with pytest.raises(UserError, match="The launch does not run in") as caught:
        executor.require([make_task("a")])
    assert "srun --mpi=pmi2" in str(caught.value)
    monkeypatch.setattr(mpi.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match="mpi4py is not installed"):
        executor.require([make_task("a")])


@pytest.mark.slurm_slow
def test_the_whole_command_twice_at_the_same_time(mpiexec, tmp_path, cache_root, wait_until):
    command = [
        *(*mpiexec, "-n", "2", sys.executable, "-m", "mpi4py.futures", "-m", "mo_hpc.launch"),
        *("grid=demo", "executor=mpi", "axes.protocol=[iid]", "axes.paradigm=[zero_shot]"),
        *("train.max_epochs=1", f"cache_root={cache_root}", "executor.collect=false", "--json"),
    ]
    options = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen(command, **options)
    locks = "runs/demo/*/tasks/*/running.lock"
    wait_until(lambda: list(tmp_path.glob(locks)), timeout_s=240)
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    out, errors = first.communicate(timeout=300)
    assert second.returncode == 1
    assert "Another launch of this run is at work" in second.stderr
    assert first.returncode == 0, errors
    document = json.loads(out)
    assert {task["state"] for task in document["tasks"]} == {"done"}
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(again.stdout)["submitted"] == []


@pytest.fixture
def srun(slurm):
    """Starts ranks on two Slurm nodes, as the job script does."""
    available = subprocess.run(["srun", "--mpi=list"], capture_output=True, text=True, check=True)
    if "pmi2" not in available.stdout + available.stderr:
        pytest.skip("this Slurm cannot start MPICH (srun --mpi=pmi2)")
    name = f"mpi-{uuid.uuid4().hex[:8]}"
    options = ["--nodes=2", "--ntasks=3", "--cpus-per-task=1", "--mem=512M", "--time=5"]
    yield ["srun", f"--job-name={name}", "--mpi=pmi2", *options]
    subprocess.run(["scancel", f"--name={name}"], check=False)


@pytest.mark.slurm_slow
def test_two_slurm_nodes_in_one_allocation(run, tasks, mpi_launch, srun):
    launch = mpi_launch([task.id for task in tasks], prefix=srun)
    out, errors = launch.communicate(timeout=300)
    assert launch.returncode == 0, errors
    assert json.loads(out) == [task.id for task in tasks]
    assert is_done(run.task("second"))
    assert account(run, "second")["slurm"]["job_id"]
    assert {read_lines(run.task(f"t{i}").progress)[0]["rank"] for i in range(6)} == {0}


@pytest.mark.slurm_slow
def test_slurms_warning_lets_all_save_and_the_status_says_so(
    run, make_task, mpi_launch, wait_until, srun
):
    for name in "abc":
        make_task(name, "wait")
    launch = mpi_launch("abc", prefix=srun)
    wait_until(lambda: waiting(run, "a", "b"), timeout_s=300)
    job_name = srun[1].removeprefix("--job-")
    subprocess.run(["scancel", "--signal=USR2", f"--{job_name}"], check=True)
    _, errors = launch.communicate(timeout=300)
    assert launch.returncode == 130, errors
    assert [account(run, name)["exit_code"] for name in "ab"] == [85, 85]
    assert run.task("c").last_attempt() == 0

"""A run directory with fake tasks, and the executors that are to run them."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mo_hpc.core import registry
from mo_hpc.core.paths import RunPaths

FAKES = Path(__file__).parent / "fakes"
REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(FAKES))

from runs import run_config, wait_for, write_task  # noqa: E402


def make_known(patch):
    """Makes the fake task kinds known here and in every process that is started."""
    for name, runner in (
        ("fake", "fake_kind:run_fake"),
        ("fake_torch", "fake_torch_kind:run_fake_torch"),
    ):
        kind = replace(registry.TASK_KINDS["train"], runner=runner)
        patch.setitem(registry.TASK_KINDS, name, kind)
    inherited = os.environ.get("PYTHONPATH")
    words = [str(FAKES), str(REPOSITORY), *([inherited] if inherited else [])]
    patch.setenv("PYTHONPATH", os.pathsep.join(words))
    # set_threads changes the environment of this process; put it back afterwards.
    patch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def fake_kind(monkeypatch):
    make_known(monkeypatch)


@pytest.fixture(scope="module")
def fake_kind_for_module():
    with pytest.MonkeyPatch.context() as patch:
        make_known(patch)
        yield


@pytest.fixture(autouse=True, scope="session")
def _own_fork_server():
    """Keeps a fork server of other tests, which does not know the fake kind, out of the way."""
    from multiprocessing import forkserver

    forkserver._forkserver._stop()
    yield
    forkserver._forkserver._stop()


@pytest.fixture
def run(tmp_path):
    return RunPaths(tmp_path / "run")


@pytest.fixture
def make_config():
    return run_config


@pytest.fixture
def make_task(run):
    """Writes the folder of a fake task and returns its specification."""
    return partial(write_task, run)


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Puts a command of its own ahead of the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(name, script):
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)

    return make


@pytest.fixture
def wait_until():
    return wait_for


@pytest.fixture(scope="session")
def slurm_here(slurm):
    """Skips where the nodes of the cluster are other machines, which a test cannot harm."""
    command = ["scontrol", "-o", "show", "node"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    hosts = set(re.findall(r"\bNodeHostName=(\S+)", shown))
    if hosts != {socket.gethostname().partition(".")[0]}:
        pytest.skip(f"the nodes of this Slurm are other machines: {', '.join(sorted(hosts))}")


@pytest.fixture
def worker_command():
    return [sys.executable, "-m", "mo_hpc.worker"]


MPI_LAUNCH = """
import json, pathlib, sys
from mo_hpc.core.errors import run_command
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.record import read_task
from mo_hpc.core.schema import RunConfig
from mo_hpc.executors.mpi import MpiExecutor

def main(words):
    folder, *ids = words
    run = RunPaths(pathlib.Path(folder))
    executor = MpiExecutor(run, RunConfig.model_validate_json(run.config.read_text()))
    tasks = [read_task(run.task(i)) for i in ids]
    executor.require(tasks)
    print(json.dumps(executor.submit(tasks)))
    return 0

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
"""


@pytest.fixture
def mpiexec():
    """The MPI that belongs to this Python, or the machine's; skips where there is none."""
    beside = Path(sys.executable).with_name("mpiexec")
    command = str(beside) if beside.exists() else shutil.which("mpiexec")
    if command is None or importlib.util.find_spec("mpi4py") is None:
        pytest.skip("no MPI here (pip install mpi4py mpich)")
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    open_mpi = "Open MPI" in version.stdout or "prterun" in version.stdout
    return [command, *(["--allow-run-as-root", "--oversubscribe"] if open_mpi else [])]


@pytest.fixture
def mpi_launch(run, make_config, mpiexec, tmp_path):
    """Starts an MPI job that runs tasks by their ids and prints what `submit` returned."""
    script = tmp_path / "mpi_launch.py"
    script.write_text(MPI_LAUNCH)
    started = []

    def launch(ids, *, ranks=3, prefix=None):
        run.config.parent.mkdir(parents=True, exist_ok=True)
        run.config.write_text(make_config("mpi").model_dump_json())
        words = [sys.executable, "-m", "mpi4py.futures", str(script), str(run.folder), *ids]
        process = subprocess.Popen(
            [*(prefix or [*mpiexec, "-n", str(ranks)]), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield launch
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()

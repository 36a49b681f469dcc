"""One task on several nodes and under every launcher, as one process computes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mo_hpc.core.files import read_lines
from mo_hpc.core.record import read_record, read_task, write_record
from mo_hpc.training.checkpoint import load_checkpoint
from mo_hpc.training.worker import run_training_task

pytestmark = pytest.mark.slow

COMPARED = ("train_loss", "valid_loss", "valid_energy_mae_mev_per_atom", "learning_rate")
STOPPED_AND_SAVED = 85
SETTINGS = {"batch_size": 5, "max_epochs": 2}


@pytest.fixture(scope="module")
def single(make_task_in, tmp_path_factory):
    """The same training by one process."""
    paths, task = make_task_in(tmp_path_factory.mktemp("single"))("single", **SETTINGS)
    write_record(paths, run_training_task(paths, task, provenance={}, show_progress=False))
    return paths


def _assert_same(paths, single, world_size):
    record, expected = read_record(paths), read_record(single)
    assert record.training.world_size == world_size
    for ours, theirs in zip(read_lines(paths.progress), read_lines(single.progress), strict=True):
        for key in COMPARED:
            assert ours[key] == pytest.approx(theirs[key], rel=1e-6), key
    for key in ("energy_mae_mev_per_atom", "force_mae_mev_per_ang_component"):
        assert record.metrics[key] == pytest.approx(expected.metrics[key], rel=1e-6)


def _worker(paths):
    return [sys.executable, "-W", "ignore", "-m", "mo_hpc.worker", str(paths.folder)]


def _run(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def _idle_nodes():
    """Names of the nodes on which a job would start at once."""
    try:
        shown = _run(["sinfo", "-h", "-N", "-t", "idle", "-o", "%N"])
    except FileNotFoundError:
        pytest.skip("Slurm is not installed: there is no sinfo on the PATH.")
    return sorted(set(shown.stdout.split()))


def _step(n_nodes, ranks_per_node, name):
    nodes = _idle_nodes()
    if len(nodes) < n_nodes:
        pytest.skip(f"Slurm has {len(nodes)} idle nodes; {n_nodes} are needed.")
    return [
        "srun",
        f"--job-name={name}",
        f"--nodes={n_nodes}",
        f"--ntasks-per-node={ranks_per_node}",
        f"--nodelist={','.join(nodes[:n_nodes])}",
        "--cpus-per-task=1",
        "--mem=2G",
        "--time=10",
        "--immediate=60",
        "--kill-on-bad-exit=1",
    ]


@pytest.mark.slurm
@pytest.mark.parametrize("ranks_per_node", [1, 2])
def test_two_nodes_train_as_one_process(make_task, single, ranks_per_node):
    n_ranks = 2 * ranks_per_node
    paths, _ = make_task("nodes", n_ranks=n_ranks, **SETTINGS)
    done = _run([*_step(2, ranks_per_node, "mo_hpc-test-nodes"), *_worker(paths)])
    assert done.returncode == 0, done.stderr
    _assert_same(paths, single, n_ranks)


@pytest.mark.slurm
def test_a_signal_makes_the_ranks_of_two_nodes_leave_together(make_task, single, tmp_path):
    name = f"mo_hpc-test-signal-{os.getpid()}"
    paths, _ = make_task("signal", n_ranks=2, **SETTINGS | {"max_epochs": 500})
    step = subprocess.Popen(
        [*_step(2, 1, name), *_worker(paths)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not paths.checkpoint_last.exists():
        assert time.monotonic() < deadline, step.communicate()
        assert step.poll() is None, step.communicate()
        time.sleep(0.2)
    job = _run(["squeue", "-h", f"--name={name}", "-o", "%i"]).stdout.strip()
    _run(["scancel", "--signal=USR2", job])
    _, errors = step.communicate(timeout=120)
    assert step.returncode == STOPPED_AND_SAVED, errors
    saved = load_checkpoint(paths.checkpoint_last)["counters"]
    assert saved["stopped_by"] is None
    assert saved["steps"] >= 2
    assert not paths.metrics.exists()
    assert not paths.rendezvous.exists()


def _mpiexec(flavour):
    """The launcher of one MPI, of those on the PATH, beside Python and in $MO_HPC_MPIEXEC."""
    candidates = [
        *os.environ.get("MO_HPC_MPIEXEC", "").split(os.pathsep),
        str(Path(sys.executable).with_name("mpiexec")),
        shutil.which("mpiexec") or "",
    ]
    for candidate in filter(os.path.isfile, candidates):
        if flavour in _run([candidate, "--version"]).stdout:
            return candidate
    pytest.skip(f"No mpiexec of {flavour} is on the PATH, beside Python or in $MO_HPC_MPIEXEC.")


@pytest.mark.parametrize("flavour", ["Open MPI", "HYDRA"])
def test_ranks_that_mpiexec_starts(make_task, single, flavour):
    command = [_mpiexec(flavour), "-n", "2"]
    if flavour == "Open MPI":
        command[1:1] = ["--oversubscribe", *(["--allow-run-as-root"] if os.getuid() == 0 else [])]
    paths, _ = make_task("mpi", n_ranks=2, **SETTINGS)
    done = _run([*command, *_worker(paths)])
    assert done.returncode == 0, done.stderr
    _assert_same(paths, single, 2)


def test_ranks_that_torchrun_starts(make_task, single):
    paths, task = make_task("torchrun", n_ranks=2, **SETTINGS)
    launcher = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
    done = _run([*launcher, "--nproc-per-node=2", "-m", "mo_hpc.worker", str(paths.folder)])
    assert done.returncode == 0, done.stderr
    assert read_task(paths) == task
    _assert_same(paths, single, 2)

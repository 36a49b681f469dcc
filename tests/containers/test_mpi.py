"""MPI and the image: ranks started inside, and from outside by the host's MPI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.image

PROGRAM = ("python", "-m", "mo_hpc.selfchecks.mpi_program")
# As docs/image.md explains them, for containers in user namespaces of their own.
APART = {"MPIR_CVAR_CH4_CMA_ENABLE": "0", "UCX_POSIX_USE_PROC_LINK": "n"}
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def run(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def documents(done: subprocess.CompletedProcess[str]) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def one_job_of(done: subprocess.CompletedProcess[str], n_ranks: int) -> dict:
    """What rank 0 printed, if the ranks were one job."""
    assert done.returncode == 0, done.stdout + done.stderr
    (document,) = documents(done)
    assert (document["size"], document["sum"]) == (n_ranks, n_ranks * (n_ranks + 1) // 2)
    return document


@pytest.fixture(scope="module")
def mpich():
    """The host's MPICH, which the image's MPICH can talk to."""
    command = Path(sys.executable).with_name("mpiexec")
    if not command.exists():
        pytest.skip("There is no mpiexec of MPICH beside this Python (pip install mpich).")
    return command


@pytest.fixture(scope="module")
def open_mpi():
    """A whole Open MPI of the host, as a folder."""
    named = os.environ.get("MO_HPC_MPIEXEC")
    if not named:
        pytest.skip("No second MPI: set MO_HPC_MPIEXEC to the mpiexec of an Open MPI.")
    folder = Path(named).parents[1]
    if not (folder / "lib" / "libmpi.so.40").exists():
        pytest.skip(f"{folder}/lib has no libmpi.so.40 of Open MPI.")
    return folder


@pytest.mark.parametrize("flags", [("--cleanenv",), ("--containall",)])
def test_inside(image, flags):
    done = run("apptainer", "-q", "exec", *flags, image, "mpiexec", "-n", "4", *PROGRAM)
    assert "MPICH" in one_job_of(done, 4)["library"]


def test_the_hosts_mpiexec_starts_containers(image, mpich):
    words = (mpich, "-n", "4", "apptainer", "-q", "exec", image, *PROGRAM)
    assert "MPICH" in one_job_of(run(*words, **APART), 4)["library"]


def test_ranks_in_one_namespace_need_no_settings(image, mpich):
    words = (mpich, "-n", "4", "apptainer", "-q", "exec", "--sharens", image, *PROGRAM)
    one_job_of(run(*words), 4)


def test_a_clean_environment_hides_the_job_from_its_ranks(image, mpich):
    words = (mpich, "-n", "2", "apptainer", "-q", "exec", "--cleanenv", image, *PROGRAM)
    assert [each["size"] for each in documents(run(*words))] == [1, 1]


def test_the_mpi_of_the_host_bound_into_the_image(image, open_mpi):
    done = run(
        *(open_mpi / "bin" / "mpiexec", "--oversubscribe", "-n", "4"),
        *("apptainer", "-q", "exec", "--bind", open_mpi, image, *PROGRAM),
        MPI4PY_LIBMPI=str(open_mpi / "lib" / "libmpi.so.40"),
        **AS_ROOT,
    )
    assert "Open MPI" in one_job_of(done, 4)["library"]


def test_a_launcher_of_another_mpi_is_no_job(image, open_mpi):
    done = run(
        *(open_mpi / "bin" / "mpiexec", "--oversubscribe", "-n", "2"),
        *("apptainer", "-q", "exec", image, *PROGRAM),
        **AS_ROOT,
    )
    assert done.returncode != 0
    assert "unsupported PMI version PMIx" in done.stdout + done.stderr


GRID = (
    *("-m", "mpi4py.futures", "-m", "mo_hpc.launch", "grid=demo", "executor=mpi"),
    *("axes.protocol=[iid]", "axes.paradigm=[zero_shot]", "train.max_epochs=1"),
    "executor.collect=false",
)


def entered(image: Path, tmp_path: Path, cache_root: Path) -> tuple[object, ...]:
    """A rank of a grid, in the image; every rank of the job may read all that it binds."""
    runs = tmp_path / "runs"
    runs.mkdir()
    roots = (f"runs_root={runs}", f"cache_root={cache_root}")
    enter = (sys.executable, "-m", "mo_hpc.enter", f"site.container={image}", *roots)
    return (*enter, "--", *GRID, *roots, "--json")


def all_done(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    tasks = json.loads(done.stdout)["tasks"]
    assert [task["state"] for task in tasks] == ["done", "done"]
    assert "UCX  ERROR" not in done.stdout + done.stderr


def test_a_grid_in_one_mpi_job_of_containers(image, mpich, tmp_path, cache_root):
    all_done(run(mpich, "-n", "3", *entered(image, tmp_path, cache_root)))


def test_a_grid_in_one_slurm_job_of_containers(image, tmp_path, cache_root):
    if shutil.which("srun") is None:
        pytest.skip("There is no srun here.")
    listed = run("srun", "--mpi=list")
    if "pmi2" not in listed.stdout + listed.stderr:
        pytest.skip("This Slurm cannot start MPICH (srun --mpi=pmi2).")
    options = ("--nodes=2", "--ntasks=4", "--cpus-per-task=1", "--mem=3G", "--time=5")
    all_done(run("srun", "--mpi=pmi2", *options, *entered(image, tmp_path, cache_root)))

from __future__ import annotations

import pytest

from mo_hpc.core.ranks import Ranks, launch_name, ranks_from_environment

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a"}
STEP = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "0"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}
MPICH = {"PMI_RANK": "5", "PMI_SIZE": "8", "MPI_LOCALRANKID": "2"}


@pytest.mark.parametrize(
    ("environment", "n_ranks", "expected"),
    [
        ({}, 2, Ranks()),
        (TORCHRUN, 4, Ranks(3, 4, 1)),
        (STEP, 2, Ranks(1, 2, 0)),
        # In the batch script itself three of the four tasks were never started.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, 4, Ranks()),
        (OPEN_MPI, 2, Ranks(1, 2, 1)),
        (MPICH, 8, Ranks(5, 8, 2)),
        # mpiexec starts one daemon per node by a step; the ranks inherit its variables.
        ({**MPICH, **STEP}, 8, Ranks(5, 8, 2)),
        # A step that an MPI program starts: the outer program's variables are inherited.
        ({**MPICH, **STEP}, 2, Ranks(1, 2, 0)),
        # A task of one rank in a pool of MPI workers works alone.
        ({**MPICH, **STEP}, 1, Ranks()),
        # Fewer or more processes than were asked for share the work all the same.
        (OPEN_MPI, 4, Ranks(1, 2, 1)),
    ],
)
def test_ranks_come_from_the_launcher_that_started_the_task(environment, n_ranks, expected):
    assert ranks_from_environment(environment, n_ranks) == expected


def test_a_requeued_job_is_another_launch():
    first = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}
    assert launch_name(first) != launch_name({**first, "SLURM_RESTART_COUNT": "1"})
    assert not launch_name({})

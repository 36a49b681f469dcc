"""Which of several cooperating processes this one is, by what its launcher put in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Rank, size and rank on the node as torchrun, Open MPI, MPICH and a Slurm step name them. Slurm
# comes last: inside an allocation the MPI launchers start their daemons as a step, so that its
# variables count daemons. They are still those of the step: the job's (SLURM_NTASKS) are also
# set in a batch script, whose tasks were never started.
_LAUNCHERS = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
)
_LAUNCH = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT", "PMIX_NAMESPACE")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of its task.

    Attributes:
        rank: Number of this process.
        world_size: Number of processes.
        local_rank: Number of this process on its node.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0


def ranks_from_environment(environment: Mapping[str, str], n_ranks: int) -> Ranks:
    """Reads the launcher's account of this process.

    Launchers nest (a Slurm step in which ``mpiexec`` runs in which tasks run), and each leaves
    its variables behind. The task's own is the one that started as many processes as the task
    asks for; where none did, the first that started several.

    Args:
        environment: The environment variables.
        n_ranks: Ranks that the task's resources ask for. A task of one rank works alone in
            whatever it was started.
    """
    if n_ranks == 1:
        return Ranks()
    found = [
        Ranks(int(environment[rank]), int(environment[size]), int(environment.get(local, 0)))
        for rank, size, local in _LAUNCHERS
        if rank in environment and size in environment
    ]
    several = [each for each in found if each.world_size > 1]
    as_asked = [each for each in several if each.world_size == n_ranks]
    return next(iter([*as_asked, *several]), Ranks())


def launch_name(environment: Mapping[str, str]) -> str:
    """What tells this launch of a task from an earlier one or another; empty where nothing does."""
    return "/".join(environment.get(name, "") for name in _LAUNCH).strip("/")

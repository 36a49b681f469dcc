"""Keeping the place of a process among others from the processes that it starts."""

from __future__ import annotations

from collections.abc import Mapping

# Variables by which a launcher of parallel processes tells each its place among them.
_OF_MPI = ("PMI_", "PMIX_", "OMPI_", "PRTE_", "HYDI_", "HYDRA_", "MPI_LOCAL")
_OF_SLURM_STEP = (
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_NODEID",
    "SLURM_GTIDS",
    "SLURM_NTASKS",
    "SLURM_NPROCS",
    "SLURM_TASKS_PER_NODE",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_STEP_TASKS_PER_NODE",
)


def without_ranks(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that works alone, though a rank of others started it."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_OF_MPI) and name not in _OF_SLURM_STEP
    }

"""What the ranks of an MPI job do for rank 0: each runs one task after another.

A task runs in a child process that knows nothing of MPI: a rank that crashes would take the
whole job with it.
"""

from __future__ import annotations

import functools
import os
import signal

from mo_hpc.core.errors import EXIT_REQUEUE
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.task import TaskSpec
from mo_hpc.executors.processes.machine import Machine, visible_gpus
from mo_hpc.executors.processes.stop_requests import StopRequests, install
from mo_hpc.executors.processes.workplace import Processes

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
BURST_S = 5.0
_STOP_TAG = 1
_POLL_S = 0.5
_PATIENCE_S = 60.0


class _Worker:
    """This rank: what it may use, and whether it was asked to stop."""

    def __init__(self) -> None:
        from mpi4py import MPI
        from mpi4py.futures import get_comm_workers

        self.ranks = get_comm_workers()
        on_this_node = self.ranks.Split_type(MPI.COMM_TYPE_SHARED)
        gpus = own_gpus(visible_gpus(), on_this_node.rank, on_this_node.size)
        on_this_node.Free()
        self._world = MPI.COMM_WORLD
        self.machine = Machine(1, by_slot=True, gpus=gpus)
        self.n_words = 0
        self._requests = StopRequests(BURST_S)
        self._processes: Processes | None = None
        install(self._requests, STOP_SIGNALS)

    def is_asked_to_stop(self) -> bool:
        """True once a signal came here or a word from rank 0, to which it may have come."""
        while self._world.iprobe(source=0, tag=_STOP_TAG):
            self.hear()
        return self.n_words > 0 or self._requests.count > 0

    def hear(self) -> None:
        """Takes a word from rank 0, waiting for it."""
        self._world.recv(source=0, tag=_STOP_TAG)
        self.n_words += 1

    def processes(self, run: RunPaths, task: TaskSpec) -> Processes:
        """Where this rank's tasks run; the first one brings what is imported once."""
        if self._processes is None:
            self._processes = Processes(run, self.machine, [task], _PATIENCE_S)
        return self._processes


@functools.cache
def _this_worker() -> _Worker:
    return _Worker()


def begin() -> int:
    """Makes this rank ready; ends when all ranks that work have called it.

    Returns:
        The number of GPUs a task has here.
    """
    return _this_worker().machine.n_gpus


def run_here(run: RunPaths, task: TaskSpec) -> tuple[int, bool]:
    """Runs a task in processes of its own.

    Returns:
        Its exit status, and whether this rank was asked to stop.
    """
    worker = _this_worker()
    if worker.is_asked_to_stop():
        return EXIT_REQUEUE, True
    processes = worker.processes(run, task)
    processes.start(task)
    told = False
    while True:
        for _, code in processes.wait(_POLL_S):
            return code, worker.is_asked_to_stop()
        if not told and worker.is_asked_to_stop():
            processes.stop(kill=False)
            told = True


def end(n_words: int) -> None:
    """Takes the words that are still on their way; ends when all ranks have called it.

    MPI may not be left with a message nobody received.
    """
    worker = _this_worker()
    while worker.n_words < n_words:
        worker.hear()
    worker.ranks.Barrier()


def tell_to_stop(n_ranks: int) -> None:
    """Sends every rank but this one, rank 0, the word to stop."""
    from mpi4py import MPI

    for rank in range(1, n_ranks):
        MPI.COMM_WORLD.send(None, dest=rank, tag=_STOP_TAG)


def own_gpus(visible: list[str], local_rank: int, n_local: int) -> list[str]:
    """The GPUs of one of several ranks on a node.

    Args:
        visible: What the rank may use; its own already where Slurm bound GPUs to tasks.
        local_rank: The rank's number among the working ranks of its node.
        n_local: How many there are.
    """
    if not visible or "SLURM_GPUS_PER_TASK" in os.environ:
        return visible
    if len(visible) < n_local:
        return [visible[local_rank % len(visible)]]
    return visible[local_rank::n_local]

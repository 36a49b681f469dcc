"""Runs tasks inside one MPI job: rank 0 launches, the other ranks work."""

from __future__ import annotations

import atexit
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, Any, TypeVar

from mo_hpc.core.errors import EXIT_INCOMPLETE, UserError
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.schema import RunConfig
from mo_hpc.core.task import TaskSpec
from mo_hpc.executors.base import not_done, require_task_libraries
from mo_hpc.executors.display import task_display
from mo_hpc.executors.processes import mpi_worker
from mo_hpc.executors.processes.schedule import Bounds, Schedule
from mo_hpc.executors.processes.stop_requests import StopRequests, stop_requests

if TYPE_CHECKING:
    from mpi4py.futures import MPIPoolExecutor

T = TypeVar("T")

_BACKOFF_S = 0.02
"""How long idle ranks sleep between two looks for work."""


class MpiExecutor:
    """For sites that limit jobs: the whole grid in one allocation of one or more nodes."""

    def __init__(self, run: RunPaths, config: RunConfig) -> None:
        self._run = RunPaths(run.folder.absolute())
        self._config = config

    def require(self, tasks: Sequence[TaskSpec]) -> None:
        """Checks that this is rank 0 of an MPI job with ranks that wait for work.

        Raises:
            UserError: If it is not, or mpi4py or a library that tasks import is missing.
        """
        if wanted := not_done(self._run, tasks):
            require_task_libraries(wanted)
            _n_ranks(self._command())

    def submit(self, tasks: Sequence[TaskSpec]) -> list[str]:
        """Runs every task that is not done, one at a time on each rank but this.

        Raises:
            UserError: If this is no MPI job, or libraries are missing, or a rank has too few GPUs
                for a task.
            KeyboardInterrupt: If a signal, to this rank or another, or the end of the job's
                time stopped the work, after the tasks have saved their state.
        """
        wanted = not_done(self._run, tasks)
        if not wanted:
            return []
        require_task_libraries(wanted)
        n_ranks = _n_ranks(self._command())
        from mpi4py.futures import MPIPoolExecutor

        bounds = Bounds(
            self._config.site.max_requeues,
            ends_at=_job_ends(),
            warning_s=self._config.site.signal_before_end_s,
        )
        with (
            stop_requests(mpi_worker.STOP_SIGNALS, mpi_worker.BURST_S) as requests,
            MPIPoolExecutor(main=False, backoff=_BACKOFF_S) as pool,
            task_display(len(wanted)) as display,
        ):
            ranks = _Ranks(pool, n_ranks, self._run, requests)
            ranks.require(wanted)
            outcome = Schedule(self._run, ranks, display, bounds).work(wanted, requests)
            ranks.close()
        if outcome.stopped:
            raise KeyboardInterrupt
        return [task.id for task in wanted]

    def preview(self, tasks: Sequence[TaskSpec]) -> str:
        """One sentence and the command to start it with."""
        return (
            f"{len(tasks)} tasks in one MPI job: rank 0 launches, each other rank runs one "
            f"task at a time.\nStart it with, for example: {self._command()}"
        )

    def _command(self) -> str:
        return (
            "mpiexec -n 5 python -m mpi4py.futures -m mo_hpc.launch "
            f"grid={self._config.grid.name} executor=mpi"
        )


class _Ranks:
    """The ranks that work, as a place where a schedule runs its tasks."""

    def __init__(
        self, pool: MPIPoolExecutor, n_ranks: int, run: RunPaths, requests: StopRequests
    ) -> None:
        self._pool = pool
        self._n_ranks = n_ranks
        self._run = run
        self._requests = requests
        self._at_work: dict[Future[tuple[int, bool]], TaskSpec] = {}
        self._n_words = 0
        self._n_gpus = min(self._on_each_rank(mpi_worker.begin))

    def require(self, tasks: Sequence[TaskSpec]) -> None:
        """Checks the GPUs.

        Raises:
            UserError: If a task needs more of them than a rank has.
        """
        most = max(task.resources.nodes * task.resources.gpus_per_node for task in tasks)
        if most > self._n_gpus:
            raise UserError(
                f"A task asks for {most} GPUs and a rank of this MPI job has {self._n_gpus}.",
                where="resources.gpus_per_node, executor=mpi",
                remedy="Start fewer ranks on each node, or set resources.gpus_per_node=0 for "
                "the CPU.",
            )

    def start(self, task: TaskSpec) -> bool:
        """Gives a task to a rank, if one is free."""
        if len(self._at_work) >= self._n_ranks - 1:
            return False
        self._at_work[self._pool.submit(mpi_worker.run_here, self._run, task)] = task
        return True

    def wait(self, timeout_s: float) -> list[tuple[TaskSpec, int]]:
        """The tasks that ranks have given back; a rank that was asked to stop asks all."""
        ended, _ = wait(self._at_work, timeout_s, FIRST_COMPLETED)
        return [(task, self._code(future, task)) for future, task in self._taken(ended)]

    def stop(self, *, kill: bool) -> None:
        """Passes the request on to all ranks, which pass it on to their tasks."""
        assert not kill, "no schedule of MPI ranks kills"
        mpi_worker.tell_to_stop(self._n_ranks)
        self._n_words += 1

    def close(self) -> None:
        """Leaves MPI without a message on its way."""
        self._on_each_rank(mpi_worker.end, self._n_words)

    def _taken(self, ended: set[Future[tuple[int, bool]]]) -> list[tuple[Future[Any], TaskSpec]]:
        return [(future, self._at_work.pop(future)) for future in ended]

    def _code(self, future: Future[tuple[int, bool]], task: TaskSpec) -> int:
        try:
            code, asked_to_stop = future.result()
        except OSError as error:
            print(f"{task.id} could not be started: {error}", file=sys.stderr)
            return EXIT_INCOMPLETE
        if asked_to_stop:
            self._requests.note()
        return code

    def _on_each_rank(self, function: Callable[..., T], *arguments: Any) -> list[T]:
        """Calls a function that waits for the other ranks, so that none takes two calls."""
        calls = [self._pool.submit(function, *arguments) for _ in range(self._n_ranks - 1)]
        return [call.result() for call in calls]


def _job_ends() -> float | None:
    """When the job's time is up, in seconds since the epoch, where a batch script says so."""
    ends = os.environ.get("MO_HPC_JOB_ENDS")
    return float(ends) if ends else None


def _n_ranks(command: str) -> int:
    """The size of the MPI job.

    Raises:
        UserError: If mpi4py is missing, or no ranks wait for work.
    """
    if importlib.util.find_spec("mpi4py") is None:
        raise UserError(
            "mpi4py is not installed.",
            where="executor=mpi",
            remedy="Install it for the MPI of this cluster: pip install 'mo_hpc[mpi]' "
            "(docs/packing.md).",
        )
    # Importing MPI starts it, which a process outside of a job need not survive.
    if "mpi4py.futures" not in sys.modules:
        raise _no_workers("The launch does not run in mpi4py.futures.", command)
    from mpi4py import MPI

    # mpi4py ends a process that has failed by MPI_Abort, and srun then reports a kill (137).
    # The launch's own status tells a batch script whether to come back, and by the end of
    # the process all other ranks have been dismissed.
    atexit.register(MPI._set_abort_status, 0)  # noqa: SLF001
    if MPI.COMM_WORLD.size < 2:  # noqa: PLR2004 - one launches, one works
        raise _no_workers("The MPI job has one rank; none is left to work.", command)
    if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
        raise UserError(
            "This MPI lets only one thread of a process send and receive.",
            where="executor=mpi",
            remedy="Set MPI4PY_RC_THREAD_LEVEL=multiple, or use another MPI library.",
        )
    return int(MPI.COMM_WORLD.size)


def _no_workers(what: str, command: str) -> UserError:
    return UserError(
        what,
        where="executor=mpi",
        remedy=f"Start it with one rank more than tasks run at once:\n{command}\n"
        "or, in a Slurm job, with 'srun --mpi=pmi2' (MPICH) or 'srun --mpi=pmix' (Open MPI) "
        "instead of 'mpiexec -n 5'.",
    )

"""Worker processes of this machine, forked from a server that has imported torch once.

Importing torch and MACE takes seconds of a core; a process forked after the import starts at
once and is still alone with its task: a crash or a leak stays its own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import connection, forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

from mo_hpc.core.errors import EXIT_DONE, EXIT_REQUEUE, run_command
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.registry import TASK_KINDS
from mo_hpc.core.task import TaskSpec
from mo_hpc.executors.attempts import redirect_output
from mo_hpc.executors.processes.machine import n_ranks
from mo_hpc.executors.processes.ranks import without_ranks
from mo_hpc.executors.run_task import run_task
from mo_hpc.executors.stopping import leave_when_asked
from mo_hpc.executors.threads import set_threads

_NOT_FOR_THE_SERVER = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Schedulers and terminals signal every process of a job; without the server the exit status
of its children would be lost."""

_LOST = 255
"""The exit status multiprocessing states when the server has died."""


@dataclass(slots=True)
class Job:
    """A task at work: one process for each of its ranks, rank 0 first."""

    task: TaskSpec
    gpus: list[str]
    processes: list[ForkServerProcess]
    _broken: bool = field(default=False, init=False)

    def poll(self) -> int | None:
        """The task's exit status once all its processes have ended, else None."""
        codes = [_status(process) for process in self.processes]
        if not self._broken and any(code not in (None, EXIT_DONE, EXIT_REQUEUE) for code in codes):
            # The other ranks would wait for the lost one in a collective operation.
            self._broken = True
            self.signal(signal.SIGKILL)
        if any(code is None for code in codes):
            return None
        if codes[0] == EXIT_DONE:
            return EXIT_DONE
        return next((code for code in codes if code not in (EXIT_DONE, EXIT_REQUEUE)), codes[0])

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to every process that is alive."""
        for process in self.processes:
            if process.pid is not None and _status(process) is None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)


def prepare(run: RunPaths, tasks: Iterable[TaskSpec]) -> ForkServerContext:
    """Starts the server, which imports the modules of the task kinds once."""
    context = multiprocessing.get_context("forkserver")
    kinds = {task.kind for task in tasks}
    runners = [TASK_KINDS[kind].runner for kind in kinds if kind in TASK_KINDS]
    modules = sorted(runner.partition(":")[0] for runner in runners)
    context.set_forkserver_preload([__name__, *modules])
    _ensure_server(run)
    return context


def start(
    context: ForkServerContext,
    run: RunPaths,
    task: TaskSpec,
    gpus: list[str],
    patience_s: float | None = None,
) -> Job:
    """Starts the processes of a task; see `run_task` for its patience."""
    _ensure_server(run)
    ranks = n_ranks(task.resources)
    port = _free_port() if ranks > 1 else 0
    processes = []
    for rank in range(ranks):
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}
        if task.resources.device == "cpu":
            environment["CUDA_VISIBLE_DEVICES"] = ""
        if ranks > 1:
            environment |= _rendezvous(rank, ranks, port)
        log = _rank_log(run, task, rank)
        arguments = (run.task(task.id).folder, environment, log, patience_s)
        process = context.Process(target=_run_child, args=arguments, name=f"{task.id}-{rank}")
        process.start()
        processes.append(process)
    return Job(task=task, gpus=gpus, processes=processes)


def wait_for_any(jobs: Iterable[Job], timeout_s: float) -> None:
    """Returns when a process has ended, or after the timeout."""
    sentinels = [
        process.sentinel for job in jobs for process in job.processes if process.exitcode is None
    ]
    connection.wait(sentinels, timeout_s)


def _ensure_server(run: RunPaths) -> None:
    """Starts the server if it is not there, or not any more.

    What the imports print goes to a log, so that stdout stays the launcher's own.
    """
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(without_ranks(before))
    # A server with one thread has no thread pool that a fork could tear apart.
    set_threads(1)
    try:
        with _output_in(run.scheduler_logs), _blocked(_NOT_FOR_THE_SERVER):
            forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _status(process: ForkServerProcess) -> int | None:
    """Exit status of a process, None while it lives.

    A process outlives the server it was forked from. What it ended with is not known then:
    it may be started again, which finds a done task done.
    """
    code = process.exitcode
    if code != _LOST:
        return code
    return None if process.pid is not None and _is_alive(process.pid) else EXIT_REQUEUE


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@contextmanager
def _blocked(signals: Iterable[signal.Signals]) -> Iterator[None]:
    """Holds signals back during the block; processes started in it keep holding them back."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _output_in(folder: Path) -> Iterator[None]:
    """Gives processes that are started in the block a log instead of stdout and stderr."""
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with (folder / "workers.log").open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        for original, standard in zip(kept, (1, 2), strict=True):
            os.dup2(original, standard)
            os.close(original)


def _rank_log(run: RunPaths, task: TaskSpec, rank: int) -> Path | None:
    """Where a rank's output goes; rank 0 writes into the attempt's folder."""
    return run.scheduler_logs / f"{task.id}_rank{rank}" if rank else None


def _rendezvous(rank: int, ranks: int, port: int) -> dict[str, str]:
    """The variables torchrun would set."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run_child(
    folder: Path, environment: dict[str, str], log: Path | None, patience_s: float | None
) -> None:
    """The main function of a worker process."""
    # Ctrl-C reaches the whole process group; the parent passes it on as SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave_when_asked()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _NOT_FOR_THE_SERVER)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    os.environ.update(environment)
    if log:
        log.mkdir(parents=True, exist_ok=True)
        redirect_output(log)
    set_output = None if log else redirect_output
    task = partial(run_task, folder, set_output=set_output, patience_s=patience_s)
    sys.exit(run_command(lambda _: task(), ()))


def _stop_with_parent() -> None:
    """Asks this process to save and stop when the process that started it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)

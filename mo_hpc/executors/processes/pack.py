"""Several tasks in one array element: in turn, at once by cores, or at once on its GPUs."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from mo_hpc.core.errors import EXIT_DONE, EXIT_INCOMPLETE, EXIT_REQUEUE
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.task import TaskSpec
from mo_hpc.executors.base import not_done
from mo_hpc.executors.display import task_display
from mo_hpc.executors.processes.machine import Machine, visible_gpus
from mo_hpc.executors.processes.schedule import Bounds, Outcome, Schedule
from mo_hpc.executors.processes.stop_requests import stop_requests
from mo_hpc.executors.processes.workplace import Processes

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
_BURST_S = 5.0
_PATIENCE_S = 60.0


def run_pack(
    run: RunPaths,
    tasks: Sequence[TaskSpec],
    *,
    at_once: int,
    share_gpus: bool,
    ends_at: float | None,
    warning_s: int,
    max_requeues: int,
) -> int:
    """Runs those of the tasks that are not done; one that fails takes no other with it.

    A signal asks all of them to save and stop. It is never followed by a kill from here:
    what Slurm sends at the time limit after its warning is no second request, and Slurm
    kills by itself what takes too long.

    Args:
        run: The run the tasks belong to.
        tasks: Each after the tasks it needs.
        at_once: How many run at the same time.
        share_gpus: True: they use the element's GPUs together.
        ends_at: When the element's time is up (seconds since the epoch); None: never.
        warning_s: So long before that the tasks at work are asked to stop; a task that
            would need longer than is left until then is not started any more.
        max_requeues: How often a task that stopped by itself is started again in here.

    Returns:
        0 if all are done; 85 if something is left that can go on when the element is
        requeued; 1 if all have ended and some failed or can never start.

    Raises:
        UserError: If a task asks for more GPUs than the element has.
    """
    wanted = not_done(run, tasks)
    if not wanted:
        return EXIT_DONE
    machine = Machine(at_once, by_slot=True, gpus=visible_gpus(), share_gpus=share_gpus)
    machine.require([task.resources for task in wanted])
    bounds = Bounds(max_requeues, ends_at=ends_at, warning_s=warning_s)
    with (
        stop_requests(_STOP_SIGNALS, _BURST_S) as requests,
        task_display(len(wanted)) as display,
    ):
        processes = Processes(run, machine, wanted, _PATIENCE_S)
        return _exit_status(Schedule(run, processes, display, bounds).work(wanted, requests))


def _exit_status(outcome: Outcome) -> int:
    if outcome.left:
        return EXIT_REQUEUE
    return EXIT_DONE if outcome.all_done else EXIT_INCOMPLETE

"""The text of batch scripts: what Slurm is asked for and what runs around a task.

The host side requeues, not the task: inside a container there is no ``scontrol``. A task
that saved its state exits with 85; the script turns that into a requeue of its own array
element and passes every exit status on.
"""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mo_hpc.core.execution import ExecutorConfig, Resources, SiteConfig
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.schema import RunConfig
from mo_hpc.executors.processes.machine import n_ranks
from mo_hpc.executors.stopping import REQUEUE_STATUSES

FOLLOWER = Resources(cpus_per_task=1, memory_gb=4.0, time_min=60)
"""What the job that follows the arrays gets: it submits, and makes tables and figures."""

_FOR_EVERY_JOB = ("reservation", "clusters", "comment", "exclude", "wckey")
"""Further options of a site that are about where a job may run, not what a task needs."""

_NO_MPS = "! command -v nvidia-cuda-mps-control >/dev/null"
_OWN_ID = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"


def python_command(run: RunPaths, site: SiteConfig, name: str) -> str:
    """The shell words that start Python on a compute node, for the array of this name."""
    if site.container:
        return shlex.join(["bash", str(run.enter_image(name).absolute())])
    return site.python or shlex.quote(sys.executable)


def at_once_on_a_node(
    resources: Resources, executor: ExecutorConfig, *, n_tasks: int, most_gb: float | None
) -> int:
    """How many tasks of an element run at once: no more than the largest node has memory for."""
    fitting = int(most_gb / resources.memory_gb) if most_gb else n_tasks
    return max(1, min(executor.at_once, n_tasks, fitting))


def element_resources(
    resources: Resources,
    *,
    n_tasks: int,
    at_once: int,
    share_gpus: bool,
    most_min: int | None,
) -> Resources:
    """What an array element asks for that runs several tasks; one task: what the task asks for.

    Args:
        resources: What each of its tasks gets.
        n_tasks: Number of tasks of the element.
        at_once: How many of them run at once.
        share_gpus: Whether those use the GPUs of one.
        most_min: The partition's time limit; an element that does not fit goes on after a
            requeue.
    """
    if n_tasks == 1:
        return resources
    time_min = math.ceil(n_tasks / at_once) * resources.time_min
    return resources.model_copy(
        update={
            "tasks_per_node": 1,
            "cpus_per_task": at_once * n_ranks(resources) * resources.cpus_per_task,
            "gpus_per_node": resources.gpus_per_node * (1 if share_gpus else at_once),
            "memory_gb": at_once * resources.memory_gb,
            "time_min": min(time_min, most_min or time_min),
        }
    )


def array_parameters(
    config: RunConfig,
    resources: Resources,
    *,
    name: str,
    n_elements: int,
    after: Sequence[str],
    account: Path,
) -> dict[str, Any]:
    """Parameters of submitit's `SlurmExecutor` for one array.

    Args:
        config: The run's configuration.
        resources: What each element of the array gets.
        name: The job name.
        n_elements: Number of elements.
        after: Ids of the jobs that must have ended before, however they ended.
        account: File to which each element appends how it ended.
    """
    site = config.site
    return {
        "job_name": name,
        "time": resources.time_min,
        "nodes": resources.nodes,
        "ntasks_per_node": resources.tasks_per_node,
        "cpus_per_task": resources.cpus_per_task,
        "gpus_per_node": resources.gpus_per_node or None,
        "partition": site.partition,
        "account": site.account,
        "qos": site.qos,
        "constraint": site.constraint,
        "dependency": f"afterany:{':'.join(after)}" if after else None,
        "array_parallelism": config.executor.array_parallelism or n_elements,
        "signal_delay_s": site.signal_before_end_s,
        # submitit's default wckey is refused by clusters that enforce wckeys.
        "wckey": None,
        "setup": [*_setup_lines(site), *_element_lines(resources, config.executor)],
        "teardown": _teardown_lines(config, account),
        # One lost rank would leave the others waiting for it until the time limit.
        "srun_args": ["--kill-on-bad-exit=1"],
        "additional_parameters": {
            "mem": _memory(resources),
            "requeue": True,
            **{key: value for key, value in site.sbatch.items() if value is not False},
        },
    }


def element_command(run: RunPaths, config: RunConfig, name: str, at_once: int) -> str:
    """The command that runs one array element; its index comes from Slurm."""
    executor, site = config.executor, config.site
    words = [str(run.folder.absolute()), name, f"--at-once={at_once}"]
    if executor.share_gpus:
        words.append("--share-gpus")
    words += [f"--warning-s={site.signal_before_end_s}", f"--max-requeues={site.max_requeues}"]
    module = "mo_hpc.executors.slurm.element"
    return f"{python_command(run, site, name)} -u -m {module} {shlex.join(words)}"


def array_script(
    run: RunPaths,
    config: RunConfig,
    parameters: dict[str, Any],
    n_elements: int,
    at_once: int = 1,
) -> str:
    """The batch script that submitit will write for these parameters."""
    from submitit.slurm.slurm import _make_sbatch_string

    command = element_command(run, config, parameters["job_name"], at_once)
    folder = run.scheduler_logs.absolute()
    return str(
        _make_sbatch_string(command=command, folder=folder, map_count=n_elements, **parameters)
    )


def follower_script(
    run: RunPaths,
    site: SiteConfig,
    *,
    name: str,
    when: Mapping[str, str],
    most_min: int | None = None,
) -> str:
    """A job that follows the arrays: `mo_hpc.follow` decides what is left to do.

    Args:
        run: The run.
        site: The cluster.
        name: The job name.
        when: The sbatch options that say when it may start.
        most_min: The partition's time limit.
    """
    options = {
        **{key: site.sbatch[key] for key in _FOR_EVERY_JOB if key in site.sbatch},
        "job-name": name,
        **when,
        "output": run.scheduler_logs.absolute() / "%j_follow.log",
        "ntasks": 1,
        "cpus-per-task": FOLLOWER.cpus_per_task,
        "mem": _memory(FOLLOWER),
        "time": min(FOLLOWER.time_min, most_min or FOLLOWER.time_min),
        "partition": site.partition,
        "account": site.account,
        "qos": site.qos,
    }
    flags = [
        f"#SBATCH --{key}={shlex.quote(str(value))}"
        for key, value in options.items()
        if value is not None
    ]
    argument = shlex.quote(f"run={Path(run.folder).absolute()}")
    # On the host: inside a container there is no Slurm to submit to.
    python = site.host_python or shlex.quote(sys.executable)
    command = f"{python} -m mo_hpc.follow {argument}"
    return "\n".join(["#!/bin/bash", *flags, *_setup_lines(site), command, ""])


def _setup_lines(site: SiteConfig) -> list[str]:
    return [
        *site.setup,
        # Since Slurm 22.05 srun no longer inherits --cpus-per-task from the job.
        "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",
        "export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK",
    ]


def _element_lines(resources: Resources, executor: ExecutorConfig) -> list[str]:
    # Slurm before 23 does not tell a job when it ends.
    end = f"$(($(date +%s) + {60 * resources.time_min}))"
    lines = [f"export MO_HPC_JOB_ENDS=${{SLURM_JOB_END_TIME:-{end}}}"]
    if executor.share_gpus:
        lines += [
            'export CUDA_MPS_PIPE_DIRECTORY=${TMPDIR:-/tmp}/mps-"$SLURM_JOB_ID"',
            'export CUDA_MPS_LOG_DIRECTORY="$CUDA_MPS_PIPE_DIRECTORY"',
            'mkdir -p "$CUDA_MPS_PIPE_DIRECTORY"',
            f"{_NO_MPS} || nvidia-cuda-mps-control -d",
        ]
    return lines


def _teardown_lines(config: RunConfig, account: Path) -> list[str]:
    max_requeues = config.site.max_requeues
    end = '"$SLURM_ARRAY_TASK_ID $rc ${SLURM_RESTART_COUNT:-0} $SLURMD_NODENAME $(date +%s)"'
    return [
        # The status of the task, before any other command replaces it.
        "rc=$?",
        f"echo {end} >> {shlex.quote(str(account))}",
        *([f"{_NO_MPS} || echo quit | nvidia-cuda-mps-control"] * config.executor.share_gpus),
        f"if {' || '.join(f'[ $rc -eq {status} ]' for status in REQUEUE_STATUSES)}; then",
        f'  if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {max_requeues} ]; then',
        f'    scontrol requeue "{_OWN_ID}"',
        "  else",
        f'    echo "not requeued: this was restart $SLURM_RESTART_COUNT of {max_requeues}" >&2',
        "  fi",
        "fi",
        "exit $rc",
    ]


def _memory(resources: Resources) -> str:
    return f"{math.ceil(resources.memory_gb * 1024)}M"

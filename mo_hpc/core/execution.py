"""How and where tasks run, as frozen models: outside a task's identity."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from mo_hpc.core.failure import FailureClass
from mo_hpc.core.strict import Scalar, Strict

_OWN_SBATCH_OPTIONS = {
    "account": "site.account",
    "array": "executor.array_parallelism",
    "constraint": "site.constraint",
    "cpus-per-task": "resources.cpus_per_task",
    "dependency": None,
    "error": None,
    "gpus-per-node": "resources.gpus_per_node",
    "job-name": None,
    "mem": "resources.memory_gb",
    "nodes": "resources.nodes",
    "ntasks-per-node": "resources.tasks_per_node",
    "open-mode": None,
    "output": None,
    "partition": "site.partition",
    "qos": "site.qos",
    "requeue": "site.max_requeues",
    "signal": "site.signal_before_end_s",
    "time": "resources.time_min",
}
"""Options that every batch script sets → the field that they come from, if there is one."""


class Resources(Strict):
    """What one task may use; outside the task's identity."""

    nodes: int = Field(1, ge=1)
    tasks_per_node: int = Field(1, ge=1)
    """Ranks per node; with GPUs, one rank drives one GPU."""
    gpus_per_node: int = Field(0, ge=0)
    cpus_per_task: int = Field(2, ge=1)
    memory_gb: float = Field(8.0, gt=0)
    time_min: int = Field(60, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class ExecutorConfig(Strict):
    """How tasks are run (``configs/executor/NAME.yaml``)."""

    name: Literal["inline", "local", "slurm", "mpi"]
    slots: int | None = Field(None, ge=1)
    """local: tasks at once; None: as many as the cores (or GPUs) carry."""
    array_parallelism: int | None = Field(None, ge=1)
    """slurm: array elements at once; None: no throttle."""
    tasks_per_element: int = Field(1, ge=1)
    """slurm: tasks that one array element runs; more than one for short tasks."""
    at_once: int = Field(1, ge=1)
    """slurm: tasks of an element that run at the same time, each with its own cores."""
    share_gpus: bool = False
    """slurm: the tasks that run at once share one task's GPUs (under MPS where it is there)."""
    follow: bool = True
    """slurm: a job follows the arrays, submits what is left or may be tried again, and makes
    tables and figures in the end."""
    collect: bool = True
    """Make tables and figures when the tasks have ended."""


class SiteConfig(Strict):
    """A cluster's settings (``configs/site/NAME.yaml``)."""

    name: str
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    container: str | None = None
    """The image (``.sif``) that tasks run in; None: they run on the host."""
    binds: tuple[str, ...] = ()
    """Further folders of the host that tasks in the image see, as ``PATH`` or ``PATH:ro``."""
    python: str | None = None
    """Command that starts Python on a compute node, inside the image if there is one; None:
    the launching interpreter, or the image's."""
    host_python: str | None = None
    """The same outside of any image, for the job that follows the arrays; None: the
    launching interpreter."""
    setup: tuple[str, ...] = ()
    """Shell lines before the task, such as ``module load cuda``."""
    signal_before_end_s: int = Field(90, ge=10)
    """Seconds before the time limit at which a task is asked to save and stop."""
    max_requeues: int = Field(20, ge=0)
    """How often a task that saved its state is put back into the queue."""
    max_submit: int | None = Field(None, ge=3)
    """Jobs and array elements you may have in the queue; None: what the cluster reports."""
    max_array_size: int | None = Field(None, ge=2)
    """Elements an array may have; None: what the cluster reports."""
    sbatch: dict[str, Scalar] = {}
    """Further sbatch options, without the dashes."""

    @field_validator("binds")
    @classmethod
    def _absolute_binds(cls, binds: tuple[str, ...]) -> tuple[str, ...]:
        for bind in binds:
            path, _, mode = bind.partition(":")
            if not path.startswith("/") or mode not in ("", "ro"):
                raise ValueError(f"'{bind}' is neither /PATH nor /PATH:ro")
        return binds

    @field_validator("sbatch")
    @classmethod
    def _leave_own_options(cls, options: dict[str, Scalar]) -> dict[str, Scalar]:
        for key in options:
            # sbatch takes any unambiguous beginning of an option for the option.
            begins = key.lstrip("-").replace("_", "-").removeprefix("no-")
            for option, field in _OWN_SBATCH_OPTIONS.items():
                if option.startswith(begins):
                    instead = f"; set {field} instead" if field else ""
                    raise ValueError(f"the launcher itself sets the sbatch option '{key}'{instead}")
        return options


class RetryRule(Strict):
    """What is done about a failure of one class.

    A factor applies once for each earlier failure of the class: memory 1.5 asks for 1.5
    times the memory at the first retry and 2.25 times at the second.
    """

    times: int = Field(0, ge=0)
    """How often a task is submitted again by itself after failures of this class."""
    memory_factor: float = Field(1.0, ge=1)
    """Growth of the job's memory, up to that of the partition's largest node."""
    time_factor: float = Field(1.0, ge=1)
    """Growth of the time limit, up to the partition's."""
    exclude_node_after: int | None = Field(None, ge=1)
    """Failures of this class on one node, over the whole run, after which it is excluded."""


class RetryConfig(Strict):
    """The rules for failures (``configs/retry/NAME.yaml``)."""

    name: str
    failed: bool = False
    """True: this launch submits every failed task again, whatever its class."""
    rules: dict[FailureClass, RetryRule] = {}
    """Failure class → rule; a class without one is not tried again."""

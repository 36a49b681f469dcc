"""The classes of failure: what ended a task that is not done."""

from __future__ import annotations

from typing import Literal, get_args

FailureClass = Literal[
    "python_error",
    "bad_input",
    "bad_data",
    "diverged",
    "gpu_out_of_memory",
    "host_out_of_memory",
    "time_limit",
    "preempted",
    "node_failure",
    "killed",
    "communication",
    "never_started",
    "cancelled",
]

FAILURE_CLASSES: tuple[FailureClass, ...] = get_args(FailureClass)

EXPLANATIONS: dict[FailureClass, str] = {
    "python_error": "an exception in the task",
    "bad_input": "a setting that cannot be run",
    "bad_data": "data that differ from those the task was planned with",
    "diverged": "a loss that is no finite number",
    "gpu_out_of_memory": "one structure that does not fit the GPU",
    "host_out_of_memory": "more memory than the job was given",
    "time_limit": "a time limit, before the state was saved or once too often",
    "preempted": "a more urgent job, on a cluster that does not requeue",
    "node_failure": "a node, or Slurm's daemon on it, that died",
    "killed": "a signal that leaves no time to save, such as kill -9 or a crash",
    "communication": "ranks that did not meet or lost each other",
    "never_started": "a job that ended before the task began",
    "cancelled": "a person",
}
"""What ended the task, for each class, as a noun phrase that follows "ended by"."""

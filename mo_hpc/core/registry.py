"""Names of the parts that can be exchanged, each as ``name -> "module:attribute"``.

The values are strings so that listing the names imports nothing. A kind of task has several
parts, which stand together.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from mo_hpc.core.errors import unknown_name
from mo_hpc.core.libraries import READING, TRAINING


@dataclass(frozen=True, slots=True)
class TaskKind:
    """The parts of one kind of task, each as ``module:attribute``.

    Attributes:
        task: The model of its ``task.json``, a `mo_hpc.core.task.TaskSpec`. Light.
        record: The model of its ``metrics.json``, a `mo_hpc.core.record.Record`. Light.
        planner: Plans the stages of this kind, a `mo_hpc.plan.planning.StagePlanner`. Light.
        runner: Runs one task and returns its record; its module imports what the work needs.
        libraries: The modules that the runner needs, beyond what every command needs.
    """

    task: str
    record: str
    planner: str
    runner: str
    libraries: tuple[str, ...]


EXECUTORS = {
    "inline": "mo_hpc.executors.inline:InlineExecutor",
    "local": "mo_hpc.executors.local:LocalExecutor",
    "slurm": "mo_hpc.executors.slurm.executor:SlurmExecutor",
    "mpi": "mo_hpc.executors.mpi:MpiExecutor",
}
TASK_KINDS = {
    "train": TaskKind(
        task="mo_hpc.core.task:TrainTask",
        record="mo_hpc.core.record:TrainRecord",
        planner="mo_hpc.plan.training:TrainingPlanner",
        runner="mo_hpc.training.worker:run_training_task",
        libraries=TRAINING,
    ),
    "label": TaskKind(
        task="mo_hpc.core.labelling:LabelTask",
        record="mo_hpc.core.labelling:LabelRecord",
        planner="mo_hpc.plan.labelling:LabelPlanner",
        runner="mo_hpc.labelling.worker:run_labelling",
        libraries=READING,
    ),
    "check": TaskKind(
        task="mo_hpc.core.check_task:CheckTask",
        record="mo_hpc.core.check_task:CheckRecord",
        planner="mo_hpc.plan.check_tasks:CheckPlanner",
        runner="mo_hpc.checks.worker:run_check_task",
        libraries=TRAINING,
    ),
}
CHECKS = {
    "lattice_constant": "mo_hpc.checks.lattice:lattice_constant",
    "equation_of_state": "mo_hpc.checks.equation_of_state:equation_of_state",
    "elastic_constants": "mo_hpc.checks.elastic:elastic_constants",
    "vacancy": "mo_hpc.checks.vacancy:vacancy",
    "substitution": "mo_hpc.checks.substitution:substitution",
    "binding": "mo_hpc.checks.binding:binding",
    "surfaces": "mo_hpc.checks.surfaces:surfaces",
    "stability": "mo_hpc.checks.stability:stability",
}
READERS = {
    "extxyz": "mo_hpc.data.readers:ExtxyzReader",
    "snap_json": "mo_hpc.data.readers:SnapJsonReader",
    "ase": "mo_hpc.data.readers:AseReader",
}
GENERATORS = {
    "demo": "mo_hpc.data.demo:build_demo",
}
SPLITTERS = {
    "iid": "mo_hpc.grid.splits:iid",
    "lodo_strict": "mo_hpc.grid.splits:lodo_strict",
    "lodo_relaxed": "mo_hpc.grid.splits:lodo_relaxed",
    "few_shot": "mo_hpc.grid.splits:few_shot",
    "new_elements": "mo_hpc.grid.new_element_splits:new_elements",
    "new_only": "mo_hpc.grid.new_element_splits:new_only",
    "joint": "mo_hpc.grid.splits:iid",
}


def load(registry: dict[str, str], field: str, name: str) -> Any:
    """Imports the part that a name stands for.

    Args:
        registry: One of this module's dictionaries of names.
        field: What the name is called where the user wrote it, for the message.
        name: The name to look up.

    Raises:
        UserError: If the name is not registered.
    """
    if name not in registry:
        raise unknown_name(field, name, registry)
    return imported(registry[name])


def task_kind(name: str) -> TaskKind:
    """The parts of a kind of task.

    Raises:
        UserError: If the kind is not registered.
    """
    if name not in TASK_KINDS:
        raise unknown_name("kind", name, TASK_KINDS)
    return TASK_KINDS[name]


def imported(part: str) -> Any:
    """Imports a part, given as ``module:attribute``."""
    module, attribute = part.split(":")
    return getattr(importlib.import_module(module), attribute)

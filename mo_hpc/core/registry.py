"""Names of the parts that can be exchanged, each as ``name -> "module:attribute"``.

The values are strings so that listing the names imports nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

from mo_hpc.core.errors import unknown_name

EXECUTORS = {
    "inline": "mo_hpc.executors.inline:InlineExecutor",
    "local": "mo_hpc.executors.local:LocalExecutor",
    "slurm": "mo_hpc.executors.slurm.executor:SlurmExecutor",
    "mpi": "mo_hpc.executors.mpi:MpiExecutor",
}
TASK_KINDS = {
    "train": "mo_hpc.training.worker:run_training_task",
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
        registry: One of this module's dictionaries.
        field: What the name is called where the user wrote it, for the message.
        name: The name to look up.

    Raises:
        UserError: If the name is not registered.
    """
    if name not in registry:
        raise unknown_name(field, name, registry)
    module, attribute = registry[name].split(":")
    return getattr(importlib.import_module(module), attribute)

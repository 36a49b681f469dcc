"""Registers the task kind `noop` in every Python that has this folder on PYTHONPATH."""

from mo_hpc.core import registry

registry.TASK_KINDS["noop"] = "noop_kind:run_noop"

"""Registers the fake task kind in every Python that has this folder on PYTHONPATH."""

from mo_hpc.core import registry

registry.TASK_KINDS["fake"] = "fake_kind:run_fake"
registry.TASK_KINDS["fake_torch"] = "fake_torch_kind:run_fake_torch"

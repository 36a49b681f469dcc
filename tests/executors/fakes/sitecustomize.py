"""Registers the fake task kind in every Python that has this folder on PYTHONPATH."""

from dataclasses import replace

from mo_hpc.core import registry

TRAINING = registry.TASK_KINDS["train"]
registry.TASK_KINDS["fake"] = replace(TRAINING, runner="fake_kind:run_fake")
registry.TASK_KINDS["fake_torch"] = replace(TRAINING, runner="fake_torch_kind:run_fake_torch")

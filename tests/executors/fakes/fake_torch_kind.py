"""A task kind whose module imports torch, as the real one does."""

import os
import sys

import torch
from fake_kind import record_of

IMPORTED_IN = os.getpid()
print("an import that talks", file=sys.stderr, flush=True)


def run_fake_torch(_paths, task, *, provenance, show_progress):
    """Computes with as many threads as the task was given."""
    assert os.getpid() != IMPORTED_IN, "torch was imported again in the worker"
    assert torch.get_num_threads() == task.resources.cpus_per_task
    product = torch.ones(600, 600) @ torch.ones(600, 600)
    assert product[0, 0] == 600
    return record_of(task, provenance)

"""Runs one task in a process of its own: `python run_task_alone.py FOLDER [KILL_AT_BATCH]`.

With `LARGEST_STEP=N` in the environment a step of more structures is out of memory.
"""

from __future__ import annotations

import functools
import itertools
import os
import signal
import sys
from pathlib import Path

import torch

from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.record import read_task, write_record
from mo_hpc.training import worker
from mo_hpc.training.fit import fit
from mo_hpc.training.graphs import Batch
from mo_hpc.training.loss import Objective
from mo_hpc.training.sampler import EpochSampler
from mo_hpc.training.step import eager_step
from mo_hpc.training.worker import run_training_task


def kill_at_batch(number: int) -> None:
    """Ends this process without warning when a batch is drawn for the number-th time."""
    draw, calls = EpochSampler.next_batch, itertools.count(1)

    def counted(sampler: EpochSampler) -> list[int] | None:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return draw(sampler)

    EpochSampler.next_batch = counted  # type: ignore[method-assign]


def limit_memory(largest_step: int) -> None:
    """Makes steps of more structures fail as they do on a GPU that is too small."""

    def tight_step(
        model: torch.nn.Module, batch: Batch, objective: Objective, **counts: int
    ) -> torch.Tensor:
        loss = eager_step(model, batch, objective, **counts)
        if len(batch.energy) > largest_step:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return loss

    worker.fit = functools.partial(fit, step=tight_step)


def main() -> None:
    """Runs the task and writes its record."""
    paths = TaskPaths(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        kill_at_batch(int(sys.argv[2]))
    if limit := os.environ.get("LARGEST_STEP"):
        limit_memory(int(limit))
    record = run_training_task(paths, read_task(paths), provenance={}, show_progress=False)
    if record is not None:
        write_record(paths, record)


if __name__ == "__main__":
    main()

"""A task kind that imports what a training imports, and then does nothing."""

from __future__ import annotations

from typing import Any

# Importing is most of the work of a short task.
import mo_hpc.training.worker  # noqa: F401
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.record import EnergyReferences, TrainRecord
from mo_hpc.core.task import TrainTask


def run_noop(
    _paths: TaskPaths, task: TrainTask, *, provenance: dict[str, Any], show_progress: bool
) -> TrainRecord:
    """Returns an empty record."""
    del show_progress
    return TrainRecord(
        task_id=task.id,
        digest=task.digest,
        grid=task.grid,
        stage=task.stage,
        axes=task.axes,
        paradigm=task.paradigm,
        dataset=task.dataset.config.name,
        dataset_hash=task.dataset.dataset_hash,
        subset=task.dataset.subset,
        labels=task.dataset.config.labels,
        synthetic=True,
        split=task.split,
        foundation=None,
        seed=task.train.seed,
        energy_references=EnergyReferences(policy="average", values_ev={}, sources={}),
        training=None,
        n_parameters=0,
        n_trainable_parameters=0,
        metrics={},
        valid_metrics={},
        model_sha256=None,
        predictions_sha256="0" * 64,
        wall_time_s=0.0,
        provenance=provenance,
    )

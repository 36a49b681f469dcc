"""What a night has measured: each cell of the grid, its metrics averaged over seeds."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mo_hpc.core.errors import UserError
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.record import TrainRecord, read_record
from mo_hpc.core.strict import Scalar, Strict

_SEED_AXIS = "seed"


class Mean(Strict):
    """One metric of one cell."""

    mean: float
    std: float | None
    """Sample standard deviation over the seeds; None with one seed."""


class CellResult(Strict):
    """One cell of the grid: tasks that differ in nothing but the seed."""

    seeds: tuple[int, ...]
    metrics: dict[str, Mean]


class Throughput(Strict):
    """How fast the night was; information, because shared machines are noisy."""

    wall_time_s: float
    """From the launch to the end of the last task, queueing included."""
    task_wall_time_s: float
    """Sum over the tasks."""
    train_frames_per_s: float | None
    """Training structures × epochs by the time that training took; None without training."""


def cell_of(stage: str, axes: Mapping[str, Scalar]) -> str:
    """Name of the cell a task belongs to, such as ``transfer-lodo_strict-W-scratch``."""
    return "-".join([stage, *(str(value) for axis, value in axes.items() if axis != _SEED_AXIS)])


def read_records(run: RunPaths, task_ids: Iterable[str]) -> list[TrainRecord]:
    """The records of done trainings; one that is no longer whole is left out.

    Its task is then missing in its cell, which the comparison reports.
    """
    records = []
    for task_id in task_ids:
        try:
            record = read_record(run.task(task_id))
        except UserError:
            continue
        if isinstance(record, TrainRecord):
            records.append(record)
    return records


def cells(records: Sequence[TrainRecord]) -> dict[str, CellResult]:
    """Means and spreads of the test metrics of every cell, by name."""
    grouped: defaultdict[str, list[TrainRecord]] = defaultdict(list)
    for record in records:
        grouped[cell_of(record.stage, record.axes)].append(record)
    return {name: _result(members) for name, members in sorted(grouped.items())}


def throughput(records: Sequence[TrainRecord], wall_time_s: float) -> Throughput:
    """Wall times and training speed of a night.

    Args:
        records: Of the tasks that are done.
        wall_time_s: Of the whole night, in seconds.
    """
    trained = [(record.split.n_train, record.training) for record in records if record.training]
    seconds = sum(training.wall_time_s for _, training in trained)
    frames = sum(n_train * training.epochs for n_train, training in trained)
    return Throughput(
        wall_time_s=round(wall_time_s, 1),
        task_wall_time_s=round(sum(record.wall_time_s for record in records), 1),
        train_frames_per_s=round(frames / seconds, 2) if seconds else None,
    )


def _result(members: list[TrainRecord]) -> CellResult:
    ordered = sorted(members, key=lambda record: record.seed)
    documents = [_numbers(record.metrics) for record in ordered]
    # A mean over some of the seeds would be compared with one over all of them.
    shared = [name for name in documents[0] if all(name in each for each in documents)]
    return CellResult(
        seeds=tuple(record.seed for record in ordered),
        metrics={name: _mean([each[name] for each in documents]) for name in shared},
    )


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _mean(values: list[float]) -> Mean:
    return Mean(
        mean=statistics.fmean(values),
        std=statistics.stdev(values) if len(values) > 1 else None,
    )

"""What a task reads: its split, its labelled frames and their graphs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ase

from mo_hpc.core.errors import BadDataError
from mo_hpc.core.files import read_json
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.schema import validated
from mo_hpc.core.task import Split, TrainTask
from mo_hpc.data.frames import load_frames
from mo_hpc.metrics.predictions import PARTS
from mo_hpc.training.graphs import Batch, Graph, batches_of, build_graphs


@dataclass(frozen=True, slots=True, eq=False)
class TaskData:
    """Frames and graphs of one task; neighbour lists are built here and nowhere else.

    Attributes:
        frames: Labelled frames of ``train``, ``valid`` and ``test``.
        graphs: The same frames as graphs.
        atomic_numbers: All elements of the three parts, ascending.
        valid_batches: The validation graphs in batches, used after every epoch.
        r_max_ang: Cutoff of the graphs.
    """

    frames: dict[str, list[ase.Atoms]]
    graphs: dict[str, list[Graph]]
    atomic_numbers: tuple[int, ...]
    valid_batches: list[Batch]
    r_max_ang: float


def read_frames(task: TrainTask, split: Split) -> dict[str, list[ase.Atoms]]:
    """The frames of the three parts, from the data that the task was planned with.

    Raises:
        BadDataError: If the dataset has changed since.
        UserError: If the dataset cannot be read.
    """
    config = task.dataset.config
    data_root, cache_root = Path(task.runtime.data_root), Path(task.runtime.cache_root)
    ids = {"train": split.train, "valid": split.valid, "test": split.test}
    wanted = [frame_id for part in PARTS for frame_id in ids[part]]
    planned_hash = task.dataset.dataset_hash
    frames = iter(load_frames(config, data_root, cache_root, wanted, planned_hash=planned_hash))
    return {part: [next(frames) for _ in ids[part]] for part in PARTS}


def planned_split(paths: TaskPaths, task: TrainTask) -> Split:
    """The split on disk, if its three parts are those whose audit the record will carry.

    Raises:
        BadDataError: If the split has changed since the task was planned.
        UserError: If it cannot be read.
    """
    split = validated(Split, read_json(paths.split), where=str(paths.split))
    if split.digest != task.split.digest:
        raise BadDataError(
            f"{paths.split} is not the split that the task was planned with. Remove this file "
            "and launch again; it is then written anew."
        )
    return split


def task_data(
    frames: dict[str, list[ase.Atoms]],
    r_max_ang: float,
    eval_batch_size: int,
    *,
    show_progress: bool = False,
) -> TaskData:
    """Builds the graphs of all frames.

    Args:
        frames: Labelled frames by part.
        r_max_ang: Cutoff of the model, Å.
        eval_batch_size: Structures in a batch of validation and evaluation.
        show_progress: Whether to draw a bar on stderr.
    """
    everything = [frame for part in PARTS for frame in frames[part]]
    numbers = tuple(sorted({int(z) for frame in everything for z in frame.numbers}))
    built = iter(build_graphs(everything, numbers, r_max_ang, show_progress=show_progress))
    graphs = {part: [next(built) for _ in frames[part]] for part in PARTS}
    valid_batches = batches_of(graphs["valid"], eval_batch_size)
    return TaskData(frames, graphs, numbers, valid_batches, r_max_ang)

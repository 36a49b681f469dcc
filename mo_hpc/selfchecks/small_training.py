"""A training of a few seconds by the suite's own code: demo frames, a tiny model, three steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ase
import torch

from mo_hpc.core.config import dataset_config, load_named, model_config
from mo_hpc.core.files import read_lines
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.ranks import Ranks
from mo_hpc.core.schema import TrainConfig, validated
from mo_hpc.data.build import build_if_missing
from mo_hpc.data.frames import load_frames
from mo_hpc.data.index import build_index
from mo_hpc.training.assembly import Assembled, assemble
from mo_hpc.training.distributed import Communicator
from mo_hpc.training.fit import fit
from mo_hpc.training.inputs import TaskData, task_data
from mo_hpc.training.reproducible import reproducible
from mo_hpc.training.signals import StopFlag

N_STEPS = 3
_N_TRAIN = 8
_N_OTHER = 2
_EVERY = 9
"""Neighbouring frames of the demo are steps of one relaxation, and much alike."""

SEED = 20040414
# Vectors in the hidden features: with scalars alone less of a rotation could go wrong.
_ARCHITECTURE = model_config("tiny").model_copy(update={"max_L": 1})
_SETTINGS = {"batch_size": _N_TRAIN, "max_epochs": N_STEPS, "dtype": "float64", "seed": SEED}


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What came of it.

    Attributes:
        losses: Of the same batch before each step.
        model: The trained model, on its device.
        frames: Frames it was not trained on.
        data: Its training data.
    """

    losses: list[float]
    model: torch.nn.Module
    frames: list[ase.Atoms]
    data: TaskData


def demo_frames(cache: Path) -> list[ase.Atoms]:
    """Some labelled frames of the demo dataset, which is made and indexed where it is missing."""
    config = dataset_config("demo")
    build_if_missing(config, cache)
    index = build_index(config, cache, cache)
    ids = [frame.id for frame in index.frames if frame.tags.get("kind") == "doped"]
    return load_frames(config, cache, cache, ids[::_EVERY][: _N_TRAIN + 2 * _N_OTHER])


def settings() -> TrainConfig:
    """The demo's settings, with one batch of all structures in each epoch: a step."""
    document = load_named("train", "demo") | _SETTINGS
    return validated(TrainConfig, document, where="train=demo")


def prepare(frames: list[ase.Atoms], train: TrainConfig) -> tuple[TaskData, Assembled]:
    """Graphs and a fresh model; call it, and use them, inside `reproducible`."""
    parts = {
        "train": frames[:_N_TRAIN],
        "valid": frames[_N_TRAIN:-_N_OTHER],
        "test": frames[-_N_OTHER:],
    }
    data = task_data(parts, _ARCHITECTURE.r_max_ang, train.eval_batch_size)
    return data, assemble("scratch", train, _ARCHITECTURE, data, None)


def train_three_steps(cache: Path, folder: Path, device: torch.device) -> Trained:
    """Trains on a device, in double precision, so that devices can be compared.

    Args:
        cache: Where the demo dataset lies or is made.
        folder: For checkpoints and progress; nothing is there yet.
        device: Where the model lives.
    """
    frames, train, paths = demo_frames(cache), settings(), TaskPaths(folder)
    folder.mkdir()
    with (
        reproducible(seed=SEED, dtype=train.dtype, n_threads=1, device=device),
        StopFlag() as stop,
    ):
        data, start = prepare(frames, train)
        with Communicator(Ranks(), device, paths.rendezvous) as alone:
            fit(start, data, train, identity="", paths=paths, communicator=alone, stop=stop)
    losses = [float(line["train_loss"]) for line in read_lines(paths.progress)]
    return Trained(losses, start.model, data.frames["test"], data)

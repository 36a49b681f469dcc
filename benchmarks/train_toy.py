"""Trains on the files of a side-by-side run: `python benchmarks/train_toy.py FOLDER NAME`."""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import ase.io
import torch

from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.schema import ModelConfig, TrainConfig, validated
from mo_hpc.training.assembly import assemble
from mo_hpc.training.checkpoint import save_model
from mo_hpc.training.distributed import communicator_for
from mo_hpc.training.evaluate import Part, predict
from mo_hpc.training.fit import fit
from mo_hpc.training.graphs import batches_of
from mo_hpc.training.inputs import task_data
from mo_hpc.training.reproducible import reproducible
from mo_hpc.training.signals import StopFlag
from mo_hpc.training.step import eager_step


def main(folder: Path, name: str) -> None:
    """Trains, evaluates and saves, with the loss and time of every step beside it."""
    setup = json.loads((folder / "setup.json").read_text())
    model = validated(ModelConfig, setup["model"], where="model")
    train = validated(TrainConfig, setup["train"], where="train")
    frames = {part: ase.io.read(folder / f"{part}.xyz", ":") for part in ("train", "valid")}
    paths = TaskPaths(folder / name)
    losses: list[torch.Tensor] = []
    ends: list[float] = []

    def recorded_step(*arguments: Any, **keywords: Any) -> torch.Tensor:
        loss = eager_step(*arguments, **keywords)
        losses.append(loss)
        ends.append(time.perf_counter())
        return loss

    with (
        StopFlag() as stop,
        communicator_for(paths.rendezvous, "cpu", 1) as communicator,
        reproducible(
            seed=train.seed,
            dtype=train.dtype,
            n_threads=setup["n_threads"],
            device=communicator.device,
        ),
    ):
        data = task_data({**frames, "test": []}, model.r_max_ang, train.eval_batch_size)
        start = assemble("scratch", train, model, data, None)
        fit(
            start,
            data,
            train,
            identity=name,
            paths=paths,
            communicator=communicator,
            stop=stop,
            step=recorded_step,
        )
        batches = batches_of(data.graphs["train"], train.eval_batch_size)
        parts = {
            "train": Part(frames["train"], batches, with_forces=True),
            "valid": Part(frames["valid"], data.valid_batches, with_forces=True),
        }
        predictions = predict(start.model, parts, communicator, stop)
        if predictions is not None:
            predictions.save(paths.predictions)
        save_model(paths.model, start.model)
    seconds = [after - before for before, after in itertools.pairwise(ends)]
    document = {"losses": [float(loss) for loss in losses], "seconds": seconds}
    (paths.folder / "steps.json").write_text(json.dumps(document))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

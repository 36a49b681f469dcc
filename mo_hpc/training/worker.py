"""One task from its files to its record: data, model, training, evaluation."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Literal

import torch

from mo_hpc.core.files import digest, sha256_file
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.record import EnergyReferences, TrainingSummary, TrainRecord
from mo_hpc.core.task import FoundationRef, NewElements, SplitSummary, TrainTask
from mo_hpc.metrics.evaluate import evaluate_predictions
from mo_hpc.metrics.predictions import Predictions
from mo_hpc.training.assembly import Assembled, assemble, cutoff_ang
from mo_hpc.training.checkpoint import save_model
from mo_hpc.training.distributed import Communicator, communicator_for
from mo_hpc.training.evaluate import Part, predict
from mo_hpc.training.fit import fit
from mo_hpc.training.foundation import (
    FoundationFile,
    donor_file,
    foundation_file,
    load_foundation,
)
from mo_hpc.training.graphs import batches_of
from mo_hpc.training.inputs import TaskData, planned_split, read_frames, task_data
from mo_hpc.training.model import count_parameters
from mo_hpc.training.new_elements import with_named_sources, with_new_elements
from mo_hpc.training.reproducible import reproducible
from mo_hpc.training.selection import Chooser
from mo_hpc.training.signals import StopFlag
from mo_hpc.training.state import TrainingState


def run_training_task(
    paths: TaskPaths, task: TrainTask, *, provenance: dict[str, Any], show_progress: bool
) -> TrainRecord | None:
    """Trains (unless zero-shot) and evaluates one task, from where its checkpoint stands.

    Writes the model, the predictions, checkpoints and progress; the caller writes the record.

    Args:
        paths: The task's files; its split is read from them.
        task: The task.
        provenance: What the record says about code and machine.
        show_progress: Whether to draw bars on stderr.

    Returns:
        The record, or None on ranks other than 0.

    Raises:
        UserError: If the configuration cannot be run.
        BadDataError: If the data differ from those the task was planned with.
        DivergedError: If the loss stops being finite.
        StopRequested: After a signal, when the state is saved.
        torch.cuda.OutOfMemoryError: If a single structure does not fit into a GPU's memory.
    """
    started = time.perf_counter()
    resources = task.resources
    n_ranks = resources.nodes * resources.tasks_per_node
    with (
        StopFlag() as stop,
        communicator_for(paths.rendezvous, resources.device, n_ranks) as communicator,
        reproducible(
            seed=task.train.seed,
            dtype=task.train.dtype,
            n_threads=resources.cpus_per_task,
            device=communicator.device,
        ),
    ):
        shown = show_progress and communicator.rank == 0
        result = _Worker(paths, task, communicator, stop, shown).run()
        if result is None:
            return None
        return _record(paths, task, result, provenance, time.perf_counter() - started)


@dataclass(frozen=True, slots=True, eq=False)
class _Result:
    """What a worker found out."""

    split: SplitSummary
    references: EnergyReferences
    foundation: FoundationRef | None
    new_elements: NewElements | None
    training: TrainingSummary | None
    n_parameters: int
    n_trainable_parameters: int
    predictions: Predictions


@dataclass(frozen=True, slots=True, eq=False)
class _Worker:
    """The stages of one task on one rank."""

    paths: TaskPaths
    task: TrainTask
    communicator: Communicator
    stop: StopFlag
    show_progress: bool

    def run(self) -> _Result | None:
        """Runs all stages; None on ranks other than 0."""
        task, file = self.task, self._foundation_file()
        donor = donor_file(self.paths, task)
        foundation = self._foundation(file, donor) if file else None
        chooser = Chooser(self.paths, task, self.communicator, self.stop)
        split, summary = chooser.resolved(planned_split(self.paths, task), foundation, file)
        data = task_data(
            read_frames(task, split),
            cutoff_ang(task.paradigm, task.model, foundation),
            task.train.eval_batch_size,
            show_progress=self.show_progress,
        )
        start = assemble(task.paradigm, task.train, task.model, data, foundation)
        model = start.model.to(self.communicator.device)
        trains = task.paradigm != "zero_shot"
        training = self._train(start, data, summary) if trains else None
        predictions = predict(
            model, self._parts(data), self.communicator, self.stop, show_progress=self.show_progress
        )
        if predictions is None:
            return None
        predictions.save(self.paths.predictions)
        if trains:
            save_model(self.paths.model, model)
        return _Result(
            summary,
            self._named(start.references),
            _opened(task.foundation, file),
            _with_opened_donor(task.new_elements, donor),
            training,
            count_parameters(model),
            count_parameters(model, trainable=True) if trains else 0,
            predictions,
        )

    def _foundation_file(self) -> FoundationFile | None:
        policy_needs_one = self.task.train.energy_reference in ("foundation", "estimated")
        if self.task.paradigm == "scratch" and not (policy_needs_one and self.task.foundation):
            return None
        return foundation_file(self.paths, self.task)

    def _foundation(self, file: FoundationFile, donor: FoundationFile | None) -> torch.nn.Module:
        """The pretrained model, with the elements that it lacks and the task gives it."""
        foundation = load_foundation(file)
        new = self.task.new_elements
        if new is None:
            return foundation
        return with_new_elements(foundation, new, load_foundation(donor) if donor else None)

    def _named(self, references: EnergyReferences) -> EnergyReferences:
        new = self.task.new_elements
        return with_named_sources(references, new) if new else references

    def _train(self, start: Assembled, data: TaskData, split: SplitSummary) -> TrainingSummary:
        state = fit(
            start,
            data,
            self.task.train,
            identity=_identity(self.task, split),
            paths=self.paths,
            communicator=self.communicator,
            stop=self.stop,
            show_progress=self.show_progress,
        )
        return _summary(state, self.task.train.learning_rate, self.communicator.world_size)

    def _parts(self, data: TaskData) -> dict[str, Part]:
        size = self.task.train.eval_batch_size
        train, test = (batches_of(data.graphs[part], size) for part in ("train", "test"))
        return {
            "train": Part(data.frames["train"], train, with_forces=False),
            "valid": Part(data.frames["valid"], data.valid_batches, with_forces=True),
            "test": Part(data.frames["test"], test, with_forces=True),
        }


def _identity(task: TrainTask, split: SplitSummary) -> str:
    """What a checkpoint is of: the task, and what it chose to train on if it did choose."""
    return task.digest if split.choice is None else digest([task.digest, split.digest])


def _opened(planned: FoundationRef | None, file: FoundationFile | None) -> FoundationRef | None:
    """The foundation as it was opened: what an earlier stage made has its hash only now."""
    if planned is None or file is None:
        return planned
    return planned.model_copy(update={"sha256": file.sha256, "n_parameters": file.n_parameters})


def _with_opened_donor(
    planned: NewElements | None, file: FoundationFile | None
) -> NewElements | None:
    if planned is None:
        return None
    return planned.model_copy(update={"donor": _opened(planned.donor, file)})


def _summary(state: TrainingState, first_rate: float, world_size: int) -> TrainingSummary:
    counters = state.counters
    stopped_by: Literal["max_epochs", "early_stopping"] = (
        "early_stopping" if counters.stopped_by == "early_stopping" else "max_epochs"
    )
    batch_size = state.sampler.batch_size
    largest_share = math.ceil(batch_size / world_size)
    found = [size for size in state.micro_batch_sizes if size is not None]
    micro_batch_size = min(found, default=largest_share)
    return TrainingSummary(
        epochs=counters.epoch,
        best_epoch=counters.best_epoch,
        steps=counters.steps,
        stopped_by=stopped_by,
        best_valid_loss=counters.best_valid_loss,
        wall_time_s=counters.wall_time_s,
        effective_batch_size=batch_size,
        micro_batch_size=micro_batch_size,
        accumulation_steps=math.ceil(largest_share / micro_batch_size),
        world_size=world_size,
        learning_rate_first=first_rate,
        learning_rate_last=state.learning_rate,
        resumed=counters.resumed,
    )


def _record(
    paths: TaskPaths,
    task: TrainTask,
    result: _Result,
    provenance: dict[str, Any],
    wall_time_s: float,
) -> TrainRecord:
    trained = result.training is not None
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
        synthetic=task.dataset.config.synthetic,
        split=result.split,
        foundation=result.foundation,
        new_elements=result.new_elements,
        seed=task.train.seed,
        energy_references=result.references,
        training=result.training,
        n_parameters=result.n_parameters,
        n_trainable_parameters=result.n_trainable_parameters,
        metrics=evaluate_predictions(result.predictions, "test"),
        valid_metrics=evaluate_predictions(result.predictions, "valid"),
        model_sha256=sha256_file(paths.model) if trained else None,
        predictions_sha256=sha256_file(paths.predictions),
        wall_time_s=wall_time_s,
        provenance=provenance,
    )

"""The model a task starts from, with the reference energies its policy asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mo_hpc.core.errors import UserError
from mo_hpc.core.record import EnergyReferences
from mo_hpc.core.schema import ModelConfig, Paradigm, TrainConfig
from mo_hpc.training.evaluate import batch_values
from mo_hpc.training.graphs import batches_of, build_graphs, collate
from mo_hpc.training.inputs import TaskData
from mo_hpc.training.model import (
    measure_scaling,
    scratch_model,
    set_reference_energies,
    sliced_foundation,
    stored_reference_energies,
)
from mo_hpc.training.reference_energies import compositions, reference_energies
from mo_hpc.training.reproducible import set_seeds
from mo_hpc.training.sampler import EpochSampler


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """What training starts from.

    Attributes:
        model: On the CPU.
        references: Its reference energies.
        sampler: Where MACE's loader stands when training starts.
    """

    model: torch.nn.Module
    references: EnergyReferences
    sampler: EpochSampler


def cutoff_ang(
    paradigm: Paradigm, model: ModelConfig | None, foundation: torch.nn.Module | None
) -> float:
    """The cutoff of the task's model: a foundation brings its own.

    Raises:
        UserError: If a scratch task has no architecture.
    """
    if foundation is not None and paradigm != "scratch":
        return float(foundation.r_max)  # type: ignore[arg-type]
    if model is None:
        raise UserError("A scratch task needs an architecture.", where="task.json: model")
    return model.r_max_ang


def assemble(
    paradigm: Paradigm,
    train: TrainConfig,
    architecture: ModelConfig | None,
    data: TaskData,
    foundation: torch.nn.Module | None,
) -> Assembled:
    """Fits the reference energies and builds the model.

    Args:
        paradigm: Zero-shot, scratch or fine-tune.
        train: Policy of reference energies, batch size and seed.
        architecture: The model of a scratch task.
        data: Frames and graphs.
        foundation: The pretrained model, where the paradigm or the policy needs one.

    Raises:
        UserError: If an element has no reference energy or the foundation lacks one.
    """
    numbers = data.atomic_numbers
    sampler = EpochSampler(len(data.graphs["train"]), train.batch_size, train.seed)
    # MACE passes over its shuffled loader twice before the first epoch.
    neighbours, forces = sampler.whole_epoch(), sampler.whole_epoch()
    references = _references(paradigm, train, data, foundation)
    if paradigm != "scratch":
        assert foundation is not None
        model = sliced_foundation(foundation, numbers)
        set_reference_energies(model, numbers, references.values_ev)
        return Assembled(model, references, sampler)
    assert architecture is not None
    graphs = data.graphs["train"]
    scaling = measure_scaling(
        [collate([graphs[index] for index in batch]) for batch in neighbours],
        [collate([graphs[index] for index in batch]) for batch in forces],
    )
    set_seeds(train.seed)
    model = scratch_model(architecture, numbers, references.values_ev, scaling)
    return Assembled(model, references, sampler)


def _references(
    paradigm: Paradigm,
    train: TrainConfig,
    data: TaskData,
    foundation: torch.nn.Module | None,
) -> EnergyReferences:
    if paradigm == "zero_shot":
        # Any other reference energies would replace the very energies that are to be tested.
        train = train.model_copy(update={"energy_reference": "foundation"})

    def residuals_ev() -> NDArray[np.float64]:
        assert foundation is not None
        return _residuals_ev(foundation, data, train.eval_batch_size)

    return reference_energies(
        train,
        compositions(data.frames["train"], data.graphs["train"], data.atomic_numbers),
        foundation_ev=stored_reference_energies(foundation) if foundation is not None else None,
        residuals_ev=residuals_ev,
    )


def _residuals_ev(
    foundation: torch.nn.Module, data: TaskData, batch_size: int
) -> NDArray[np.float64]:
    """Label minus foundation prediction of each training structure, eV."""
    frames, graphs = data.frames["train"], data.graphs["train"]
    r_max_ang = float(foundation.r_max)  # type: ignore[arg-type]
    if r_max_ang != data.r_max_ang:
        graphs = build_graphs(frames, data.atomic_numbers, r_max_ang)
    model = sliced_foundation(foundation, data.atomic_numbers)
    batches = batches_of(graphs, batch_size)
    predicted = np.concatenate([batch_values(model, batch, forces=False)[0] for batch in batches])
    labels = [float(frame.info["REF_energy"]) for frame in frames]
    return np.asarray(labels - predicted)

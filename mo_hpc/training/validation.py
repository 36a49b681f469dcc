"""The validation loss and errors: the same for every batch size and number of ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from mo_hpc.training.distributed import Communicator
from mo_hpc.training.graphs import Batch
from mo_hpc.training.loss import Objective
from mo_hpc.training.micro_batches import MicroBatches


@dataclass(frozen=True, slots=True)
class Validation:
    """Errors of the validation structures.

    Attributes:
        loss: The objective over the whole set.
        energy_mae_mev_per_atom: Mean over structures.
        force_mae_mev_per_ang_component: Mean over force components.
    """

    loss: float
    energy_mae_mev_per_atom: float
    force_mae_mev_per_ang_component: float


def validate(
    model: torch.nn.Module,
    batches: Sequence[Batch],
    objective: Objective,
    communicator: Communicator,
    micro_batches: MicroBatches,
) -> Validation:
    """Sums errors over all structures in double precision, then divides once.

    Args:
        model: The model, on the communicator's device.
        batches: All validation structures.
        objective: The loss.
        communicator: The ranks, each of which takes a share of the batches.
        micro_batches: Divides batches that do not fit into memory.

    Raises:
        torch.cuda.OutOfMemoryError: If a single structure does not fit.
    """

    def sums_of(batch: Batch) -> torch.Tensor:
        return _batch_sums(model, batch, objective)

    sums = torch.zeros(6, dtype=torch.float64, device=communicator.device)
    with frozen(model):
        for batch in communicator.share(list(batches)):
            sums += torch.stack(micro_batches.map(sums_of, batch)).sum(dim=0)
    energy, force, abs_energy, abs_force, n_structures, n_atoms = communicator.sum(sums).tolist()
    loss = objective.combine(
        torch.tensor(energy, dtype=torch.float64),
        torch.tensor(force, dtype=torch.float64),
        int(n_structures),
        int(n_atoms),
    )
    return Validation(
        loss=float(loss),
        energy_mae_mev_per_atom=1e3 * abs_energy / n_structures,
        force_mae_mev_per_ang_component=1e3 * abs_force / (3 * n_atoms),
    )


@contextmanager
def frozen(model: torch.nn.Module) -> Iterator[None]:
    """No gradients of parameters: forces need those of positions alone."""
    required = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for parameter, _ in required:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, value in required:
            parameter.requires_grad_(value)


def _batch_sums(model: torch.nn.Module, batch: Batch, objective: Objective) -> torch.Tensor:
    output = model(batch.inputs, training=False, compute_force=True)
    energy, forces = output["energy"].detach(), output["forces"].detach()
    energy_sum, force_sum = objective.sums(batch, energy, forces)
    parts = [
        energy_sum,
        force_sum,
        ((energy - batch.energy) / batch.n_atoms).abs().sum(),
        (forces - batch.forces).abs().sum(),
        torch.tensor(float(len(batch.energy))),
        torch.tensor(float(len(batch.forces))),
    ]
    return torch.stack([part.double().to(energy.device) for part in parts])

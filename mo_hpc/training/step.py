"""One evaluation of the loss and its gradients: the unit that other backends replace."""

from __future__ import annotations

from typing import Protocol

import torch

from mo_hpc.training.graphs import Batch
from mo_hpc.training.loss import Objective


class StepFunction(Protocol):
    """Adds a batch's gradients to the parameters' ``grad`` and returns its part of the loss.

    A step sees parameters and one batch and nothing else of training (no optimizer, no
    average, no ranks), so that it can be traced and compiled as a function of the two. The
    parts of all ranks sum to the loss of the whole batch.
    """

    def __call__(
        self,
        model: torch.nn.Module,
        batch: Batch,
        objective: Objective,
        *,
        n_structures: int,
        n_atoms: int,
    ) -> torch.Tensor:
        """Runs one step.

        Args:
            model: A MACE model.
            batch: This rank's share of the structures.
            objective: The loss.
            n_structures: Structures of the whole batch, over all ranks.
            n_atoms: Atoms of the whole batch, over all ranks.

        Returns:
            This share's part of the loss, detached, shape ().
        """
        ...


def eager_step(
    model: torch.nn.Module, batch: Batch, objective: Objective, *, n_structures: int, n_atoms: int
) -> torch.Tensor:
    """The step as torch runs it line by line; see `StepFunction`."""
    output = model(batch.inputs, training=True, compute_force=True)
    energy_sum, force_sum = objective.sums(batch, output["energy"], output["forces"])
    loss = objective.combine(energy_sum, force_sum, n_structures, n_atoms)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()

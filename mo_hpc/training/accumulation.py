"""A step whose batch may be larger than what fits into memory: gradients add up over parts."""

from __future__ import annotations

import torch

from mo_hpc.training.graphs import Batch
from mo_hpc.training.loss import Objective
from mo_hpc.training.micro_batches import MicroBatches
from mo_hpc.training.step import StepFunction


class AccumulatedStep:
    """A `StepFunction` that runs another one part by part where the whole does not fit.

    Each term is weighed by the whole batch, over all ranks, so the parts' gradients and losses
    sum to those of the undivided step. What happens on one rank concerns no other.

    It sets the gradients and does not add to those that are there: an attempt that fails
    leaves gradients of some parts behind, and nothing tells them from older ones.

    Args:
        step: The step of one part.
        micro_batches: Decides on the parts.
    """

    def __init__(self, step: StepFunction, micro_batches: MicroBatches) -> None:
        self._step = step
        self._micro_batches = micro_batches

    def __call__(
        self,
        model: torch.nn.Module,
        batch: Batch,
        objective: Objective,
        *,
        n_structures: int,
        n_atoms: int,
    ) -> torch.Tensor:
        """Runs one step; see `StepFunction`.

        Raises:
            torch.cuda.OutOfMemoryError: If a single structure does not fit.
        """

        def part_of_step(part: Batch) -> torch.Tensor:
            return self._step(model, part, objective, n_structures=n_structures, n_atoms=n_atoms)

        losses = self._micro_batches.map(
            part_of_step, batch, begin=lambda: model.zero_grad(set_to_none=True)
        )
        return torch.stack(losses).sum()

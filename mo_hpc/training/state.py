"""Everything that training has come to: what a checkpoint holds and a resume restores."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch_ema import ExponentialMovingAverage

from mo_hpc.training.checkpoint import random_states, set_random_states
from mo_hpc.training.optimizer import Scheduler
from mo_hpc.training.sampler import EpochSampler


@dataclass(slots=True)
class Counters:
    """Where training stands.

    Attributes:
        epoch: Epochs completed.
        in_epoch: Whether an epoch was begun and not completed.
        steps: Optimizer steps taken.
        loss_sum: Sum of the losses of this epoch's steps.
        epoch_wall_time_s: Time spent in this epoch's steps so far.
        wall_time_s: Time spent in training, over all attempts.
        best_valid_loss: Lowest validation loss.
        best_epoch: The epoch it was found after.
        validations_without_improvement: For early stopping.
        resumed: How often unfinished training was continued from a checkpoint.
        stopped_by: Why training is over; None while it is not.
    """

    epoch: int = 0
    in_epoch: bool = False
    steps: int = 0
    loss_sum: float = 0.0
    epoch_wall_time_s: float = 0.0
    wall_time_s: float = 0.0
    best_valid_loss: float = float("inf")
    best_epoch: int = 0
    validations_without_improvement: int = 0
    resumed: int = 0
    stopped_by: str | None = None


@dataclass(slots=True)
class TrainingState:
    """The changing parts of a training.

    Attributes:
        identity: Digest of the task; a checkpoint of another is refused.
        model: The model with its raw weights.
        optimizer: Holds the moments and the learning rate.
        scheduler: Lowers the learning rate.
        average: Moving average of the weights.
        sampler: The order of structures.
        counters: Where training stands.
        best_weights: Averaged weights of the best validation, on the CPU.
        micro_batch_sizes: Of each rank, the structures that fit into its GPU's memory at once;
            None where its share of a batch always did.
    """

    identity: str
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Scheduler
    average: ExponentialMovingAverage | None
    sampler: EpochSampler
    counters: Counters = field(default_factory=Counters)
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    micro_batch_sizes: list[int | None] = field(default_factory=list)

    @property
    def learning_rate(self) -> float:
        """The current learning rate."""
        return float(self.optimizer.param_groups[0]["lr"])

    def micro_batch_size_of(self, rank: int, world_size: int) -> int | None:
        """What a rank starts with: its own size, the smallest if there were other ranks."""
        if len(self.micro_batch_sizes) == world_size:
            return self.micro_batch_sizes[rank]
        return min((size for size in self.micro_batch_sizes if size is not None), default=None)

    def as_document(self) -> dict[str, Any]:
        """Plain tensors and numbers that say everything."""
        return {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            # What the average last stood in for would be a third copy of the weights.
            "average": {**self.average.state_dict(), "collected_params": None}
            if self.average
            else None,
            "sampler": self.sampler.state_dict(),
            "counters": asdict(self.counters),
            "best_weights": self.best_weights,
            "micro_batch_sizes": self.micro_batch_sizes,
            "random": random_states(),
        }

    def restore(self, document: dict[str, Any]) -> None:
        """Goes back to where `as_document` was taken."""
        self.model.load_state_dict(document["model"])
        self.optimizer.load_state_dict(document["optimizer"])
        self.scheduler.load_state_dict(document["scheduler"])
        if self.average is not None:
            self.average.load_state_dict(document["average"])
        self.sampler.load_state_dict(document["sampler"])
        self.counters = Counters(**document["counters"])
        self.best_weights = document["best_weights"]
        # Checkpoints of earlier versions have none.
        self.micro_batch_sizes = document.get("micro_batch_sizes", [])
        set_random_states(document["random"])

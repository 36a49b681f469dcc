"""The order in which training structures are drawn: that of MACE's data loader."""

from __future__ import annotations

from typing import Any

import torch


class EpochSampler:
    """Draws batches of indices as ``DataLoader(shuffle=True, drop_last=True)`` does.

    The loader draws a seed for its workers when an epoch starts, a permutation with the first
    batch, and a second permutation (of which it uses nothing) when the first is exhausted.
    Drawing the same three from a generator with the same seed gives the same order. Where
    there are fewer structures than the batch size, one batch holds them all.

    Args:
        n_structures: Number of training structures.
        batch_size: Structures in a batch, over all ranks.
        seed: Seed of the generator.
    """

    def __init__(self, n_structures: int, batch_size: int, seed: int) -> None:
        self.n_structures = n_structures
        self.batch_size = min(batch_size, n_structures)
        self._generator = torch.Generator().manual_seed(seed)
        self._order: list[int] = []
        self._position = 0

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches; a remainder smaller than a batch is left out."""
        return self.n_structures // self.batch_size

    def start_epoch(self) -> None:
        """Shuffles and goes to the first batch."""
        torch.empty((), dtype=torch.int64).random_(generator=self._generator)
        self._order = torch.randperm(self.n_structures, generator=self._generator).tolist()
        torch.randperm(self.n_structures, generator=self._generator)
        self._position = 0

    def next_batch(self) -> list[int] | None:
        """The indices of the next batch, or None at the end of the epoch."""
        if self._position >= self.batches_per_epoch:
            return None
        start = self._position * self.batch_size
        self._position += 1
        return self._order[start : start + self.batch_size]

    def whole_epoch(self) -> list[list[int]]:
        """All batches of a fresh epoch."""
        self.start_epoch()
        return [batch for _ in range(self.batches_per_epoch) if (batch := self.next_batch())]

    def state_dict(self) -> dict[str, Any]:
        """The generator, the current order and the position in it."""
        return {
            "generator": self._generator.get_state(),
            "order": torch.tensor(self._order, dtype=torch.int64),
            "position": self._position,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to where `state_dict` was taken."""
        self._generator.set_state(state["generator"])
        self._order = state["order"].tolist()
        self._position = state["position"]

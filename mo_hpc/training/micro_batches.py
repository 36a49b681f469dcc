"""As many structures at once as the GPU's memory holds, found out by trying."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import TypeVar

import torch

from mo_hpc.training.graphs import Batch

T = TypeVar("T")

# Memory that a library asks the driver for by itself fails with a plain RuntimeError.
_LIBRARY_MESSAGES = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_gpu_memory(error: RuntimeError) -> bool:
    """Whether an error says that a GPU's memory is exhausted; host memory is another matter."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(
        message in str(error) for message in _LIBRARY_MESSAGES
    )


class MicroBatches:
    """Applies work to batches, in parts where a whole one does not fit.

    A size that failed is halved and kept for later batches: memory that was short once will be
    short again, and a failed attempt costs as much time as one that succeeds.

    Args:
        purpose: What the work is, for messages, such as ``training``.
        device: Where the parts are put.
        size: Structures at once; None: whole batches.
    """

    def __init__(self, purpose: str, device: torch.device, size: int | None = None) -> None:
        self.size = size
        self._purpose = purpose
        self._device = device

    def map(
        self,
        work: Callable[[Batch], T],
        batch: Batch,
        *,
        begin: Callable[[], None] = lambda: None,
    ) -> list[T]:
        """The results of all parts of a batch, in order.

        Args:
            work: Called with each part, on the device.
            batch: The structures.
            begin: Called before the first part and again before each new attempt; drops what
                the parts of an attempt that failed have left.

        Raises:
            torch.cuda.OutOfMemoryError: If a single structure does not fit.
        """
        begin()
        while (results := self._attempt(work, batch)) is None:
            begin()
            # The failed attempt's tensors may hang in reference cycles; those that are freed
            # are kept by torch in pieces too small for what comes next.
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        return results

    def _attempt(self, work: Callable[[Batch], T], batch: Batch) -> list[T] | None:
        """All results, or None where a part did not fit.

        The new attempt must not start from here: while the error is handled, its traceback
        keeps alive all tensors that the memory was full of.
        """
        results: list[T] = []
        part = batch
        try:
            for part in batch.slices(self.size):
                results.append(work(part.to(self._device)))
        except RuntimeError as error:
            if not is_out_of_gpu_memory(error):
                raise
            self._shrink(part, error)
            return None
        return results

    def _shrink(self, part: Batch, error: RuntimeError) -> None:
        n_structures = len(part.energy)
        if n_structures == 1:
            n_atoms, n_edges = len(part.forces), part.inputs["edge_index"].shape[1]
            raise torch.cuda.OutOfMemoryError(
                f"One structure of {n_atoms} atoms with {n_edges} neighbours within the cutoff "
                f"does not fit into the memory of {self._device} ({self._purpose}). Use a GPU "
                "with more memory, a smaller model or cutoff, or resources.device=cpu."
            ) from error
        self.size = (n_structures + 1) // 2
        print(
            f"{self._purpose}: out of GPU memory with {n_structures} structures at once; going "
            f"on with {self.size} at once, which changes no result beyond rounding.",
            file=sys.stderr,
            flush=True,
        )

"""Ranks: who they are, and the few values they exchange.

Gradients are summed by one all-reduce of a flat buffer and not by DistributedDataParallel:
each rank already weighs its terms by the whole batch, so a plain sum is the single-process
gradient however unevenly the batch is shared, a rank may have no structure of a small batch,
and the loss and the stop request travel in the same message.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import torch
import torch.distributed as dist

from mo_hpc.core.errors import UserError
from mo_hpc.core.ranks import Ranks, ranks_from_environment
from mo_hpc.training.rendezvous import meet

_TIMEOUT = timedelta(minutes=30)


def choose_device(requested: str, local_rank: int) -> torch.device:
    """The device of this rank.

    Where the launcher binds a GPU to each rank (``--gpus-per-task``), a rank sees that one
    alone, as number 0; where all ranks of a node see all of its GPUs, each takes its own.

    Raises:
        UserError: If CUDA is demanded and there is none.
    """
    available = torch.cuda.is_available()
    if requested == "cuda" and not available:
        raise UserError(
            "A GPU is asked for, but torch sees none.",
            where="resources.device",
            valid=["auto", "cpu"],
            remedy="Set resources.device=cpu, or run on a node where 'nvidia-smi' lists a GPU, "
            "with a build of torch for CUDA.",
        )
    if requested == "cpu" or not available:
        return torch.device("cpu")
    return torch.device("cuda", local_rank % torch.cuda.device_count())


def device_name(device: torch.device) -> str:
    """A name that no other GPU has, whatever number it goes by; empty for a CPU."""
    if device.type != "cuda":
        return ""
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name} {properties.uuid}"


class Communicator:
    """What the ranks of a task exchange; with one rank it does nothing.

    Args:
        ranks: This process among the others.
        device: Where tensors live; decides between nccl and gloo.
        rendezvous: The file through which the ranks find each other.
    """

    def __init__(self, ranks: Ranks, device: torch.device, rendezvous: Path) -> None:
        self.rank = ranks.rank
        self.world_size = ranks.world_size
        self.device = device
        self._ranks = ranks
        self._rendezvous = rendezvous

    def __enter__(self) -> Self:
        """Meets the other ranks."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.world_size > 1:
            dist.init_process_group(
                "nccl" if self.device.type == "cuda" else "gloo",
                store=meet(self._ranks, self._rendezvous, device_name(self.device)),
                rank=self.rank,
                world_size=self.world_size,
                timeout=_TIMEOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the other ranks."""
        if self.world_size > 1:
            dist.destroy_process_group()

    def share(self, items: list[Any]) -> list[Any]:
        """This rank's part of a list."""
        return items[self.rank :: self.world_size]

    def sum_step(
        self,
        parameters: list[torch.nn.Parameter],
        loss: torch.Tensor,
        *,
        stop: bool,
        failed: bool,
    ) -> tuple[torch.Tensor, bool, bool]:
        """Sums gradients and loss over ranks.

        Returns:
            The loss; whether any rank was asked to stop; whether any rank failed.
        """
        if self.world_size == 1:
            return loss, stop, failed
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        # A parameter without a gradient anywhere must stay so: Adam would decay it.
        present = torch.tensor(
            [float(p.grad is not None) for p in parameters] + [float(stop), float(failed)],
            dtype=loss.dtype,
            device=loss.device,
        )
        flat = torch.cat([g.reshape(-1) for g in gradients] + [present, loss.reshape(1)])
        dist.all_reduce(flat)
        tail = flat[-len(present) - 1 : -1].tolist()
        offset = 0
        for parameter, ranks_with_gradient in zip(parameters, tail, strict=False):
            part = flat[offset : offset + parameter.numel()]
            parameter.grad = part.view_as(parameter) if ranks_with_gradient else None
            offset += parameter.numel()
        return flat[-1], bool(tail[-2]), bool(tail[-1])

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sums a tensor over ranks."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def any(self, condition: bool) -> bool:
        """Whether a condition holds on any rank."""
        return bool(self.sum(torch.tensor(float(condition), device=self.device)))

    def gather(self, value: Any) -> list[Any] | None:
        """The values of all ranks, on rank 0."""
        if self.world_size == 1:
            return [value]
        gathered = [None] * self.world_size if self.rank == 0 else None
        dist.gather_object(value, gathered)
        return gathered

    def from_first(self, value: Any) -> Any:
        """The value of rank 0, on every rank; what the others give is not looked at."""
        if self.world_size == 1:
            return value
        shared = [value if self.rank == 0 else None]
        dist.broadcast_object_list(shared, src=0)
        return shared[0]

    def broadcast(self, tensors: Iterable[torch.Tensor]) -> None:
        """Gives every rank the tensors of rank 0."""
        if self.world_size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)


def communicator_for(rendezvous: Path, requested_device: str, n_ranks: int) -> Communicator:
    """The communicator of a task, from the environment it was started in.

    Args:
        rendezvous: The file through which the ranks find each other.
        requested_device: ``auto``, ``cpu`` or ``cuda``.
        n_ranks: Ranks that the task's resources ask for.
    """
    ranks = ranks_from_environment(os.environ, n_ranks)
    return Communicator(ranks, choose_device(requested_device, ranks.local_rank), rendezvous)

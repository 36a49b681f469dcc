"""What this machine can carry at once: cores and GPUs, handed out to tasks."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import Resources
from mo_hpc.core.provenance import gpu_names


def n_ranks(resources: Resources) -> int:
    """Number of cooperating processes of a task."""
    return resources.nodes * resources.tasks_per_node


def n_cores() -> int:
    """Number of cores this process may use: those it is bound to, and of a job its share."""
    bound = len(os.sched_getaffinity(0))
    # Not every site binds the processes of a job to its cores.
    return min(bound, int(os.environ.get("SLURM_CPUS_ON_NODE") or bound))


def visible_gpus() -> list[str]:
    """Names of the GPUs this process may use, as CUDA_VISIBLE_DEVICES takes them."""
    restricted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if restricted is None:
        return [str(index) for index in range(len(gpu_names()))]
    return [name for name in restricted.split(",") if name and name != "-1"]


@dataclass(slots=True)
class Machine:
    """What of this machine is free: cores, or slots where their number was given, and GPUs.

    Attributes:
        capacity: Cores of the machine, or the number of slots.
        by_slot: True: a task takes one slot, however many cores it wants.
        gpus: Its GPUs.
        share_gpus: True: tasks may use a GPU together; the least used ones are taken first.
    """

    capacity: int
    by_slot: bool
    gpus: list[str]
    share_gpus: bool = False
    _free: int = field(init=False)
    _users: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        self._free = self.capacity
        self._users = Counter()

    @property
    def n_gpus(self) -> int:
        """Number of GPUs, used or not."""
        return len(self.gpus)

    @classmethod
    def of_this_host(cls, slots: int | None) -> Machine:
        """The whole machine.

        Args:
            slots: Tasks at once; None: as many as the cores carry.
        """
        return cls(slots or n_cores(), by_slot=slots is not None, gpus=visible_gpus())

    def require(self, wanted: Sequence[Resources]) -> None:
        """Checks that each task fits when nothing else runs.

        Raises:
            UserError: If a task asks for more GPUs than there are.
        """
        most = max((each.nodes * each.gpus_per_node for each in wanted), default=0)
        if most > self.n_gpus:
            raise UserError(
                f"A task asks for {most} GPUs and this machine offers {self.n_gpus}.",
                where="resources.gpus_per_node",
                remedy="Set resources.gpus_per_node=0 for the CPU, or use executor=slurm.",
            )

    def is_too_small(self, resources: Resources) -> bool:
        """True for a task that asks for more cores than there are and runs alone with those."""
        return not self.by_slot and _cores(resources) > self.capacity

    def take(self, resources: Resources) -> list[str] | None:
        """Takes a task's cores (or a slot) and its GPUs.

        Returns:
            The GPUs (none on a machine without), or None if the task does not fit now.
        """
        count, cost = self._gpus_for(resources), self._cost(resources)
        usable = [gpu for gpu in self.gpus if self.share_gpus or not self._users[gpu]]
        if cost > self._free or count > len(usable):
            return None
        self._free -= cost
        taken = sorted(usable, key=self._users.__getitem__)[:count]
        self._users.update(taken)
        return taken

    def give_back(self, resources: Resources, gpus: list[str]) -> None:
        """Returns what `take` gave."""
        self._free += self._cost(resources)
        self._users.subtract(gpus)

    def _cost(self, resources: Resources) -> int:
        """Cores of a task; one that wants more than there are runs alone."""
        return 1 if self.by_slot else min(_cores(resources), self.capacity)

    def _gpus_for(self, resources: Resources) -> int:
        """One GPU for each rank where there are any, unless the task is for the CPU."""
        if resources.device == "cpu":
            return 0
        return min(n_ranks(resources), self.n_gpus)


def _cores(resources: Resources) -> int:
    return n_ranks(resources) * resources.cpus_per_task

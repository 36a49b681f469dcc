"""What Slurm's accounting says about the cost of a run, where a site keeps one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mo_hpc.core.paths import RunPaths
from mo_hpc.executors.failures.evidence import AttemptAccount
from mo_hpc.executors.slurm.commands import SlurmSilent, ask
from mo_hpc.executors.slurm.ledger import Ledger
from mo_hpc.watch.cost import Cost
from mo_hpc.watch.wording import amounts

_TIMEOUT_S = 20
_FIELDS = "JobID,ElapsedRaw,AllocTRES,MaxRSS"
_N_FIELDS = 4
_S_PER_HOUR = 3600
_KIB = {"": 1 / 1024, "K": 1, "M": 1024, "G": 1024**2, "T": 1024**3}
_KIB_PER_GB = 1024**2


@dataclass(frozen=True, slots=True)
class Held:
    """What an array element, or several, held and used.

    Attributes:
        cost: Over all starts.
        memory_gb: The most that a process of it had; 0 where that was not measured.
    """

    cost: Cost = field(default_factory=Cost)
    memory_gb: float = 0.0

    def __add__(self, other: Held) -> Held:
        return Held(self.cost + other.cost, max(self.memory_gb, other.memory_gb))

    def sentence(self) -> str:
        """For people."""
        memory = f"; at most {self.memory_gb:.3g} GB of memory" if self.memory_gb else ""
        return f"Slurm's accounting: {amounts(self.cost)}{memory}."

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "core_hours": round(self.cost.core_hours, 6),
            "gpu_hours": round(self.cost.gpu_hours, 6),
            "max_memory_gb": self.memory_gb or None,
        }


@dataclass(frozen=True, slots=True)
class Usage:
    """What the jobs of a run held, by element (``<array id>_<index>``) or job."""

    elements: Mapping[str, Held]

    @property
    def total(self) -> Held:
        """Over all of them, the job that follows the arrays among them."""
        return sum(self.elements.values(), Held())

    def of_task(self, attempts: Iterable[AttemptAccount]) -> Held | None:
        """What the elements held that ran a task, with what else ran in them."""
        names = {f"{each.job}_{each.index}" for each in attempts if each.job}
        known = [self.elements[name] for name in sorted(names) if name in self.elements]
        return sum(known, Held()) if known else None


def ask_accounting(run: RunPaths) -> Usage | None:
    """Asks `sacct` once about all jobs of a run; None where it does not answer."""
    jobs = [each.job_id for each in Ledger(run).submissions() if each.job_id]
    if not jobs:
        return None
    command = ("sacct", "-n", "-P", "--duplicates", "-j", ",".join(jobs), "-o", _FIELDS)
    try:
        answer = ask(*command, timeout_s=_TIMEOUT_S)
    except SlurmSilent:
        return None
    return _usage(answer) if answer.strip() else None


def _usage(answer: str) -> Usage:
    elements: defaultdict[str, Held] = defaultdict(Held)
    for line in answer.splitlines():
        fields = line.split("|")
        if len(fields) != _N_FIELDS:
            continue
        job, elapsed, tres, memory = fields
        element, _, step = job.partition(".")
        if step:
            elements[element] += Held(memory_gb=_gigabytes(memory))
        elif elapsed.isdigit():
            hours = int(elapsed) / _S_PER_HOUR
            cost = Cost(hours * _held(tres, "cpu"), hours * _held(tres, "gres/gpu"))
            elements[element] += Held(cost)
    return Usage(elements)


def _held(tres: str, name: str) -> int:
    """Such as 4 for ``cpu`` in ``billing=4,cpu=4,gres/gpu=1,node=1``."""
    found = re.search(rf"(?:^|,){re.escape(name)}=(\d+)", tres)
    return int(found[1]) if found else 0


def _gigabytes(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)([KMGT]?)", text)
    return float(found[1]) * _KIB[found[2]] / _KIB_PER_GB if found else 0.0

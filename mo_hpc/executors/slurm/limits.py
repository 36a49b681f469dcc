"""What the cluster allows, as it reports it: array size, jobs per user, time and memory."""

from __future__ import annotations

import getpass
import re
from dataclasses import dataclass

from mo_hpc.core.execution import SiteConfig
from mo_hpc.executors.slurm.commands import ask_or_none

_MIN_PER_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Limits:
    """What a submission has to fit; None where the cluster sets or reports no limit.

    Attributes:
        array_size: Elements of one array.
        submit: Jobs and array elements that the user may have in the queue.
        time_min: Time limit of the partition.
        memory_gb: Memory of the partition's largest node.
        nodes: Names of the partition's nodes.
    """

    array_size: int | None = None
    submit: int | None = None
    time_min: int | None = None
    memory_gb: float | None = None
    nodes: frozenset[str] = frozenset()


def cluster_limits(site: SiteConfig) -> Limits:
    """Asks Slurm for what the site's own settings leave open."""
    partition = _partition(site.partition)
    sizes_gb = _node_sizes_gb(partition.get("PartitionName"))
    return Limits(
        array_size=site.max_array_size or _array_size(),
        submit=site.max_submit or _submit(site),
        time_min=minutes(partition.get("MaxTime", "")),
        memory_gb=max(sizes_gb.values(), default=None),
        nodes=frozenset(sizes_gb),
    )


def selectable_nodes(site: SiteConfig, limits: Limits) -> frozenset[str]:
    """The nodes among which Slurm may choose; none where the site names them itself."""
    if "nodelist" in site.sbatch:
        return frozenset()
    excluded = str(site.sbatch.get("exclude", ""))
    names = ask_or_none("scontrol", "show", "hostnames", excluded) if excluded else ""
    return limits.nodes.difference((names or "").split())


def _array_size() -> int | None:
    """Slurm limits the index, so an array from 0 has as many elements as MaxArraySize."""
    shown = ask_or_none("scontrol", "show", "config") or ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", shown, re.MULTILINE)
    return int(found[1]) if found else None


def _submit(site: SiteConfig) -> int | None:
    """The smallest limit among the user's associations, where accounting knows any."""
    where = [f"user={getpass.getuser()}"]
    if site.account:
        where.append(f"account={site.account}")
    command = ("sacctmgr", "-n", "-P", "show", "assoc", *where, "format=MaxSubmitJobs")
    listed = (ask_or_none(*command) or "").split()
    return min((int(word) for word in listed if word.isdigit()), default=None)


def _partition(name: str | None) -> dict[str, str]:
    """What Slurm says of the site's partition, or of the cluster's default; empty if nothing."""
    chosen = [name] if name else []
    lines = (ask_or_none("scontrol", "-o", "show", "partition", *chosen) or "").splitlines()
    line = next((line for line in lines if name or " Default=YES" in line), "")
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def _node_sizes_gb(partition: str | None) -> dict[str, float]:
    """Name → memory of the nodes of a partition, or of all."""
    chosen = ["-p", partition] if partition else []
    lines = (ask_or_none("sinfo", "-h", "-N", *chosen, "-o", "%N %m") or "").splitlines()
    pairs = (line.split() for line in lines)
    return {name: int(size.rstrip("+")) / 1024 for name, size in pairs}


def minutes(text: str) -> int | None:
    """Whole minutes of a time as Slurm writes it (``D-HH:MM:SS``, ``MM:SS`` …); None: no limit."""
    if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", text):
        return None
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if days:
        hours, mins = (*parts, 0)[:2]
        return int(days) * _MIN_PER_DAY + hours * 60 + mins
    if len(parts) == 3:  # noqa: PLR2004 - hours, minutes, seconds
        return parts[0] * 60 + parts[1]
    return parts[0]

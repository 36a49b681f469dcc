"""Does the site's partition have what a task asks for?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from mo_hpc.core.execution import Resources, SiteConfig
from mo_hpc.executors.checkup.cluster import Cluster, Node
from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.executors.slurm.limits import minutes

_GROUP = Group("Partition")


def partition_findings(
    cluster: Cluster, site: SiteConfig, resources: Resources
) -> Iterator[Finding]:
    """The partition and, where it exists, each thing that a task asks of it."""
    name = site.partition or cluster.default_partition()
    told = cluster.partitions.get(name or "")
    if name is None or told is None:
        yield _no_partition(name, cluster)
        return
    nodes = cluster.nodes_of(name)
    yield _state(name, told, nodes)
    yield _time(name, told, site, resources)
    if nodes:
        yield _node_count(name, told, nodes, resources)
        yield _cores(name, nodes, resources)
        yield _memory(name, nodes, resources)
        yield _gpus(name, nodes, resources)
        yield _constraint(name, nodes, site)


def _no_partition(name: str | None, cluster: Cluster) -> Finding:
    valid = ", ".join(cluster.partitions) or "none"
    found = f"there is no partition '{name}'" if name else "the cluster has no default partition"
    return _GROUP.problem(
        "partition", f"{found}; there are: {valid}", "Set site.partition to one of these."
    )


def _state(name: str, told: Mapping[str, str], nodes: Sequence[Node]) -> Finding:
    n_up = sum(node.in_service for node in nodes)
    found = f"{name} is {told.get('State', 'UNKNOWN')}, {n_up} of {len(nodes)} nodes in service"
    if told.get("State") != "UP" or not n_up:
        return _GROUP.problem(
            "partition", found, "Jobs would wait; choose another site.partition ('sinfo')."
        )
    return _GROUP.ok("partition", found)


def _time(name: str, told: Mapping[str, str], site: SiteConfig, resources: Resources) -> Finding:
    most = minutes(told.get("MaxTime", ""))
    limit = "none" if most is None else f"{most} min"
    found = f"a task gets {resources.time_min} min; limit of {name}: {limit}"
    if most is not None and resources.time_min > most:
        return _GROUP.problem(
            "time limit",
            found,
            f"Set resources.time_min to {most} or less; a task goes on where it stopped.",
        )
    if site.signal_before_end_s >= 60 * resources.time_min:
        return _GROUP.problem(
            "time limit",
            f"a task gets {resources.time_min} min and is to stop {site.signal_before_end_s} s "
            "before",
            "Raise resources.time_min, or lower site.signal_before_end_s.",
        )
    return _GROUP.ok("time limit", found)


def _node_count(
    name: str, told: Mapping[str, str], nodes: Sequence[Node], resources: Resources
) -> Finding:
    allowed = told.get("MaxNodes", "")
    most = min(len(nodes), int(allowed) if allowed.isdigit() else len(nodes))
    found = f"a task gets {resources.nodes} of at most {most} in {name}"
    if resources.nodes > most:
        return _GROUP.problem("nodes", found, f"Set resources.nodes to {most} or less.")
    return _GROUP.ok("nodes", found)


def _cores(name: str, nodes: Sequence[Node], resources: Resources) -> Finding:
    wanted = resources.tasks_per_node * resources.cpus_per_task
    most = max(node.cores for node in nodes)
    found = f"{wanted} on a node; the largest of {name} has {most}"
    if wanted > most:
        return _GROUP.problem(
            "cores", found, "Lower resources.cpus_per_task or resources.tasks_per_node."
        )
    return _GROUP.ok("cores", found)


def _memory(name: str, nodes: Sequence[Node], resources: Resources) -> Finding:
    most = max(node.memory_gb for node in nodes)
    found = f"{resources.memory_gb:g} GB on a node; the largest of {name} has {most:.1f} GB"
    if resources.memory_gb > most:
        return _GROUP.problem("memory", found, f"Set resources.memory_gb to {int(most)} or less.")
    return _GROUP.ok("memory", found)


def _gpus(name: str, nodes: Sequence[Node], resources: Resources) -> Finding:
    most = max(node.gpus for node in nodes)
    has = f"{most} on a node of {name}" if most else f"{name} has none"
    if resources.gpus_per_node > most:
        remedy = f"Set resources.gpus_per_node to {most}, or choose a partition that has them"
        return _GROUP.problem(
            "GPUs",
            f"{resources.gpus_per_node} asked for; {has}",
            f"{remedy} ('sinfo -o \"%P %G\"').",
        )
    return _GROUP.ok("GPUs", f"{resources.gpus_per_node or 'none'} asked for; {has}")


def _constraint(name: str, nodes: Sequence[Node], site: SiteConfig) -> Finding:
    if site.constraint is None:
        return _GROUP.ok("constraint", "none asked for")
    known = frozenset[str]().union(*(node.features for node in nodes))
    # A constraint combines features by & | ( ) [ ] and may count nodes (a100*2).
    asked = re.findall(r"[\w.:+-]+", re.sub(r"\*\d+", "", site.constraint))
    unknown = [feature for feature in asked if feature not in known]
    if unknown:
        valid = ", ".join(sorted(known)) or "none"
        return _GROUP.problem(
            "constraint",
            f"no node of {name} has {', '.join(unknown)}; features there: {valid}",
            "Set site.constraint to features that 'sinfo -o \"%N %f\"' lists, or leave it out.",
        )
    return _GROUP.ok("constraint", f"{site.constraint} is known in {name}")

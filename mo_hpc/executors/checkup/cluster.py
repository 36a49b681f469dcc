"""What the cluster says of itself: its settings, partitions and nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mo_hpc.executors.slurm.commands import ask

_NODE_FORMAT = "%N|%P|%c|%m|%G|%f|%T"
_IN_SERVICE = re.compile(r"(idle|mixed|allocated|completing|planned|reserved)[^*]*$")
_GPUS = re.compile(r"\bgpu(?::[A-Za-z][\w.-]*)?:(\d+)")


@dataclass(frozen=True, slots=True)
class Node:
    """One node of one partition.

    Attributes:
        partition: The partition.
        name: The node.
        cores: Cores that jobs may use.
        memory_gb: Memory that jobs may use.
        gpus: Number of its GPUs.
        features: What `constraint` may ask for.
        in_service: True if it runs jobs or could.
    """

    partition: str
    name: str
    cores: int
    memory_gb: float
    gpus: int
    features: frozenset[str]
    in_service: bool


@dataclass(frozen=True, slots=True)
class Cluster:
    """Settings and partitions as `scontrol` names them, nodes as `sinfo` lists them."""

    settings: Mapping[str, str]
    partitions: Mapping[str, Mapping[str, str]]
    nodes: Sequence[Node]

    def default_partition(self) -> str | None:
        """The partition of jobs that name none."""
        names = self.partitions.items()
        return next((name for name, told in names if told.get("Default") == "YES"), None)

    def nodes_of(self, partition: str) -> list[Node]:
        """The nodes of a partition."""
        return [node for node in self.nodes if node.partition == partition]


def read_cluster() -> Cluster:
    """Asks Slurm, with three commands in all.

    Raises:
        SlurmSilent: If it does not answer.
    """
    shown = ask("scontrol", "show", "config")
    partitions = [_words(line) for line in ask("scontrol", "-o", "show", "partition").splitlines()]
    listed = ask("sinfo", "-h", "-N", "-o", _NODE_FORMAT).splitlines()
    return Cluster(
        settings=dict(re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", shown, re.MULTILINE)),
        partitions={told["PartitionName"]: told for told in partitions if "PartitionName" in told},
        nodes=[_node(line) for line in listed],
    )


def seconds(setting: str | None) -> int | None:
    """The number in a setting such as ``30 sec``; None where there is none."""
    found = re.match(r"\d+", setting or "")
    return int(found[0]) if found else None


def _words(line: str) -> dict[str, str]:
    """``Key=value`` words of a line; the last word of a key wins."""
    pairs = (word.partition("=") for word in line.split())
    return {key: value for key, separator, value in pairs if separator}


def _node(line: str) -> Node:
    name, partition, cores, memory_mb, gres, features, state = line.split("|")
    return Node(
        partition=partition.rstrip("*"),
        name=name,
        cores=int(cores.rstrip("+")),
        memory_gb=int(memory_mb.rstrip("+")) / 1024,
        gpus=sum(int(number) for number in _GPUS.findall(gres)),
        features=frozenset(features.split(",")) - {"(null)", ""},
        in_service=_IN_SERVICE.match(state) is not None,
    )

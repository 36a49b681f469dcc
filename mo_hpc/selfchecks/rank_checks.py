"""Two ranks that share a batch: their gradients are those of one process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.selfchecks.children import run_ranks

# Of the largest gradient. In double precision another order of summation leaves 1e-14.
_SAME = 1e-9
_LIBRARIES = {"cpu": "gloo", "cuda": "nccl"}


def rank_finding(group: Group, folder: Path, device: str) -> Finding:
    """Two ranks against one.

    Args:
        group: The heading.
        folder: For the demo's data and the gradients.
        device: ``cpu``, or ``cuda`` where each rank has a GPU of its own.
    """
    name = f"2 ranks, {_LIBRARIES[device]}"
    gradients = []
    for n_ranks in (1, 2):
        file = folder / f"gradients-{device}-{n_ranks}.npz"
        words = [str(folder / "cache"), str(file), device, str(n_ranks)]
        ended = run_ranks("mo_hpc.selfchecks.rank_program", words, n_ranks)
        failed = [each for each in ended if each.code != 0]
        if failed:
            who = f"with {n_ranks} ranks" if n_ranks > 1 else "alone"
            return group.problem(
                name,
                f"the program failed {who}; {failed[0].why}",
                "Ranks of one node talk over the loopback interface: see GLOO_SOCKET_IFNAME, "
                "NCCL_SOCKET_IFNAME and, with NCCL_DEBUG=INFO, what NCCL says.",
            )
        with np.load(file) as arrays:
            gradients.append(dict(arrays))
    return compared(group, name, *gradients)


def compared(
    group: Group,
    name: str,
    one: Mapping[str, NDArray[Any]],
    two: Mapping[str, NDArray[Any]],
) -> Finding:
    """Whether two sets of gradients are the same."""
    scale = max((float(np.abs(values).max()) for values in one.values()), default=0.0)
    if one.keys() != two.keys() or scale == 0.0:
        missing = sorted(one.keys() ^ two.keys())
        return group.problem(
            name,
            f"gradients are missing: {', '.join(missing) or 'all are zero'}",
            "Install requirements.lock into a fresh environment, or build the image anew.",
        )
    difference = max(float(np.abs(two[key] - one[key]).max()) for key in one) / scale
    found = (
        f"{len(one) - 1} gradients differ from those of one process by {difference:.0e} of the "
        "largest"
    )
    if difference < _SAME:
        return group.ok(name, found)
    return group.problem(
        name, found, "Training on several ranks would be wrong here: use one GPU for each task."
    )


def rank_findings(group: Group, folder: Path, n_gpus: int) -> Iterator[Finding]:
    """On the CPU, and on two GPUs where they are."""
    yield rank_finding(group, folder, "cpu")
    if n_gpus > 1:
        yield rank_finding(group, folder, "cuda")
    else:
        found = "one GPU here" if n_gpus else "no GPU here"
        yield group.not_checked("2 ranks, nccl", f"{found}; it takes two")

"""Folders and shared memory: what a task needs of the places it is given."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from mo_hpc.core.paths import default_data_root
from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.executors.checkup.folder_checks import data_finding, nearest, root_findings

_IN_MEMORY = ("tmpfs", "ramfs", "overlay", "fuse-overlayfs")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps it
_LITTLE_SHARED_MEMORY = 512 * 2**20


def place_findings(group: Group, folder: Path) -> Iterator[Finding]:
    """The folder of runs, the data root and shared memory.

    Args:
        group: The heading of shared memory.
        folder: Where runs would lie.
    """
    yield from root_findings("runs_root", folder)
    if in_container():
        yield lasting(Group("Folders, seen from here"), folder, Path("/proc/self/mountinfo"))
    yield data_finding(default_data_root())
    yield shared_memory(group, _SHARED_MEMORY)


def in_container() -> bool:
    """Whether Apptainer started this process."""
    return "APPTAINER_CONTAINER" in os.environ or "SINGULARITY_CONTAINER" in os.environ


def lasting(group: Group, folder: Path, mounts: Path) -> Finding:
    """Whether a folder is one of the host's, and not a layer that ends with the container.

    Args:
        group: The heading.
        folder: The folder.
        mounts: The kernel's list of mounts, in the format of ``/proc/self/mountinfo``.
    """
    place = nearest(folder).resolve()
    kind, point = _file_system(place, mounts)
    found = f"{point} is {kind}"
    if kind in _IN_MEMORY:
        return group.warning(
            "runs_root outside",
            f"{found}: what is written to {place} may end with the container",
            f"Bind the folder: apptainer exec --bind {place} …; launch does it by itself.",
        )
    return group.ok("runs_root outside", found)


def _file_system(place: Path, mounts: Path) -> tuple[str, str]:
    """Kind and mount point of the file system that a folder lies on."""
    best = ("unknown", "/")
    for line in mounts.read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), before.split()[4])
        inside = place == Path(point) or Path(point) in place.parents
        # Of two mounts on one point the later covers the earlier.
        if inside and len(point) >= len(best[1]):
            best = (after.split()[0], point)
    return best


def shared_memory(group: Group, folder: Path) -> Finding:
    """Whether ranks of one node can exchange data through memory."""
    if not folder.is_dir():
        return group.warning(
            "shared memory", f"there is no {folder}", "Start the container with --bind /dev/shm."
        )
    size = shutil.disk_usage(folder).total
    found = f"{folder}: {size / 2**30:.1f} GiB"
    if not os.access(folder, os.W_OK) or size < _LITTLE_SHARED_MEMORY:
        return group.warning(
            "shared memory",
            f"{found}, little or not writable",
            "NCCL and MPI use it between ranks of a node: with Docker set --shm-size=1g.",
        )
    return group.ok("shared memory", found)

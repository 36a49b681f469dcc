"""Can this machine write where runs, indices and datasets lie?"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mo_hpc.core.schema import RunConfig
from mo_hpc.data.location import resolve_roots
from mo_hpc.executors.checkup.finding import Finding, Group

_GROUP = Group("Folders, seen from here")
_LITTLE_SPACE_GB = 10
_FEW_FILES = 100_000


def folder_findings(config: RunConfig) -> Iterator[Finding]:
    """The roots of runs, cache and data, as this machine sees them."""
    runs_root = Path(config.runs_root).absolute()
    data_root, cache_root = resolve_roots(config.data_root, config.cache_root)
    yield from root_findings("runs_root", runs_root)
    yield from root_findings("cache_root", cache_root)
    yield data_finding(data_root)


def root_findings(name: str, folder: Path) -> Iterator[Finding]:
    """Whether a folder that a launch writes to can be written, with room and locks."""
    writable = _writable(name, folder)
    yield writable
    if writable.verdict == "ok":
        yield _space(f"{name} space", nearest(folder))
        yield _locks(f"{name} locks", nearest(folder))


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def _writable(name: str, folder: Path) -> Finding:
    """A folder need not exist yet; then the one above it has to be writable."""
    place = nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return _GROUP.problem(
            name,
            f"{place} cannot be written: {error.strerror}",
            f"Set {name}=DIR to a folder of yours that the compute nodes see.",
        )
    blocked = next((each for each in (folder, *folder.parents) if each.exists()), place)
    if not blocked.is_dir():
        return _GROUP.problem(
            name, f"{blocked} is a file", f"Set {name}=DIR to a folder, or rename the file."
        )
    made = "" if folder.is_dir() else " (made at the first launch)"
    return _GROUP.ok(name, f"{folder}{made}")


def _space(name: str, folder: Path) -> Finding:
    free_gb = shutil.disk_usage(folder).free / 1e9
    told = os.statvfs(folder)
    # File systems without a fixed number of inodes report none at all.
    few = told.f_files > 0 and told.f_favail < _FEW_FILES
    files = f", room for {told.f_favail} files" if told.f_files else ""
    found = f"{free_gb:.0f} GB free{files}"
    if free_gb < _LITTLE_SPACE_GB or few:
        return _GROUP.warning(
            name,
            found,
            "A task keeps a model and checkpoints, some 10 to 500 MB, in about 20 files; free "
            "space, or set another root.",
        )
    return _GROUP.ok(name, found)


def _locks(name: str, folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return _GROUP.warning(
            name,
            f"flock fails below {folder}: {error.strerror}",
            "Use a file system with locks (Lustre: mount option flock); until then do not "
            "launch the same run twice at a time.",
        )
    return _GROUP.ok(name, "flock works here")


def data_finding(data_root: Path) -> Finding:
    """Whether datasets can be read."""
    if data_root.is_dir() and os.access(data_root, os.R_OK | os.X_OK):
        return _GROUP.ok("data_root", str(data_root))
    return _GROUP.warning(
        "data_root",
        f"{data_root} is not a folder that you can read",
        "Set data_root=DIR or $MO_HPC_DATA; without it only generated datasets (demo) are here.",
    )

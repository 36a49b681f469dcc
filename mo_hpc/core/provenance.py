"""Where a record comes from: code, library versions, machine and job.

Only named facts are collected; the environment is never copied, because it may hold secrets.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import socket
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import mo_hpc
from mo_hpc.core.files import sha256_file
from mo_hpc.core.installation import build_account, checkout, lock_file

_LIBRARIES = ("torch", "mace-torch", "e3nn", "numpy", "ase")
_SLURM_VARIABLES = {
    "job_id": "SLURM_JOB_ID",
    "array_job_id": "SLURM_ARRAY_JOB_ID",
    "array_task_id": "SLURM_ARRAY_TASK_ID",
    "restart_count": "SLURM_RESTART_COUNT",
    "partition": "SLURM_JOB_PARTITION",
    "nodes": "SLURM_JOB_NODELIST",
}
_COMMAND_TIMEOUT_S = 20


def provenance() -> dict[str, Any]:
    """What a record states about its origin; `started` is the moment of the call (UTC)."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return {
        "started": utc_now(),
        "threads": int(threads) if threads.isdigit() else None,
        "slurm": slurm_job(),
        **_code(),
        "machine": _machine(),
    }


def made_in() -> str | None:
    """The image this process is in: its sha256, else the id of its build; None outside of any.

    An image that a person started does not know its own digest.
    """
    told: str | None = _code()["image_sha256"]
    built: str | None = _code()["build_id"]
    return told or (f"build {built}" if built else None)


def utc_now() -> str:
    """The time now, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def slurm_job() -> dict[str, str] | None:
    """Ids of the Slurm job this process runs in, or None outside one."""
    if "SLURM_JOB_ID" not in os.environ:
        return None
    found = {name: os.environ.get(variable) for name, variable in _SLURM_VARIABLES.items()}
    return {name: value for name, value in found.items() if value is not None}


@functools.cache
def gpu_names() -> tuple[str, ...]:
    """Names of the machine's NVIDIA GPUs, in the order of their indices."""
    listing = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return tuple(line.strip() for line in (listing or "").splitlines() if line.strip())


@functools.cache
def _code() -> dict[str, Any]:
    built = build_account()
    return {
        "mo_hpc": mo_hpc.__version__,
        "git": _git(),
        "lock_sha256": (built and built.lock_sha256) or _lock_sha256(),
        "image_sha256": os.environ.get("MO_HPC_IMAGE_SHA256"),
        "build_id": built.id if built else None,
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }


def _git() -> dict[str, Any] | None:
    """Commit, and whether tracked files differ from it: of the checkout, else as built."""
    folder, built = checkout(), build_account()
    if built is not None and built.commit is not None:
        return {"commit": built.commit, "dirty": built.dirty}
    if folder is None or not (folder / ".git").exists():
        return None
    commit = _output("git", "-C", str(folder), "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _output("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": changes != ""}


def _lock_sha256() -> str | None:
    lock = lock_file()
    return sha256_file(lock) if lock else None


@functools.cache
def _machine() -> dict[str, Any]:
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    return {
        "node": socket.gethostname(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(page_bytes * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpus": list(gpu_names()),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _output(*command: str) -> str | None:
    """What a command prints, or None where it is absent or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_COMMAND_TIMEOUT_S
        )
    except (subprocess.SubprocessError, OSError):
        return None
    return done.stdout.strip()

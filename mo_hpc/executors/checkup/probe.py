"""Run on a compute node by the site's Python: writes down what is there, as JSON.

It needs nothing but Python and this package, so that it can say what is missing; torch is
imported only to ask it for GPUs. The report is printed as well: if it comes back that way
and not as a file, the folder is not visible where Python runs.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

import mo_hpc
from mo_hpc.core.installation import code_sha256

PROBE_SCHEMA_VERSION = 1
WORD = "word"
"""Holds a random word of the host's."""

LOCK = "lock"
"""The host holds it while the probe runs."""

REPORT = "probe_report.json"
SIGNAL = "probe_signal.json"
"""When the probe was asked to stop, if it was."""

PRINTED = "mo_hpc-probe: "
"""Begins the line of the log that holds the report."""

PACKAGES = (
    "mo_hpc",
    "torch",
    "mace-torch",
    "e3nn",
    "ase",
    "numpy",
    "pydantic",
    "hydra-core",
    "submitit",
)
_SIGNAL_PATIENCE_S = 30
_PAUSE_S = 0.1


def main(arguments: Sequence[str]) -> int:
    """Writes and prints the report, then waits for SIGUSR2 and writes when it came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the host's files")
    parser.add_argument("paths", nargs="*", help="paths that should exist here")
    parser.add_argument("--cuda", action="store_true", help="ask torch for GPUs")
    options = parser.parse_args(arguments)
    received = _Received()
    signal.signal(signal.SIGUSR2, received.note)
    report = node_report(options.folder, options.paths, with_cuda=options.cuda)
    print(PRINTED + json.dumps(report), flush=True)
    if not options.folder.is_dir():
        return 0
    _write(options.folder / REPORT, report)
    end = time.monotonic() + _SIGNAL_PATIENCE_S
    while received.at_s is None and time.monotonic() < end:
        time.sleep(_PAUSE_S)
    _write(options.folder / SIGNAL, {"received_at_s": received.at_s})
    return 0


class _Received:
    """When the signal came, by this machine's clock."""

    at_s: float | None = None

    def note(self, _number: int, _frame: FrameType | None) -> None:
        self.at_s = time.time()


def node_report(folder: Path, paths: Sequence[str], *, with_cuda: bool) -> dict[str, Any]:
    """What this Python sees of the node and of the host's folder."""
    memory_mb = os.environ.get("SLURM_MEM_PER_NODE", "")
    return {
        "schema_version": PROBE_SCHEMA_VERSION,
        "node": os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        **software(),
        "word": _text(folder / WORD),
        "lock": _lock_state(folder / LOCK),
        "paths": {path: Path(path).exists() for path in paths},
        "n_cores": len(os.sched_getaffinity(0)),
        "memory_mb": int(memory_mb) if memory_mb.isdigit() else None,
        **_temporary_folder(),
        "cuda": _cuda() if with_cuda else None,
        "time_s": time.time(),
    }


def software() -> dict[str, Any]:
    """Versions of Python and packages, and a hash of this package's code."""
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "packages": {name: _version(name) for name in PACKAGES},
        "code_sha256": code_sha256(),
    }


def _version(name: str) -> str | None:
    if name == mo_hpc.__name__:
        return mo_hpc.__version__
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _lock_state(path: Path) -> str:
    """``held`` is what should be found: the host holds it."""
    try:
        with path.open("r+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "held"
    except OSError as error:
        return f"refused: {error.strerror}"
    return "free"


def _temporary_folder() -> dict[str, Any]:
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        return {"tmp": None, "tmp_free_gb": 0.0}
    return {"tmp": folder, "tmp_free_gb": shutil.disk_usage(folder).free / 1e9}


def _cuda() -> dict[str, Any]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return {"devices": [], "runtime": None, "error": f"torch cannot be imported: {error}"}
    try:
        devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if devices:
            torch.zeros(1, device="cuda")
    except RuntimeError as error:
        return {
            "devices": [],
            "runtime": torch.version.cuda,
            "error": str(error).splitlines()[0],
        }
    return {"devices": devices, "runtime": torch.version.cuda, "error": None}


def _write(path: Path, document: dict[str, Any]) -> None:
    """Atomic, so that the host never reads a part."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(document))
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

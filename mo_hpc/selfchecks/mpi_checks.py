"""MPI: which library mpi4py has found, and whether two ranks see each other."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.selfchecks.children import Ended, alone, run_command_line

_N_RANKS = 2
_PROGRAM = (sys.executable, "-m", "mo_hpc.selfchecks.mpi_program")
_BOTH_ON_THIS_MACHINE = {
    # MPICH would start its ranks through Slurm or ssh, which an image lacks.
    "HYDRA_LAUNCHER": "fork",
    # Open MPI, by its two generations of launchers: more ranks than cores may be right.
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_rmaps_base_oversubscribe": "true",
}
_AS_ROOT = {
    f"{launcher}_ALLOW_RUN_AS_ROOT{confirmed}": "1"
    for launcher in ("OMPI", "PRTE")
    for confirmed in ("", "_CONFIRM")
}


def mpi_findings(group: Group) -> Iterator[Finding]:
    """The library, then a job of two ranks."""
    if importlib.util.find_spec("mpi4py") is None:
        yield group.not_checked(
            "library",
            "mpi4py is not installed, which executor=mpi alone needs",
            "Install it next to the cluster's MPI: pip install 'mo_hpc[mpi]'.",
        )
        return
    told = run_command_line([*_PROGRAM, "--library"], alone())
    document = told_by(told)
    if document is None:
        yield group.warning(
            "library",
            f"mpi4py finds no MPI library; {told.why}",
            "For executor=mpi install one (pip install mpich), or name the host's with "
            "MPI4PY_LIBMPI=/path/to/libmpi.so.",
        )
        return
    found = f"{document['library']}, MPI {document['standard']}, mpi4py {document['mpi4py']}"
    yield group.ok("library", found)
    yield _two_ranks(group)


def mpiexec() -> Path | None:
    """The launcher beside this Python, else that of the path."""
    beside = Path(sys.executable).with_name("mpiexec")
    if beside.exists():
        return beside
    on_path = shutil.which("mpiexec")
    return Path(on_path) if on_path else None


def _two_ranks(group: Group) -> Finding:
    launcher = mpiexec()
    if launcher is None:
        return group.not_checked("2 ranks", "there is no mpiexec here; the host's may start ranks")
    environment = alone() | _BOTH_ON_THIS_MACHINE | (_AS_ROOT if os.geteuid() == 0 else {})
    command = [str(launcher), "-n", str(_N_RANKS), *_PROGRAM]
    return job_finding(group, launcher, run_command_line(command, environment))


def job_finding(group: Group, launcher: Path, ended: Ended) -> Finding:
    """What a job of two ranks says of launcher and library."""
    # What was installed with this Python belongs together; another launcher need not.
    own = launcher.parent == Path(sys.executable).parent
    verdict = group.problem if own else group.warning
    document = told_by(ended)
    if document is None:
        return verdict("2 ranks", f"{launcher} -n {_N_RANKS}: {ended.why}", "Run it by hand.")
    if document["size"] == _N_RANKS and document["sum"] == _N_RANKS * (_N_RANKS + 1) // 2:
        return group.ok("2 ranks", f"{launcher}: the sum over both ranks is {document['sum']}")
    return verdict(
        "2 ranks",
        f"{launcher} starts {_N_RANKS} processes, and each is a job of {document['size']}",
        "The launcher is that of another MPI than the library above: use the launcher of that "
        "library, or name the launcher's library with MPI4PY_LIBMPI=/path/to/libmpi.so.",
    )


def told_by(ended: Ended) -> dict[str, Any] | None:
    """The first document that the program printed; None where it failed.

    Ranks that do not know of each other print one each.
    """
    lines = [line for line in ended.out.splitlines() if line.startswith("{")]
    if ended.code != 0 or not lines:
        return None
    document: dict[str, Any] = json.loads(lines[0])
    return document

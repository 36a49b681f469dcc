"""Is Slurm here, and does it answer?"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.executors.slurm.commands import ask_or_none

_NEEDED = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
_USEFUL = ("sacct", "sacctmgr")

SLURM = Group("Slurm")


def missing_commands() -> list[str]:
    """Slurm's commands that the launcher needs and the path lacks."""
    return [name for name in _NEEDED if shutil.which(name) is None]


def command_findings() -> Iterator[Finding]:
    """Which of Slurm's commands are here, and of which version."""
    missing = missing_commands()
    if missing:
        yield SLURM.problem(
            "commands",
            f"not on the path: {', '.join(missing)}",
            "Run this on a login node, or load Slurm ('module load slurm').",
        )
        return
    version = (ask_or_none("sinfo", "--version") or "unknown version").strip()
    absent = [name for name in _USEFUL if shutil.which(name) is None]
    without = f"; without {', '.join(absent)}, which is optional" if absent else ""
    yield SLURM.ok("commands", f"{version}{without}")


def controller_problem(said: str) -> Finding:
    """The controller does not answer."""
    return SLURM.problem(
        "controller",
        f"it does not answer: {said}",
        "Try 'scontrol ping'; if it stays down, or $SLURM_CONF names a wrong file, ask the "
        "site's staff.",
    )


def controller_answers(name: str, n_nodes: int) -> Finding:
    """The controller answers."""
    return SLURM.ok("controller", f"cluster '{name}' answers, {n_nodes} nodes")

"""All checks in order, inside a temporary folder; what one needs and lacks is said so."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.selfchecks.software import software_findings

_CPU = Group("Training on the CPU")
_GPUS = Group("GPUs")
_RANKS = Group("Training on two ranks")
_MPI = Group("MPI")
_PLACES = Group("Shared memory")
_DEMO = Group("From the grid to a record")
_CACHES = (
    "MO_HPC_CACHE",
    "XDG_CACHE_HOME",
    "MPLCONFIGDIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "CUDA_CACHE_PATH",
)
"""Where libraries keep files; all of them are led into the temporary folder."""


@dataclass(frozen=True, slots=True)
class Examination:
    """One look at this installation.

    Attributes:
        folder: Where runs would lie.
        quick: Whether libraries and three steps on the CPU are all.
    """

    folder: Path
    quick: bool

    def findings(self) -> Iterator[Finding]:
        """The findings, as they come."""
        with _temporary_folder() as temporary:
            can_train = True
            for finding in software_findings():
                can_train &= finding.name != "imports" or finding.verdict == "ok"
                yield finding
            if not can_train:
                yield _CPU.not_checked("three steps", "the problems above stand in its way")
                return
            yield from _guarded(_CPU, "three steps", lambda: _steps(temporary))
            if not self.quick:
                yield from self._further(temporary)

    def _further(self, temporary: Path) -> Iterator[Finding]:
        from mo_hpc.selfchecks.demo_check import demo_finding
        from mo_hpc.selfchecks.gpu_checks import gpu_findings, n_gpus
        from mo_hpc.selfchecks.mpi_checks import mpi_findings
        from mo_hpc.selfchecks.place_checks import place_findings
        from mo_hpc.selfchecks.rank_checks import rank_findings

        count = n_gpus()
        yield from _guarded(_GPUS, "GPUs", lambda: gpu_findings(_GPUS, temporary))
        yield from _guarded(_RANKS, "2 ranks", lambda: rank_findings(_RANKS, temporary, count))
        yield from _guarded(_MPI, "MPI", lambda: mpi_findings(_MPI))
        yield from _guarded(_PLACES, "places", lambda: place_findings(_PLACES, self.folder))
        with_gpu = count > 0
        yield from _guarded(
            _DEMO, "a demo task", lambda: iter([demo_finding(_DEMO, temporary, with_gpu=with_gpu)])
        )


def _steps(temporary: Path) -> Iterator[Finding]:
    from mo_hpc.selfchecks.step_checks import step_findings

    yield from step_findings(_CPU, temporary)


def _guarded(
    group: Group, name: str, findings: Callable[[], Iterator[Finding]]
) -> Iterator[Finding]:
    """Turns whatever a check ends with into a finding, so that the others still run."""
    try:
        yield from findings()
    except Exception as error:  # noqa: BLE001 - that it fails is what was to be found out
        traceback.print_exc()
        what = str(error).splitlines()[0] if str(error) else ""
        yield group.problem(
            name,
            f"it ended with {type(error).__name__}: {what}",
            "The traceback is on stderr. Compare with a fresh installation of requirements.lock.",
        )


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """The only folder that the checks and the processes they start write to."""
    before, bytecode = dict(os.environ), sys.dont_write_bytecode
    with tempfile.TemporaryDirectory(prefix="mo_hpc-selfcheck-") as name:
        os.environ.update(dict.fromkeys(_CACHES, str(Path(name) / "caches")))
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        sys.dont_write_bytecode = True
        try:
            yield Path(name)
        finally:
            sys.dont_write_bytecode = bytecode
            os.environ.clear()
            os.environ.update(before)

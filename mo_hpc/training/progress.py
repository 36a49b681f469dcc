"""How training goes, for programs (``progress.jsonl``) and for people (a bar on stderr)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mo_hpc.core.files import append_line, canonical_json, read_lines, write_atomic


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One line of ``progress.jsonl``; validation fields are None where there was none."""

    epoch: int
    steps: int
    learning_rate: float
    train_loss: float
    valid_loss: float | None
    valid_energy_mae_mev_per_atom: float | None
    valid_force_mae_mev_per_ang_component: float | None
    wall_time_s: float
    structures_per_s: float


class ProgressReporter:
    """Writes one line per epoch and draws the bar; on ranks other than 0 it does nothing.

    Args:
        path: The file of lines, or None for a rank that must not write.
        show: Whether to draw a bar.
        n_epochs: Length of the bar.
    """

    def __init__(self, path: Path | None, *, show: bool, n_epochs: int) -> None:
        self._path = path
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} epochs"),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not show or path is None,
        )
        self._task = self._bar.add_task("", total=n_epochs)

    def __enter__(self) -> Self:
        """Starts to draw."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops drawing."""
        self._bar.stop()

    def go_back_to(self, epoch: int) -> None:
        """Drops the lines after an epoch, so that no epoch appears twice after a resume."""
        self._bar.update(self._task, completed=epoch)
        if self._path is None or not self._path.exists():
            return
        kept = [line for line in read_lines(self._path) if line["epoch"] <= epoch]
        write_atomic(self._path, "".join(canonical_json(line) + "\n" for line in kept))

    def epoch(self, report: EpochReport) -> None:
        """Writes the line of one epoch."""
        if self._path is not None:
            append_line(self._path, asdict(report))
        if report.valid_loss is not None:
            self._bar.update(self._task, description=f"valid loss {report.valid_loss:.4g}")
        self._bar.update(self._task, completed=report.epoch)

"""How far a training has come, from its own lines (``progress.jsonl``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mo_hpc.core.files import read_lines
from mo_hpc.core.paths import TaskPaths

_EPOCHS_OF_PACE = 10
"""The pace is that of so many last epochs: a task may go on on a faster machine."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a task has come.

    Attributes:
        epoch: Epochs done.
        max_epochs: Where it ends at the latest; None if its specification does not tell.
        force_mae_mev_per_ang: Of the last validation, by component.
        best_force_mae_mev_per_ang: The lowest so far.
        s_per_epoch: Pace of the last epochs.
    """

    epoch: int
    max_epochs: int | None
    force_mae_mev_per_ang: float | None
    best_force_mae_mev_per_ang: float | None
    s_per_epoch: float | None

    @property
    def left_s(self) -> float | None:
        """Time to the last epoch at this pace; a training that stops early needs less."""
        if self.max_epochs is None or self.s_per_epoch is None:
            return None
        return max(0, self.max_epochs - self.epoch) * self.s_per_epoch


def read_progress(paths: TaskPaths) -> Progress | None:
    """The progress of a task; None where no epoch has ended."""
    lines = [line for line in read_lines(paths.progress) if isinstance(line, dict)]
    epochs = [line for line in lines if isinstance(line.get("epoch"), int)]
    if not epochs:
        return None
    errors = _numbers(epochs, "valid_force_mae_mev_per_ang_component")
    return Progress(
        epoch=epochs[-1]["epoch"],
        max_epochs=_max_epochs(paths),
        force_mae_mev_per_ang=errors[-1] if errors else None,
        best_force_mae_mev_per_ang=min(errors, default=None),
        s_per_epoch=_pace(epochs),
    )


def _numbers(lines: list[dict[str, Any]], key: str) -> list[float]:
    return [line[key] for line in lines if isinstance(line.get(key), int | float)]


def _pace(epochs: list[dict[str, Any]]) -> float | None:
    """Seconds per epoch; the times in the lines count over all attempts."""
    timed = [line for line in epochs if isinstance(line.get("wall_time_s"), int | float)]
    if not timed:
        return None
    last = timed[-1]
    start = timed[max(0, len(timed) - 1 - _EPOCHS_OF_PACE)] if len(timed) > 1 else {}
    n_epochs = int(last["epoch"]) - int(start.get("epoch", 0))
    seconds = float(last["wall_time_s"]) - float(start.get("wall_time_s", 0.0))
    return seconds / n_epochs if n_epochs > 0 else None


def _max_epochs(paths: TaskPaths) -> int | None:
    try:
        number = json.loads(paths.task.read_bytes())["train"]["max_epochs"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return number if isinstance(number, int) else None

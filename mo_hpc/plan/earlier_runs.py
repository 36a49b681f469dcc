"""Finding the task of an earlier run whose model is wanted: what ``run:GRID`` names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mo_hpc.core.config import names
from mo_hpc.core.errors import UserError
from mo_hpc.core.paths import RunPaths, runs_below
from mo_hpc.core.record import read_task
from mo_hpc.core.task import TrainTask
from mo_hpc.grid.axes import Cell
from mo_hpc.plan.manifest import ManifestTask, read_manifest

PREFIX = "run:"

_FORMS = ("run:GRID", "run:GRID/DIGEST", "run:GRID/DIGEST/TASK")
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class RunWords:
    """The parts of ``run:GRID/DIGEST/TASK``; the later two may be missing."""

    grid: str
    digest: str | None = None
    task_id: str | None = None

    @classmethod
    def parse(cls, name: str) -> RunWords:
        """The parts of a name.

        Raises:
            UserError: If it has none of the forms.
        """
        parts = name.removeprefix(PREFIX).split("/")
        if not all(parts) or ".." in parts or len(parts) > len(_FORMS):
            raise UserError(
                f"'{name}' does not name a model of an earlier run.",
                where="foundation",
                valid=_FORMS,
            )
        return cls(*parts)


def run_name(run: RunPaths) -> str:
    """How a run is called where a foundation is expected: ``run:GRID/DIGEST``."""
    return f"{PREFIX}{run.folder.parent.name}/{run.folder.name}"


def earlier_run(root: Path, words: RunWords) -> RunPaths:
    """The run that is named, or the newest complete one of the grid.

    Raises:
        UserError: If there is no such run, or none is complete.
    """
    runs = sorted(
        runs_below(root, words.grid), key=lambda run: run.manifest.stat().st_mtime, reverse=True
    )
    if not runs:
        raise _no_run(root, words.grid)
    if words.digest is not None:
        return _of_digest(runs, words.digest)
    for run in runs:
        if not _missing(run):
            return run
    missing = _missing(runs[0])
    shown = ", ".join(missing[:_MOST_NAMED]) + (" …" if len(missing) > _MOST_NAMED else "")
    raise UserError(
        f"No run of the grid '{words.grid}' is complete. The newest, "
        f"{runs[0].folder.name}, lacks {len(missing)} tasks: {shown}.",
        where=f"foundation, among the runs below {root}",
        remedy=f"{how_to_go_on(runs[0])} Or name the run, and what is done of it can be used: "
        f"foundation={run_name(runs[0])}",
    )


def how_to_go_on(run: RunPaths) -> str:
    """What to do about a run that is not complete."""
    return (
        f"Look at it with 'python -m mo_hpc.status run={run.folder}', and launch it again with "
        f"the words in the first line of its {run.config.name}."
    )


def agreeing_task(run: RunPaths, words: RunWords, cell: Cell, default_size: str) -> ManifestTask:
    """The one training of a run that agrees with a cell on the axes both have.

    A task that is named needs no agreement.

    Args:
        run: The run.
        words: What was asked for.
        cell: The axis values of the task that takes the model.
        default_size: The size that decides where the cell has none and several tasks agree.

    Raises:
        UserError: If no task agrees, or several do.
    """
    tasks = read_manifest(run).tasks
    if words.task_id is not None:
        agreeing = [task for task in tasks if task.id == words.task_id]
    else:
        agreeing = [task for task in tasks if _agrees(task, cell) and _trains(run, task)]
    if len(agreeing) > 1:
        of_size = [task for task in agreeing if task.axes.get("size") == default_size]
        agreeing = of_size or agreeing
    if len(agreeing) == 1:
        return agreeing[0]
    return _refuse(run, agreeing, cell)


def _agrees(task: ManifestTask, cell: Cell) -> bool:
    return all(cell[axis] == value for axis, value in task.axes.items() if axis in cell)


def _trains(run: RunPaths, task: ManifestTask) -> bool:
    spec = read_task(run.task(task.id))
    return isinstance(spec, TrainTask) and spec.paradigm != "zero_shot"


def _missing(run: RunPaths) -> list[str]:
    return [task.id for task in read_manifest(run).tasks if not run.task(task.id).metrics.exists()]


def _of_digest(runs: Sequence[RunPaths], digest: str) -> RunPaths:
    for run in runs:
        if run.folder.name == digest:
            return run
    raise UserError(
        f"There is no run {digest} of the grid '{runs[0].folder.parent.name}'.",
        where="foundation",
        valid=[run_name(run) for run in runs],
    )


def _no_run(root: Path, grid: str) -> UserError:
    others = sorted({f"{PREFIX}{run.folder.parent.name}" for run in runs_below(root)})
    known = grid in names("grid")
    return UserError(
        f"There is no run of the grid '{grid}' below {root}.",
        where="foundation",
        valid=others,
        remedy=f"Make one: 'python -m mo_hpc.launch grid={grid}', or say with runs_root=DIR "
        "where it lies."
        if known
        else None,
    )


def _refuse(run: RunPaths, agreeing: Sequence[ManifestTask], cell: Cell) -> ManifestTask:
    axes = ", ".join(f"{axis}={value}" for axis, value in cell.items()) or "a task without axes"
    number = "several tasks" if agreeing else "no task"
    raise UserError(
        f"In {run_name(run)} {number} could have made the foundation of {axes}.",
        where="foundation",
        valid=[task.id for task in agreeing or read_manifest(run).tasks],
        remedy="Choose with an axis that both have, such as axes.size=[…], or name the task: "
        f"foundation={run_name(run)}/TASK",
    )

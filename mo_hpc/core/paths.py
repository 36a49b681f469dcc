"""The one module that knows the names of files inside a run directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TaskPaths:
    """Files of one task; see the run-directory tree in README.md."""

    folder: Path

    @property
    def task(self) -> Path:
        """The task's specification, written by the planner."""
        return self.folder / "task.json"

    @property
    def split(self) -> Path:
        """Frame ids of train, valid, test and excluded."""
        return self.folder / "split.json"

    @property
    def structures(self) -> Path:
        """The structures that are to be labelled."""
        return self.folder / "structures.json"

    @property
    def relaxations(self) -> Path:
        """The frames of each labelled structure, extended XYZ, a file for each."""
        return self.folder / "relaxations"

    @property
    def progress(self) -> Path:
        """One JSON line per epoch, or per labelled structure."""
        return self.folder / "progress.jsonl"

    @property
    def checkpoint_last(self) -> Path:
        """Everything an exact resume needs."""
        return self.folder / "checkpoints" / "last.pt"

    @property
    def checkpoint_best(self) -> Path:
        """The weights with the lowest validation loss."""
        return self.folder / "checkpoints" / "best.pt"

    @property
    def model(self) -> Path:
        """The trained model, as `MACECalculator` loads it."""
        return self.folder / "model.model"

    @property
    def predictions(self) -> Path:
        """Reference and predicted energies and forces of the evaluated frames."""
        return self.folder / "predictions.npz"

    @property
    def metrics(self) -> Path:
        """The record; it exists if and only if the task is done."""
        return self.folder / "metrics.json"

    @property
    def error(self) -> Path:
        """The record of the last failure."""
        return self.folder / "error.json"

    @property
    def lock(self) -> Path:
        """Held (flock) by the worker as long as it lives."""
        return self.folder / "running.lock"

    @property
    def rendezvous(self) -> Path:
        """Where rank 0 listens, while the other ranks have not come."""
        return self.folder / "rendezvous.json"

    @property
    def selection(self) -> Path:
        """The structures of a new element that the task chose to train on."""
        return self.folder / "selection.json"

    def attempt(self, number: int) -> Path:
        """The folder of one attempt: stdout, stderr and the scheduler's account."""
        return self.folder / "attempts" / str(number)

    def last_attempt(self) -> int:
        """The number of the newest attempt, 0 where there is none."""
        return max(self.attempt_numbers(), default=0)

    def attempt_numbers(self) -> list[int]:
        """The numbers of all attempts, oldest first."""
        try:
            names = [entry.name for entry in (self.folder / "attempts").iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(int(name) for name in names if name.isdigit())


@dataclass(frozen=True, slots=True)
class RunPaths:
    """Files of one run (one launch of a grid)."""

    folder: Path

    @property
    def manifest(self) -> Path:
        """The ids of all tasks, in order, with what the run was planned from."""
        return self.folder / "manifest.json"

    @property
    def config(self) -> Path:
        """The composed configuration, for people."""
        return self.folder / "config.yaml"

    @property
    def submissions(self) -> Path:
        """The ledger: intents and confirmations of what went to a scheduler."""
        return self.folder / "submissions.jsonl"

    @property
    def failures(self) -> Path:
        """One line for each failure that a launch found, with its class and node."""
        return self.folder / "failures.jsonl"

    def element_ends(self, name: str) -> Path:
        """How the elements of an array ended: a line from each batch script."""
        return self.scheduler_logs / f"{name}.ended"

    @property
    def scheduler_logs(self) -> Path:
        """Where the scheduler and submitit put their own files."""
        return self.folder / "scheduler"

    def enter_image(self, name: str) -> Path:
        """The script that starts Python in the site's image for the elements of an array."""
        return self.scheduler_logs / f"{name}.enter"

    @property
    def tables(self) -> Path:
        """The collector's tables."""
        return self.folder / "tables"

    @property
    def figures(self) -> Path:
        """The collector's figures."""
        return self.folder / "figures"

    @property
    def exports(self) -> Path:
        """Models in the forms that other programs load, a folder for each export."""
        return self.folder / "exports"

    @property
    def drawn_from(self) -> Path:
        """What the last collection made, and which records and code its figures are of."""
        return self.figures / "drawn_from.json"

    @property
    def report(self) -> Path:
        """Tables and figures on one page."""
        return self.folder / "report.html"

    @property
    def launch_lock(self) -> Path:
        """Held while one launch plans and submits, so that two never do both."""
        return self.folder / "launch.lock"

    @property
    def _tasks(self) -> Path:
        return self.folder / "tasks"

    def task(self, task_id: str) -> TaskPaths:
        """The files of one task."""
        return TaskPaths(self._tasks / task_id)

    def task_folders(self) -> list[TaskPaths]:
        """The tasks that have a folder, whether the manifest lists them or not, by name."""
        try:
            with os.scandir(self._tasks) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [self.task(name) for name in names]


def runs_below(root: Path, grid: str | None = None) -> list[RunPaths]:
    """The runs, folders with a manifest, of one grid or of all.

    Args:
        root: The folder of all runs; they lie in it as ``<grid>/<run digest>``.
        grid: Name of the grid.
    """
    grids = sorted(root.glob("*")) if grid is None else [root / grid]
    found = [RunPaths(entry) for folder in grids for entry in sorted(folder.glob("*"))]
    return [run for run in found if run.manifest.is_file()]


def default_data_root() -> Path:
    """Where datasets lie: ``$MO_HPC_DATA``, else ``data`` below the working directory."""
    return Path(os.environ.get("MO_HPC_DATA") or "data")


def default_cache_root() -> Path:
    """Where indices and generated datasets lie: ``$MO_HPC_CACHE``, else the user's cache."""
    if configured := os.environ.get("MO_HPC_CACHE"):
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mo_hpc"

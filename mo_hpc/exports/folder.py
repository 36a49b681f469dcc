"""The folder of an export: the names in it, and its making in one step. Light."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import digest
from mo_hpc.core.paths import RunPaths

LammpsForm = Literal["mliap", "mace"]
FORMS: tuple[LammpsForm, ...] = ("mliap", "mace")
_MODE = 0o755


@dataclass(frozen=True, slots=True)
class ExportFolder:
    """The files of an export.

    Attributes:
        path: The folder.
        n_models: How many models are in it.
    """

    path: Path
    n_models: int

    def model(self, number: int) -> Path:
        """The model with that number, counted from 0, as `MACECalculator` loads it."""
        return self.path / f"{self._stem(number)}.model"

    def lammps(self, number: int, form: LammpsForm) -> Path:
        """The same model as a pair style of LAMMPS loads it."""
        return self.path / f"{self._stem(number)}_{form}.pt"

    def snippet(self, form: LammpsForm) -> Path:
        """Lines for the input file of LAMMPS."""
        return self.path / f"in_{form}.lammps"

    def check(self, number: int, form: LammpsForm) -> Path:
        """An input file with which LAMMPS compares the model with what it was made of."""
        return self.path / f"check_{self._stem(number)}_{form}.lammps"

    @property
    def check_data(self) -> Path:
        """The structure that the checks compute."""
        return self.path / "check.data"

    @property
    def calculator(self) -> Path:
        """The module that makes the ASE calculator."""
        return self.path / "calculator.py"

    @property
    def card(self) -> Path:
        """The model card, for people."""
        return self.path / "MODEL_CARD.md"

    @property
    def card_json(self) -> Path:
        """The same card, for programs."""
        return self.path / "model_card.json"

    def _stem(self, number: int) -> str:
        return "model" if self.n_models == 1 else f"model_{number + 1}"


def default_folder(run: RunPaths, task_ids: Sequence[str]) -> Path:
    """Where an export goes if nothing else is said; the name is one that Python can import."""
    name = task_ids[0]
    if len(task_ids) > 1:
        name = f"committee_of_{len(task_ids)}_{digest(sorted(task_ids))[:8]}"
    return run.exports / re.sub(r"\W", "_", name)


def require_new(path: Path) -> None:
    """Refuses a folder that is there already.

    Raises:
        UserError: If it exists.
    """
    if path.exists() or path.is_symlink():
        raise UserError(
            f"The folder {path} exists; an export replaces nothing.",
            where="--to",
            remedy="Choose another one with --to DIR, or move this one away.",
        )


@contextmanager
def new_folder(path: Path, n_models: int) -> Iterator[ExportFolder]:
    """Fills a folder under another name and gives it its own when all of it is there.

    Raises:
        UserError: If the folder exists.
    """
    require_new(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield ExportFolder(unfinished, n_models)
        unfinished.chmod(_MODE)
        require_new(path)
        unfinished.rename(path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise

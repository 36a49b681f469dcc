"""A labelling: the structures of one task, and what came of each."""

from __future__ import annotations

from pathlib import Path

from mo_hpc.core.calculation import CalculatorConfig, RelaxationConfig
from mo_hpc.core.elements import Element
from mo_hpc.core.files import digest
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.record import Record
from mo_hpc.core.strict import Strict
from mo_hpc.core.task import FoundationRef, TaskSpec

Vector = tuple[float, float, float]


class Structure(Strict):
    """A structure of a design, not relaxed."""

    structure_id: str
    host: str
    dopants: tuple[Element, ...]
    shell: int
    """On which neighbour shell of the first dopant the second sits; 0: no pair."""
    symbols: tuple[Element, ...]
    positions_ang: tuple[Vector, ...]
    cell_ang: tuple[Vector, Vector, Vector]


class Structures(Strict):
    """Structures in the order of their design (``structures.json``)."""

    structures: tuple[Structure, ...]

    @property
    def digest(self) -> str:
        """Their identity: names, elements, positions and cells."""
        return digest(self.model_dump(mode="json"))

    @property
    def elements(self) -> set[str]:
        """All elements in them."""
        return {symbol for structure in self.structures for symbol in structure.symbols}


class LabelTask(TaskSpec):
    """The labelling of the structures in the task's folder."""

    design: str
    n_structures: int
    structures_digest: str
    calculator: CalculatorConfig
    model: FoundationRef | None
    """The file that ``calculator.model`` names."""
    relaxation: RelaxationConfig


class LabelledStructure(Strict):
    """What came of one structure."""

    structure_id: str
    host: str
    dopants: tuple[Element, ...]
    n_frames: int
    converged: bool
    """Whether its last frame is relaxed; true where nothing was to be relaxed."""
    energy_ev: float
    """Of the last frame."""
    max_force_ev_per_ang: float
    """The largest force on an atom of the last frame."""
    sha256: str
    """Of its file of frames."""


class LabelRecord(Record):
    """The result of one labelling; its frames are in files of their own."""

    design: str
    labels: str
    calculator: CalculatorConfig
    model: FoundationRef | None
    relaxation: RelaxationConfig
    structures: tuple[LabelledStructure, ...]

    def outputs(self, paths: TaskPaths) -> dict[str, Path]:
        """The frames of each structure."""
        return {
            f"file of {structure.structure_id}": frames_file(paths, structure.structure_id)
            for structure in self.structures
        }


def frames_file(paths: TaskPaths, structure_id: str) -> Path:
    """The file of a structure's frames, once it is labelled."""
    return paths.relaxations / f"{structure_id}.xyz"

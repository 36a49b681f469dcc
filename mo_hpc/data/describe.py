"""From what a reader yields to frames with an id, a group, a host and tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mo_hpc.core.schema import DatasetConfig
from mo_hpc.data.progress import tracked
from mo_hpc.data.readers import read_file

if TYPE_CHECKING:
    from ase import Atoms

_SAME_RUN_ANG = 0.5
_SAME_CELL = 0.1


@dataclass(frozen=True, slots=True)
class ReadFrame:
    """A frame as it was read, with what it is called.

    Attributes:
        atoms: The frame; its labels are still under the configured keys.
        file: Name of its file.
        position: Place in the file, from 0.
        group: Name of its trajectory or family.
        declared_group: False where the group was inferred from the structures.
        host: Host crystal or ``-``.
        tags: What subsets select on.
    """

    atoms: Atoms
    file: str
    position: int
    group: str
    declared_group: bool
    host: str
    tags: dict[str, str | int | float | bool]

    @property
    def id(self) -> str:
        """Stable name of the frame."""
        return f"{self.file}#{self.position}"


def read_frames(config: DatasetConfig, files: Sequence[Path]) -> list[ReadFrame]:
    """Reads all frames of a dataset, leaves out those ``where`` does not select.

    Raises:
        UserError: If a file cannot be parsed.
    """
    return [
        frame
        for path in files
        for frame in _described(path, config)
        if selected(frame.tags, config.where)
    ]


def selected(tags: dict[str, Any], where: dict[str, tuple[Any, ...]]) -> bool:
    """Whether every listed tag is there and has one of its listed values."""
    return all(key in tags and tags[key] in values for key, values in where.items())


def continues_run(previous: Atoms, frame: Atoms) -> bool:
    """Whether a frame looks like the next step of the same relaxation or MD run.

    That is: the same atoms in the same order, cells that differ by less than 10 %, and no
    atom that moved by more than 0.5 Å.
    """
    if not np.array_equal(previous.numbers, frame.numbers):
        return False
    scale = max(float(np.abs(previous.cell.array).max()), 1e-9)
    if float(np.abs(previous.cell.array - frame.cell.array).max()) > _SAME_CELL * scale:
        return False
    return float(np.linalg.norm(displacements(previous, frame), axis=1).max()) <= _SAME_RUN_ANG


def displacements(previous: Atoms, frame: Atoms) -> Any:
    """How far each atom moved, to the nearest image, in Å, shape (n_atoms, 3).

    A homogeneous change of the cell does not count as a movement.
    """
    if not (frame.cell.volume and previous.cell.volume):
        return frame.positions - previous.positions
    fractions = frame.cell.scaled_positions(frame.positions) - previous.cell.scaled_positions(
        previous.positions
    )
    fractions -= np.where(frame.pbc, np.round(fractions), 0.0)
    return fractions @ frame.cell.array


def _described(path: Path, config: DatasetConfig) -> Iterator[ReadFrame]:
    previous: Atoms | None = None
    run = ""
    for position, atoms in enumerate(tracked(read_file(path, config), f"reading {path.name}")):
        if previous is None or not continues_run(previous, atoms):
            run = f"{path.name}#{position}"
        previous = atoms
        declared = config.group_key is not None and config.group_key in atoms.info
        yield ReadFrame(
            atoms=atoms,
            file=path.name,
            position=position,
            group=str(atoms.info[config.group_key]) if declared else run,
            declared_group=declared,
            host=str(atoms.info.get(config.host_key, "-")) if config.host_key else "-",
            tags={key: _scalar(atoms.info[key]) for key in config.tag_keys if key in atoms.info},
        )


def _scalar(value: Any) -> str | int | float | bool:
    """A tag value as plain Python; the parser yields NumPy's scalars."""
    plain = value.item() if isinstance(value, np.generic) else value
    return plain if isinstance(plain, (str, int, float, bool)) else str(plain)

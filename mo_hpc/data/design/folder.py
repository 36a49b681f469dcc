"""The folder of a design's calculations: one folder per structure, and what lies in it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from ase import Atoms
from ase.io import write

from mo_hpc.core.design import DesignConfig, VaspConfig
from mo_hpc.core.errors import UserError
from mo_hpc.core.files import write_atomic
from mo_hpc.data.design.structures import DesignedStructure, designed_structures
from mo_hpc.data.design.vasp_inputs import vasp_inputs
from mo_hpc.data.progress import tracked

STRUCTURE_FILE = "structure.xyz"
NOTES_FILE = "README.txt"

_MOST_NAMED = 5
_NOTES = """\
{n} structures of the design {name}: {description}.

Each folder has the unrelaxed structure ({structure_file}, with its description) and inputs for
VASP: INCAR, KPOINTS, POSCAR. POTCARs are licensed and therefore not here: in each folder,
concatenate the potentials that POTCAR.spec names, in its order, into POTCAR.

Run VASP in each folder, and leave vasprun.xml or OUTCAR there. Any other program may be used:
put its relaxation there as trajectory.xyz (extended XYZ, all steps, total energy in eV, forces
in eV/Å, atoms in the order of {structure_file}).

Settings: {settings}
Then, in the folder above this one:  python -m mo_hpc.data gather {name} folder={folder}
"""


def write_design(design: DesignConfig, settings: VaspConfig, folder: Path) -> str:
    """Writes the structures and inputs of a design; a second time it finds them all there.

    Args:
        design: The design.
        settings: How VASP is to treat the structures.
        folder: Where one folder for each structure is made.

    Returns:
        A few sentences on what is there now, and what comes next.

    Raises:
        UserError: If a file with other content is there, before anything is written.
    """
    structures = list(designed_structures(design))
    contents = {
        folder / structure.structure_id / name: text
        for structure in tracked(structures, "writing inputs")
        for name, text in _files(structure, settings).items()
    }
    contents[folder / NOTES_FILE] = _notes(design, settings, len(structures), folder.name)
    missing = _missing(contents)
    for path in missing:
        # Thousands of files that the same command makes again need not outlast a power cut.
        write_atomic(path, contents[path], durable=False)
    return (
        f"{design.name}: {len(structures)} structures in {folder}; {len(missing)} files "
        f"written, {len(contents) - len(missing)} were there.\n{_counts(structures)}\n"
        f"POTCARs are yours to add: see {folder / NOTES_FILE}."
    )


def extended_xyz(frames: Iterable[Atoms]) -> str:
    """Frames as the text of an extended XYZ file."""
    text = io.StringIO()
    write(text, list(frames), format="extxyz")
    return text.getvalue()


def _files(structure: DesignedStructure, settings: VaspConfig) -> dict[str, str]:
    described = structure.atoms.copy()
    described.info = dict(structure.description())
    return {STRUCTURE_FILE: extended_xyz([described]), **vasp_inputs(structure.atoms, settings)}


def _notes(design: DesignConfig, settings: VaspConfig, n_structures: int, folder: str) -> str:
    return _NOTES.format(
        n=n_structures,
        name=design.name,
        description=design.description,
        structure_file=STRUCTURE_FILE,
        settings=f"{settings.name} ({settings.description}).",
        folder=folder,
    )


def _missing(contents: dict[Path, str]) -> list[Path]:
    """The files that are not there yet.

    Raises:
        UserError: If some are there with other content.
    """
    there = [path for path in contents if path.exists()]
    changed = [path for path in there if path.read_bytes() != contents[path].encode()]
    if changed:
        named = "\n".join(str(path) for path in changed[:_MOST_NAMED])
        raise UserError(
            f"{len(changed)} of {len(contents)} files are there with other content; nothing was "
            "written.",
            where=named + ("\n…" if len(changed) > _MOST_NAMED else ""),
            remedy="Choose another folder with folder=DIR, or move these files away.",
        )
    return [path for path in contents if path not in set(there)]


def _counts(structures: list[DesignedStructure]) -> str:
    lines = []
    for host in dict.fromkeys(structure.host for structure in structures):
        dopings = [structure.doping for structure in structures if structure.host == host]
        by_size = [sum(len(doping.dopants) == n for doping in dopings) for n in (0, 1, 2)]
        lines.append(
            f"{host}: {by_size[0]} pure, {by_size[1]} with one dopant, {by_size[2]} with two"
        )
    return "\n".join(lines)

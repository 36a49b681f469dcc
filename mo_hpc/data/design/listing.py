"""The structures of a design for planning, found in a child process. Light.

Run as ``python -m mo_hpc.data.design.listing FILE < design.json`` it is that child: it writes
the structures into the file.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mo_hpc.core.design import DesignConfig
from mo_hpc.core.errors import UserError
from mo_hpc.core.files import write_atomic
from mo_hpc.core.labelling import Structure, Structures, Vector
from mo_hpc.core.libraries import READING, require_libraries
from mo_hpc.core.validation import read_validated
from mo_hpc.data.child import raise_reported, reported, run_module

if TYPE_CHECKING:
    from mo_hpc.data.design.structures import DesignedStructure

_DECIMALS = 10
"""Of Å: arithmetic differs in the last digits between processors, and identities must not."""


def listed_structures(
    design: DesignConfig, folder: Path, python: Sequence[str] = (sys.executable,)
) -> Structures:
    """All structures of a design.

    Args:
        design: The design.
        folder: Where the child may leave a file, which is removed; made if it is not there.
        python: The words that start a Python with ASE and NumPy.

    Raises:
        UserError: If a host cannot be read, has no site to replace, or lacks a shell.
        OSError: If the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "listing.json"
        finished = run_module(
            "mo_hpc.data.design.listing",
            [str(path)],
            python,
            input=design.model_dump_json(),
            stdout=subprocess.PIPE,
        )
        if finished.returncode == 0:
            return read_validated(Structures, path)
    raise_reported(finished.stdout)
    raise UserError(
        f"The structures of '{design.name}' could not be listed: the process that does it ended "
        f"with status {finished.returncode}.",
        where=f"design={design.name}",
    )


def _structures(design: DesignConfig) -> Structures:
    require_libraries(READING, for_what="Listing a design's structures")
    from mo_hpc.data.design.structures import designed_structures

    return Structures(structures=tuple(_listed(each) for each in designed_structures(design)))


def _listed(designed: DesignedStructure) -> Structure:
    first, second, third = (_vector(row) for row in designed.atoms.cell.array)
    return Structure(
        structure_id=designed.structure_id,
        host=designed.host,
        dopants=designed.doping.dopants,
        shell=designed.doping.shell,
        symbols=tuple(designed.atoms.get_chemical_symbols()),
        positions_ang=tuple(_vector(row) for row in designed.atoms.positions),
        cell_ang=(first, second, third),
    )


def _vector(row: Sequence[float]) -> Vector:
    x, y, z = (round(float(value), _DECIMALS) + 0.0 for value in row)
    return x, y, z


def _main(arguments: Sequence[str]) -> int:
    design = DesignConfig.model_validate_json(sys.stdin.read())
    (path,) = arguments
    return reported(lambda: write_atomic(Path(path), _structures(design).model_dump_json()))


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))

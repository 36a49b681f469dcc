"""A check that any LAMMPS runs by itself: does it compute what the model computes?

LAMMPS turns a triclinic cell, so forces are compared by what a rotation leaves alone: the
largest one, and the root of the sum of all squares.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import ase
import ase.io
import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-5
"""eV/atom and eV/Å, in double precision."""

_CHECK = """\
read_data     {data}
{pair}
variable      squared atom fx*fx+fy*fy+fz*fz
compute       most all reduce max v_squared
compute       sum all reduce sum v_squared
thermo_style  custom step pe c_most c_sum
run           0

variable      energy_off equal abs(pe-({energy!r}))/atoms
variable      largest_off equal abs(sqrt(c_most)-{largest!r})
variable      norm_off equal abs(sqrt(c_sum)-{norm!r})
print         "off by ${{energy_off}} eV/atom, ${{largest_off}} and ${{norm_off}} eV/A"
variable      held equal (v_energy_off<={tolerance})*(v_largest_off<={tolerance})*(v_norm_off<={tolerance})
if "${{held}} == 1" then "print 'PARITY HELD'" else "print 'PARITY FAILED'" "quit 1"
"""  # noqa: E501 - LAMMPS reads one command in one line


def check_text(
    data: str, pair: str, energy_ev: float, forces_ev_per_ang: NDArray[np.float64]
) -> str:
    """The commands that read a structure, compute it once and compare; exit status 1 if it fails.

    Args:
        data: Name of the structure's file.
        pair: Lines that set the pair style.
        energy_ev: What the energy must be.
        forces_ev_per_ang: What the forces must be, shape (n_atoms, 3).
    """
    squares = (forces_ev_per_ang**2).sum(axis=1)
    return _CHECK.format(
        data=data,
        pair=pair.rstrip(),
        energy=float(energy_ev),
        largest=float(np.sqrt(squares.max())),
        norm=float(np.sqrt(squares.sum())),
        tolerance=TOLERANCE,
    )


def structure_text(atoms: ase.Atoms, elements: Sequence[str]) -> str:
    """A LAMMPS data file with one atom type for each element, in that order."""
    text = io.StringIO()
    ase.io.write(
        text,
        atoms,
        format="lammps-data",
        specorder=list(elements),
        masses=True,
        units="metal",
        atom_style="atomic",
    )
    return text.getvalue()

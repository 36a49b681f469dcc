"""A structure as LAMMPS hands it to a model: owned atoms, ghosts, and all pairs of both.

It stands in for LAMMPS where none is installed that loads the form: the same arrays and the
same exchanges between owned and ghost atoms as ``pair_style mliap unified`` under Kokkos
(``mliap_unified_couple_kokkos.pyx`` of LAMMPS, ``MLIAPDataPy``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import ase
import numpy as np
import torch
from ase.data import chemical_symbols
from mace.data import get_neighborhood
from numpy.typing import NDArray


@dataclass(slots=True, eq=False)
class LammpsView:
    """What the coupling of LAMMPS calls ``data``; the names of fields are its own.

    Attributes:
        elems: Index of each atom's element, owned atoms first, shape (ntotal,).
        pair_i: The owned atom of each pair, shape (npairs,).
        pair_j: The other one, owned or ghost, shape (npairs,).
        rij: From i to j, Å, shape (npairs, 3).
        owner: The owned atom that each atom is or copies, shape (ntotal,).
        nlocal: Number of owned atoms.
        eatoms: Written by the model: energy of each owned atom, eV, shape (nlocal,).
        energy: Written by the model: their sum, eV.
        forces: Forces on owned atoms, eV/Å, shape (nlocal, 3).
    """

    elems: NDArray[np.int64]
    pair_i: NDArray[np.int64]
    pair_j: NDArray[np.int64]
    rij: NDArray[np.float64]
    owner: NDArray[np.int64]
    nlocal: int
    eatoms: NDArray[np.float64] = field(init=False)
    energy: float = field(init=False, default=0.0)
    forces: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        """Zeroes what the model writes."""
        self.eatoms = np.zeros(self.nlocal)
        self.forces = np.zeros((self.nlocal, 3))

    @property
    def ntotal(self) -> int:
        """Owned atoms and ghosts."""
        return len(self.owner)

    @property
    def npairs(self) -> int:
        """Number of pairs, each seen from both sides."""
        return len(self.pair_i)

    def forward_exchange(self, source: torch.Tensor, target: torch.Tensor, _length: int) -> None:
        """Copies features of owned atoms to themselves and their ghosts."""
        target.copy_(source[torch.from_numpy(self.owner)])

    def reverse_exchange(self, source: torch.Tensor, target: torch.Tensor, _length: int) -> None:
        """Adds what ghosts have gathered to the atoms they copy."""
        target.zero_().index_add_(0, torch.from_numpy(self.owner), source)

    def update_pair_forces_gpu(self, pair_forces: torch.Tensor) -> None:
        """Adds the force of each pair to i and takes it from j; the name is LAMMPS' own."""
        values = pair_forces.detach().numpy()
        np.add.at(self.forces, self.pair_i, values)
        np.add.at(self.forces, self.owner[self.pair_j], -values)


def lammps_view(atoms: ase.Atoms, elements: Sequence[str], r_max_ang: float) -> LammpsView:
    """A structure with a ghost for every periodic copy within the cutoff.

    Args:
        atoms: The structure.
        elements: The symbols of ``pair_coeff``, in the order of the model.
        r_max_ang: Cutoff, Å.
    """
    (first, second), shifts, cells, _ = get_neighborhood(
        positions=atoms.positions,
        cutoff=r_max_ang,
        pbc=tuple(atoms.pbc.tolist()),
        cell=np.array(atoms.cell),
    )
    copies, of_pair = np.unique(
        np.column_stack([cells, second]).astype(np.int64), axis=0, return_inverse=True
    )
    is_owned = ~copies[:, :3].any(axis=1)
    index = np.where(is_owned, copies[:, 3], 0)
    index[~is_owned] = len(atoms) + np.arange(int((~is_owned).sum()))
    owner = np.concatenate([np.arange(len(atoms)), copies[~is_owned, 3]])
    column = {symbol: number for number, symbol in enumerate(elements)}
    elems = np.array([column[chemical_symbols[z]] for z in atoms.numbers])
    return LammpsView(
        elems=elems[owner],
        pair_i=np.asarray(first, dtype=np.int64),
        pair_j=index[of_pair.reshape(-1)],
        rij=atoms.positions[second] - atoms.positions[first] + shifts,
        owner=owner,
        nlocal=len(atoms),
    )

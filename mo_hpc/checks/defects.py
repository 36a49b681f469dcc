"""The BCC crystal with defects: its sites and neighbour shells, and energies of what is on them.

Sites and pairs of sites are those of the designed structures (`mo_hpc.data.design`), in a cell
with the lattice constant of the model itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ase import Atoms

from mo_hpc.checks.crystals import lattice_constant_ang
from mo_hpc.checks.potential import Potential
from mo_hpc.checks.relaxation import relaxed
from mo_hpc.core.checks import CheckConfig
from mo_hpc.core.design import HostConfig
from mo_hpc.data.design.structures import Host


@dataclass(frozen=True, slots=True)
class DefectEnergies:
    """Energies of a cell with a defect in eV.

    Attributes:
        unrelaxed: With every atom on its site.
        relaxed: With every atom where no force acts on it; the cell is the same.
    """

    unrelaxed: float
    relaxed: float


class DefectCell:
    """The supercell of the host, and what becomes of it with other atoms on its sites.

    Raises:
        CheckFailedError: If the host has no lattice constant with this model.
    """

    def __init__(self, potential: Potential, settings: CheckConfig) -> None:
        self._potential = potential
        self._settings = settings
        self.a_ang = lattice_constant_ang(potential, settings.host, "bcc")
        self._host = Host(
            HostConfig(
                name="bcc",
                element=settings.host,
                lattice="bcc",
                supercell_edge_ang=self.a_ang * settings.repeat,
                repeat=(settings.repeat,) * 3,
            )
        )

    @property
    def crystal(self) -> Atoms:
        """A copy of the perfect supercell."""
        return self._host.crystal.copy()

    @property
    def site(self) -> int:
        """A site; all are equivalent."""
        return 0

    def pair(self, shell: int) -> tuple[int, int]:
        """Two sites on a neighbour shell of each other; all such pairs are equivalent.

        Raises:
            UserError: If the supercell is too small to have that shell.
        """
        return self._host.pairs(shell)[0]

    @cached_property
    def perfect_ev(self) -> float:
        """Energy of the perfect supercell in eV."""
        return self._potential.energy_ev(self.crystal)

    def with_dopants(self, dopants: Mapping[int, str]) -> DefectEnergies:
        """Energies with other atoms on some sites.

        Args:
            dopants: Site → element.

        Raises:
            CheckFailedError: If an element is unknown, or the relaxation does not converge.
        """
        atoms = self.crystal
        for site, symbol in dopants.items():
            atoms.symbols[site] = symbol
        with self._potential.may_lack(dopants.values()):
            return self._energies(atoms)

    def without(self, site: int) -> DefectEnergies:
        """Energies with an empty site.

        Raises:
            CheckFailedError: If the relaxation does not converge.
        """
        atoms = self.crystal
        del atoms[site]
        return self._energies(atoms)

    def _energies(self, atoms: Atoms) -> DefectEnergies:
        unrelaxed = self._potential.energy_ev(atoms)
        relaxed(atoms, self._potential, self._settings)
        return DefectEnergies(unrelaxed, self._potential.energy_ev(atoms))

"""Models whose numbers are known: a crystal of bonds, and the embedded-atom potential."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes
from matscipy.neighbours import neighbour_list

from mo_hpc.checks.potential import Potential
from mo_hpc.core.checks import CheckConfig
from mo_hpc.data.eam import EamCalculator
from mo_hpc.data.eam_parameters import EAM_PARAMETERS


class Bonds(Calculator):
    """Each nearest-neighbour bond of two elements has an energy, so that sums can be done by hand.

    The bonds are stiff: -strength (1 - stiffness (r - length)²), shifted by an energy per volume
    that holds every crystal at its bond length; atoms are on their sites without forces.
    """

    implemented_properties = ("energy", "forces")
    length_ang = 2.75
    stiffness = 1.0

    def __init__(self, strengths):
        super().__init__()
        self.strengths = strengths

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties or ["energy"], system_changes)
        first, second, r, vectors = neighbour_list("ijdD", atoms, self.length_ang * 1.08)
        symbols = np.array(atoms.get_chemical_symbols())
        strength = np.array(
            [
                self.strengths["".join(sorted((a, b)))]
                for a, b in zip(symbols[first], symbols[second], strict=True)
            ]
        )
        stretched = r - self.length_ang
        energy = -0.5 * (strength * (1 - self.stiffness * stretched**2)).sum()
        pulls = (2 * strength * self.stiffness * stretched / r)[:, None] * vectors
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, first, pulls)
        self.results = {"energy": energy, "forces": forces}


@pytest.fixture
def bonds():
    """A model in which Mo-Mo bonds have 0.8 eV, V-V 0.6 eV and Mo-V 0.75 eV."""
    calculator = Bonds({"MoMo": 0.8, "VV": 0.6, "MoV": 0.75})
    return Potential(calculator, frozenset({"Mo", "V"}))


@pytest.fixture
def eam():
    return Potential(EamCalculator(), frozenset(EAM_PARAMETERS))


@pytest.fixture
def settings():
    """Small cells; relaxations tight enough for closed forms."""
    return CheckConfig(dopants=("V",), repeat=3, fmax_ev_per_ang=1e-4)

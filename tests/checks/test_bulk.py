"""Lattice constants, equations of state and elastic constants, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.units import GPa
from pydantic import ValidationError

from mo_hpc.checks.elastic import elastic_constants
from mo_hpc.checks.equation_of_state import equation_of_state
from mo_hpc.checks.lattice import lattice_constant
from mo_hpc.checks.potential import Potential
from mo_hpc.core.checks import CheckConfig
from mo_hpc.data import eam as eam_module
from mo_hpc.data.eam_parameters import EAM_PARAMETERS


def by_name(result, subject=""):
    return {value.name: value for value in result.values if value.subject == subject}


def test_bond_length_gives_the_lattice_constant(bonds, settings):
    found = {value.subject: value.value for value in lattice_constant(bonds, settings).values}
    assert found["bcc"] == pytest.approx(2 * 2.75 / np.sqrt(3), abs=1e-5)
    assert found["fcc"] == pytest.approx(np.sqrt(2) * 2.75, abs=1e-5)


def test_embedded_atoms_have_the_published_lattice_constant_and_energy(eam, settings):
    """Fitted there to a = 3.15 Å (as 2/√3 of re) and 6.81 eV per atom: PRB 69, 144113 (2004)."""
    found = by_name(lattice_constant(eam, settings), "bcc")["lattice_constant_ang"].value
    assert found == pytest.approx(2 / np.sqrt(3) * EAM_PARAMETERS["Mo"].re, abs=1e-3)
    fitted = by_name(equation_of_state(eam, settings), "bcc")
    assert fitted["energy_at_minimum_ev_per_atom"].value == pytest.approx(-6.81, abs=1e-3)


class Birch(Calculator):
    """An energy that is Birch and Murnaghan's equation, of V0 = 15.8 Å³, 260 GPa and 4.3."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties or ["energy"], system_changes)
        n_atoms = len(atoms)
        x = (15.8 / (atoms.get_volume() / n_atoms)) ** (2 / 3)
        strained = (x - 1) ** 3 * 4.3 + (x - 1) ** 2 * (6 - 4 * x)
        energy = -10.0 + 9 * 15.8 * 260 * GPa / 16 * strained
        lies_above = 0.4 if n_atoms == 4 else 0.0
        self.results = {"energy": n_atoms * (energy + lies_above), "forces": np.zeros((n_atoms, 3))}


def test_equation_of_state_finds_the_parameters_of_an_exact_one():
    result = equation_of_state(Potential(Birch()), CheckConfig(n_volumes=9))
    found = {name: value.value for name, value in by_name(result, "bcc").items()}
    assert found["equilibrium_volume_ang3_per_atom"] == pytest.approx(15.8, abs=1e-5)
    assert found["energy_at_minimum_ev_per_atom"] == pytest.approx(-10.0, abs=1e-8)
    assert found["bulk_modulus_gpa"] == pytest.approx(260, abs=1e-3)
    assert found["bulk_modulus_derivative"] == pytest.approx(4.3, abs=1e-3)
    assert found["fit_rms_mev_per_atom"] < 1e-6
    above = by_name(result, "fcc")["energy_above_bcc_ev_per_atom"].value
    assert above == pytest.approx(0.4, abs=1e-8)
    curve = next(curve for curve in result.curves if curve.subject == "fcc")
    assert len(curve.columns["volume_ang3_per_atom"]) == 9
    assert min(curve.columns["energy_ev_per_atom"]) == pytest.approx(-9.6, abs=1e-6)


def johnson_constants_gpa(a_ang):
    """Elastic constants of a cubic embedded-atom crystal at equilibrium, by lattice sums.

    R. A. Johnson, Phys. Rev. B 37, 3924 (1988), as sums over neighbours, with both the pair and
    the embedding energy at once: psi = phi + 2 F' f acts as an effective pair energy, and the
    curvature of F adds to C11 and C12 alone.
    """
    mo = EAM_PARAMETERS["Mo"]
    crystal = bulk("Mo", "bcc", a=a_ang) * (9, 9, 9)
    vectors = crystal.get_distances(0, list(range(1, len(crystal))), mic=True, vector=True)
    r = np.linalg.norm(vectors, axis=1)
    r, vectors = r[r < eam_module.CUTOFF_ANG], vectors[r < eam_module.CUTOFF_ANG]

    def density(x):
        return eam_module._tapered(x, eam_module._density(x, mo))[0]

    def pair(x):
        return eam_module._tapered(x, eam_module._pair(x, mo))[0]

    def embedding_slope(x):
        kinds = np.zeros(1, dtype=np.int64)
        return eam_module._embedding(np.array([x]), kinds, [mo])[1][0]

    h = 1e-4
    rho = density(r).sum()
    slope, curvature = (
        embedding_slope(rho),
        (embedding_slope(rho + h) - embedding_slope(rho - h)) / (2 * h),
    )

    def effective(x):
        return pair(x) + 2 * slope * density(x)

    first = (effective(r + h) - effective(r - h)) / (2 * h)
    second = (effective(r + h) - 2 * effective(r) + effective(r - h)) / h**2
    volume = a_ang**3 / 2
    x, y = vectors[:, 0], vectors[:, 1]
    bend = second - first / r
    v11 = (((density(r + h) - density(r - h)) / (2 * h)) * x**2 / r).sum()
    c11 = (0.5 * (bend * x**4 / r**2).sum() + curvature * v11**2) / volume
    shear = 0.5 * (bend * x**2 * y**2 / r**2).sum() / volume
    c12 = shear + curvature * v11**2 / volume
    return np.array([c11, c12, shear]) / GPa


def test_elastic_constants_of_embedded_atoms_are_those_of_lattice_sums(eam, settings):
    a_ang = by_name(lattice_constant(eam, settings), "bcc")["lattice_constant_ang"].value
    small = settings.model_copy(update={"max_strain": 5e-4})
    found = {
        name: value.value for name, value in by_name(elastic_constants(eam, small), "bcc").items()
    }
    c11, c12, c44 = johnson_constants_gpa(a_ang)
    assert found["c11_gpa"] == pytest.approx(c11, abs=0.2)
    assert found["c12_gpa"] == pytest.approx(c12, abs=0.2)
    assert found["c44_gpa"] == pytest.approx(c44, abs=0.2)
    assert found["bulk_modulus_gpa"] == pytest.approx((c11 + 2 * c12) / 3, abs=0.2)
    assert found["tetragonal_shear_modulus_gpa"] == pytest.approx((c11 - c12) / 2, abs=0.2)


def test_bulk_moduli_from_energies_and_from_stresses_agree(eam, settings):
    narrow = settings.model_copy(update={"volume_range": 0.01, "max_strain": 5e-4})
    from_energies = by_name(equation_of_state(eam, narrow), "bcc")["bulk_modulus_gpa"].value
    from_stresses = by_name(elastic_constants(eam, narrow), "bcc")["bulk_modulus_gpa"].value
    assert from_energies == pytest.approx(from_stresses, rel=2e-3)


class Repulsive(Birch):
    """Atoms that only repel, so that there is no crystal."""

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["energy"] = len(atoms) / atoms.get_volume()


def test_a_crystal_without_equilibrium_is_said_to_have_none():
    for check in (lattice_constant, equation_of_state, elastic_constants):
        for value in check(Potential(Repulsive()), CheckConfig()).values:
            assert value.value is None
            if value.name != "energy_above_bcc_ev_per_atom":
                assert "has no minimum between" in value.problem


def test_a_host_that_the_model_does_not_know_is_an_outcome(bonds):
    tungsten = CheckConfig(host="W", dopants=("V",))
    for check in (lattice_constant, elastic_constants):
        problems = {value.problem for value in check(bonds, tungsten).values}
        assert problems == {"The model does not know W."}


def test_settings_that_contradict_themselves_are_refused():
    for wrong in ({"dopants": ("V", "V")}, {"pair_shells": (0,)}, {"pair_shells": (1, 1)}):
        with pytest.raises(ValidationError):
            CheckConfig(**wrong)

"""Vacancy, dopants, pairs and surfaces: bonds that are broken and made, counted by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ase.build import bulk
from ase.optimize import FIRE

from mo_hpc.checks.binding import binding
from mo_hpc.checks.crystals import lattice_constant_ang
from mo_hpc.checks.substitution import substitution
from mo_hpc.checks.surfaces import slab, surfaces
from mo_hpc.checks.vacancy import vacancy
from mo_hpc.core.checks import CheckConfig
from mo_hpc.data.eam_parameters import EAM_PARAMETERS

MO_MO, V_V, MO_V = 0.8, 0.6, 0.75


def values(result):
    return {(value.subject, value.name): value.value for value in result.values}


def test_vacancy_costs_half_the_bonds_of_an_atom(bonds, settings):
    """Eight bonds break, and the atom taken out finds four of its own in the crystal."""
    found = values(vacancy(bonds, settings))
    assert found["", "vacancy_formation_energy_unrelaxed_ev"] == pytest.approx(4 * MO_MO, abs=1e-4)
    relaxed = found["", "vacancy_formation_energy_ev"]
    assert relaxed == pytest.approx(4 * MO_MO, abs=1e-4)


def test_relaxation_lowers_the_vacancy_and_does_not_move_the_cell(eam, settings):
    found = values(vacancy(eam, settings))
    assert found["", "vacancy_formation_energy_ev"] < (
        found["", "vacancy_formation_energy_unrelaxed_ev"] - 0.05
    )


def test_substitution_energy_is_the_balance_of_bonds(bonds, settings):
    found = values(substitution(bonds, settings))
    expected = 8 * (MO_MO - MO_V) - 4 * MO_MO + 4 * V_V
    assert found["V", "substitution_energy_ev"] == pytest.approx(expected, abs=1e-4)
    assert found["V", "substitution_relaxation_energy_ev"] == pytest.approx(0, abs=1e-4)


def test_a_dopant_that_a_calculator_lacks_is_an_outcome_for_it_alone(bonds, settings):
    """A factory's calculator does not say what it knows; this one raises a KeyError."""
    untold = dataclasses.replace(bonds, elements=None)
    wider = settings.model_copy(update={"dopants": ("Y", "V")})
    result = substitution(untold, wider)
    assert values(result)["V", "substitution_energy_ev"] == pytest.approx(
        values(substitution(bonds, settings))["V", "substitution_energy_ev"], abs=1e-6
    )
    problems = {value.problem for value in result.values if value.subject == "Y"}
    assert problems == {"The calculator fails for Y: KeyError: 'MoY'"}
    pairs = binding(untold, wider).values
    assert {value.subject[0] for value in pairs if value.value is None} == {"Y"}
    broken = dataclasses.replace(untold, calculator=type(bonds.calculator)({}))
    with pytest.raises(KeyError):
        substitution(broken, settings)


def test_substitution_energy_of_embedded_atoms_by_another_optimiser(eam):
    """The same difference of four energies, each minimised by FIRE, and a crystal by its scale."""
    settings = CheckConfig(host="Ta", dopants=("W",), repeat=3, fmax_ev_per_ang=1e-3)
    found = values(substitution(eam, settings))

    def least_ev_per_atom(symbol, a_ang):
        scales = np.linspace(0.99, 1.01, 41)
        cells = [bulk(symbol, "bcc", a=a_ang * scale) for scale in scales]
        energies = [eam.energy_ev(cell) for cell in cells]
        fit = np.poly1d(np.polyfit(scales, energies, 4))
        scale = float(min(fit.deriv().roots.real, key=lambda root: abs(root - 1)))
        return fit(scale), a_ang * scale

    ta_ev, ta_ang = least_ev_per_atom("Ta", 2 / np.sqrt(3) * EAM_PARAMETERS["Ta"].re)
    w_ev, _ = least_ev_per_atom("W", 2 / np.sqrt(3) * EAM_PARAMETERS["W"].re)
    doped = bulk("Ta", "bcc", a=ta_ang, cubic=True) * (3, 3, 3)
    doped.symbols[7] = "W"
    doped.calc = eam.calculator
    unrelaxed = doped.get_potential_energy()
    assert FIRE(doped, logfile=None).run(fmax=1e-3, steps=500)
    relaxed = doped.get_potential_energy()
    expected = relaxed - (len(doped) - 1) * ta_ev - w_ev
    assert found["W", "substitution_energy_ev"] == pytest.approx(expected, abs=2e-4)
    relaxation = found["W", "substitution_relaxation_energy_ev"]
    assert relaxation == pytest.approx(relaxed - unrelaxed, abs=1e-4)
    assert relaxation < -1e-3


def test_only_nearest_neighbours_bind_where_bonds_reach_no_further(bonds):
    settings = CheckConfig(dopants=("V",), repeat=4, fmax_ev_per_ang=1e-4)
    found = values(binding(bonds, settings))
    expected = MO_MO + V_V - 2 * MO_V
    assert found["V-V 1nn", "binding_energy_ev"] == pytest.approx(expected, abs=1e-4)
    assert found["V-V 2nn", "binding_energy_ev"] == pytest.approx(0, abs=1e-4)
    assert found["V-V 3nn", "binding_energy_ev"] == pytest.approx(0, abs=1e-4)


def test_all_pairs_are_each_once_in_alphabetical_order(eam):
    settings = CheckConfig(
        dopants=("W", "Ta"), pairs="all", pair_shells=(2,), repeat=2, fmax_ev_per_ang=0.05
    )
    result = binding(eam, settings)
    assert [value.subject for value in result.values] == ["Ta-Ta 2nn", "Ta-W 2nn", "W-W 2nn"]
    assert all(value.value is not None for value in result.values)


@pytest.mark.parametrize(
    ("subject", "bonds_per_cell"), [("(100)", 2), ("(110)", np.sqrt(2)), ("(111)", np.sqrt(3))]
)
def test_surface_energy_counts_the_bonds_that_cross_the_plane(
    bonds, settings, subject, bonds_per_cell
):
    """Bonds across a plane of normal n, per area: 2/a³ times the sum of |n·b|, b = a/2 (±1±1±1)."""
    a_ang = lattice_constant_ang(bonds, "Mo", "bcc")
    found = values(surfaces(bonds, settings))[subject, "surface_energy_unrelaxed_j_per_m2"]
    assert found == pytest.approx(bonds_per_cell * MO_MO / a_ang**2 * 16.02177, rel=1e-4)


def test_slab_has_two_equal_surfaces_and_the_asked_thickness(settings):
    for facet in ((1, 0, 0), (1, 1, 0), (1, 1, 1)):
        atoms = slab("Mo", 3.16, facet, settings)
        heights = np.sort(atoms.positions[:, 2])
        assert heights[-1] - heights[0] > settings.slab_ang - 3.16
        assert atoms.cell[2, 2] - (heights[-1] - heights[0]) == pytest.approx(settings.vacuum_ang)
        assert heights - heights[0] == pytest.approx((heights[-1] - heights)[::-1])
        assert atoms.cell[:2, 2] == pytest.approx(0)


def test_what_a_model_does_not_know_is_said_of_that_dopant_alone(bonds):
    settings = CheckConfig(dopants=("V", "Y"), repeat=2, pair_shells=(1,))
    for check in (substitution, binding):
        result = check(bonds, settings)
        for value in result.values:
            if value.subject.startswith("Y"):
                assert (value.value, value.problem) == (None, "The model does not know Y.")
            else:
                assert value.value is not None


def test_a_relaxation_that_does_not_converge_says_how_far_it_came(eam):
    settings = CheckConfig(dopants=("Zr",), repeat=2, max_steps=2, fmax_ev_per_ang=1e-4)
    problems = {value.problem for value in substitution(eam, settings).values}
    assert len(problems) == 1
    assert "had not converged after 2 steps: a force of" in problems.pop()

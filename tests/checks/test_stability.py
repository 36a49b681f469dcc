"""The stability run: what conserves energy, what does not, and what falls apart."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.calculator import all_changes

from mo_hpc.checks.potential import Potential
from mo_hpc.checks.stability import _n_off_site, stability
from mo_hpc.core.checks import CheckConfig
from mo_hpc.data.eam import EamCalculator

SMALL = CheckConfig(repeat=2, temperature_k=600, equilibration_steps=20, md_steps=60)


def values(result):
    return {value.name: value.value for value in result.values}


class Careless(EamCalculator):
    """Its forces are a tenth too large: no derivative of its energy."""

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["forces"] = 1.1 * self.results["forces"]


def test_halving_the_time_step_quarters_the_error_of_the_energy(eam):
    """The integrator is of second order."""
    fine = SMALL.model_copy(update={"timestep_fs": 1.0, "equilibration_steps": 40, "md_steps": 120})
    coarse, halved = (values(stability(eam, each)) for each in (SMALL, fine))
    name = "energy_fluctuation_mev_per_atom"
    assert 2.5 < coarse[name] / halved[name] < 6


def test_forces_that_are_no_derivative_do_not_conserve_energy(eam):
    name = "energy_fluctuation_mev_per_atom"
    assert values(stability(Potential(Careless()), SMALL))[name] > (
        20 * values(stability(eam, SMALL))[name]
    )


def test_a_crystal_that_holds_is_said_to_and_the_run_is_kept(eam):
    result = stability(eam, SMALL)
    found = values(result)
    assert found["n_atoms_off_site"] == 0
    assert result.verdict.startswith("The crystal holds: after 0.16 ps at ")
    assert 300 < found["mean_temperature_k"] < 900
    assert 2.0 < found["smallest_distance_ang"] < 2.7
    times = result.curves[0].columns["time_ps"]
    assert len(times) == SMALL.md_steps + 1
    assert np.diff(times) == pytest.approx(SMALL.timestep_fs / 1e3)


def test_the_same_seed_gives_the_same_run(eam):
    short = SMALL.model_copy(update={"md_steps": 10, "equilibration_steps": 0})
    assert stability(eam, short) == stability(eam, short)
    other = stability(eam, short.model_copy(update={"seed": 1}))
    assert values(other) != values(stability(eam, short))


def test_a_crystal_that_melts_has_atoms_off_their_sites(eam):
    hot = SMALL.model_copy(update={"temperature_k": 20000.0, "timestep_fs": 1.0, "md_steps": 120})
    result = stability(eam, hot)
    assert values(result)["n_atoms_off_site"] > 0
    assert result.verdict.startswith("The crystal does not hold: ")


class Exploding(EamCalculator):
    """Its forces push every atom on, ever harder."""

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["forces"] = -5 * self.results["forces"]


def test_an_explosion_ends_the_run_with_a_sentence():
    result = stability(Potential(Exploding()), SMALL)
    assert "The crystal explodes: at step " in result.verdict
    assert {value.value for value in result.values} == {None}
    assert {value.problem for value in result.values} == {result.verdict}


def test_a_crystal_that_moves_as_a_whole_stays_on_its_sites(eam):
    from ase.build import bulk

    sites = bulk("Mo", "bcc", a=3.15, cubic=True) * (2, 2, 2)
    moved = sites.copy()
    moved.positions += [0.9, 1.6, 5.0]
    assert _n_off_site(moved, sites) == 0
    moved.positions[3] += [1.575, 1.575, 1.575]
    assert _n_off_site(moved, sites) == 1

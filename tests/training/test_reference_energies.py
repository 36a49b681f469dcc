from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from mace.data import compute_average_E0s, config_from_atoms
from mace.tools import AtomicNumberTable

from mo_hpc.core.errors import UserError
from mo_hpc.training.graphs import build_graphs
from mo_hpc.training.reference_energies import Compositions, compositions, reference_energies

FOUNDATION = {"Mo": -8.0, "Nb": -7.0, "W": -9.0}


def _never():
    raise AssertionError("the foundation was asked for predictions")


@pytest.fixture
def training() -> Compositions:
    """Mo and Nb in training, W in the model only."""
    counts = np.array([[4.0, 0, 0], [3, 1, 0], [2, 2, 0]])[:, [1, 0, 2]]
    energies = counts @ np.array([-9.0, -10.0, 0.0])
    return Compositions(("Nb", "Mo", "W"), counts, energies, {"Mo": -5.0})


def _fit(settings, training, policy, *, foundation=FOUNDATION, residuals=_never, **changes):
    config = settings(energy_reference=policy, **changes)
    return reference_energies(config, training, foundation_ev=foundation, residuals_ev=residuals)


def test_average_gives_an_absent_element_exactly_zero_in_mace():
    # The reason for the guard: MACE itself says nothing and trains on.
    configuration = config_from_atoms(bulk("Mo", cubic=True))
    configuration.properties["energy"] = -20.0
    found = compute_average_E0s([configuration], AtomicNumberTable([42, 74]))
    assert found == {42: pytest.approx(-10.0), 74: 0.0}


def test_average_refuses_an_absent_element(settings, training):
    with pytest.raises(UserError, match="no value for W") as error:
        _fit(settings, training, "average")
    assert "allow_missing_energy_reference" in str(error.value)


def test_average_gives_zero_where_that_is_asked_for(settings, training):
    found = _fit(settings, training, "average", allow_missing_energy_reference=True)
    assert found.values_ev == {"Nb": pytest.approx(-9), "Mo": pytest.approx(-10), "W": 0.0}
    assert found.sources == {"Nb": "fitted", "Mo": "fitted", "W": "zero"}
    assert (found.rank, found.n_fitted) == (2, 2)


@pytest.mark.parametrize("policy", ["isolated", "explicit", "foundation", "estimated"])
def test_no_other_policy_gives_zero(settings, training, policy):
    with pytest.raises(UserError, match=r"no value for .*W") as error:
        _fit(
            settings,
            training,
            policy,
            foundation={"Mo": -8.0, "Nb": -7.0},
            residuals=lambda: np.zeros(3),
            energy_reference_ev={"Mo": -1.0, "Nb": -1.0},
            allow_missing_energy_reference=True,
        )
    assert "allow_missing" not in str(error.value)


def test_a_fit_that_is_not_unique_shows_in_the_rank(settings):
    training = Compositions(("Nb", "Mo"), np.array([[1.0, 3], [2, 6]]), np.array([-4.0, -8]), {})
    found = _fit(settings, training, "average")
    assert (found.rank, found.n_fitted) == (1, 2)


def test_estimated_shifts_seen_elements_by_the_fit_and_others_by_the_mean(settings, training):
    shifts = np.array([0.3, -0.1, 0.0])
    found = _fit(settings, training, "estimated", residuals=lambda: training.counts @ shifts)
    assert found.values_ev == {
        "Nb": pytest.approx(-7 + 0.3),
        "Mo": pytest.approx(-8 - 0.1),
        "W": pytest.approx(-9 + 0.1),
    }
    assert found.sources["W"] == "foundation+mean_shift"
    assert found.sources["Mo"] == "foundation+shift"


def test_foundation_keeps_its_values(settings, training):
    found = _fit(settings, training, "foundation")
    assert found.values_ev == {"Nb": -7.0, "Mo": -8.0, "W": -9.0}


def test_explicit_values_must_cover_all_elements(settings, training):
    with pytest.raises(UserError, match="Nb, W"):
        _fit(settings, training, "explicit", energy_reference_ev={"Mo": -1.0})


@pytest.mark.parametrize("policy", ["foundation", "estimated"])
def test_policies_of_a_foundation_need_one(settings, training, policy):
    with pytest.raises(UserError, match="needs a foundation"):
        _fit(settings, training, policy, foundation=None)


def test_isolated_takes_the_atom_without_neighbours_only(settings, double):
    atom = Atoms("W", cell=[20, 20, 20], pbc=True)
    crystal = bulk("Mo", a=3.15)
    for frame, energy in ((atom, -4.5), (crystal, -10.9)):
        frame.info["REF_energy"] = energy
        frame.arrays["REF_forces"] = np.zeros((1, 3))
    frames = [atom, crystal]
    found = compositions(frames, build_graphs(frames, [42, 74], 5.0), [42, 74])
    assert found.isolated_ev == {"W": -4.5}
    with pytest.raises(UserError, match="no value for Mo"):
        _fit(settings, found, "isolated")

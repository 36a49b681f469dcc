"""Spread, error, rank correlation and calibration of a committee."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from mo_hpc.metrics.committee import (
    ROUNDING,
    Uncertainty,
    calibration,
    energy_uncertainty,
    force_uncertainty,
    pooled,
    zero_force_errors,
)
from mo_hpc.metrics.predictions import Predictions

values = st.lists(st.integers(0, 5), min_size=2, max_size=30)


def member(shift_ev: float, shift_ev_per_ang: float, ids: tuple[str, ...] = ("a", "b")):
    """Two frames of one and two atoms; label energies and forces are zero."""
    forces = np.zeros((3, 3))
    forces[:, 0] = shift_ev_per_ang
    return Predictions(
        frame_ids=np.array(ids),
        part=np.array(["test", "test"]),
        host=np.array(["-", "-"]),
        n_atoms=np.array([1, 2]),
        numbers=np.array([42, 42, 41]),
        energy_ref_ev=np.zeros(2),
        energy_pred_ev=np.full(2, shift_ev),
        has_forces=np.array([True, True]),
        forces_ref_ev_per_ang=np.zeros((3, 3)),
        forces_pred_ev_per_ang=forces,
    )


def test_spread_is_the_sample_deviation_and_error_that_of_the_mean():
    members = [member(1.0, 0.1), member(2.0, 0.2), member(3.0, 0.3)]
    energies, forces = energy_uncertainty(members), force_uncertainty(members)
    assert energies.spread == pytest.approx([1000.0, 500.0])
    assert energies.error == pytest.approx([2000.0, 1000.0])
    assert forces.spread == pytest.approx([100.0] * 3)
    assert forces.error == pytest.approx([200.0] * 3)


def test_atoms_that_symmetry_keeps_at_rest_are_left_out_and_counted():
    """They would give any committee a good rank correlation."""
    generator = np.random.default_rng(3)
    members = []
    for _ in range(4):
        each = member(0.0, 0.0)
        each.forces_pred_ev_per_ang[1:] = generator.normal(0, 1, (2, 3))
        members.append(each)
    found = force_uncertainty(members)
    assert (found.spread.size, found.n_at_rest) == (2, 1)
    members[0].forces_ref_ev_per_ang[0] = (0.2, 0.0, 0.0)
    missed = force_uncertainty(members)
    assert (missed.error[0], missed.spread[0]) == (pytest.approx(200.0), 0.0)
    assert missed.n_at_rest == 0
    assert pooled([found, missed]).n_at_rest == 1


def test_all_components_count():
    generator = np.random.default_rng(1)
    members = []
    for _ in range(2000):
        each = member(0.0, 0.0)
        each.forces_pred_ev_per_ang[:] = generator.normal(0, [0.3, 0.4, 1.2], (3, 3))
        members.append(each)
    assert force_uncertainty(members).spread == pytest.approx([1300.0] * 3, rel=0.1)


def test_a_calibrated_committee_lies_on_the_diagonal():
    generator = np.random.default_rng(2)
    spread = generator.uniform(1, 50, 20_000)
    bins = calibration(Uncertainty(spread, np.abs(generator.normal(0, spread))))
    assert [each.n for each in bins] == [2000] * 10
    for each in bins:
        assert each.rmse == pytest.approx(each.spread, rel=0.1)


@given(values, st.data())
def test_rank_correlation_is_that_of_scipy(first, data):
    second = data.draw(st.lists(st.integers(0, 5), min_size=len(first), max_size=len(first)))
    found = Uncertainty(np.array(first, float), np.array(second, float)).rank_correlation
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(first, second).statistic)


@given(values, st.integers(1, 12))
def test_bins_share_out_all_values_in_order(spread, n_bins):
    whole = Uncertainty(np.array(spread, float), np.arange(len(spread), dtype=float))
    bins = calibration(whole, n_bins)
    assert sum(each.n for each in bins) == len(spread)
    assert len(bins) == min(n_bins, len(spread))
    assert [each.spread for each in bins] == sorted(each.spread for each in bins)
    total = sum(each.n * each.rmse**2 for each in bins)
    assert total == pytest.approx(float((whole.error**2).sum()))


def test_nothing_has_neither_correlation_nor_bins():
    nothing = pooled([])
    assert nothing.rank_correlation is None
    assert calibration(nothing) == []


def test_members_must_be_several_and_of_the_same_frames():
    with pytest.raises(ValueError, match="two members"):
        energy_uncertainty([member(0, 0)])
    with pytest.raises(ValueError, match="different frames"):
        force_uncertainty([member(0, 0), member(0, 0, ids=("b", "a"))])


def test_the_order_of_spreads_that_are_rounding_is_no_correlation():
    """Members that are one model, read in single precision, differ in the last digits."""
    generator = np.random.default_rng(4)

    def found(noise: float) -> tuple[Uncertainty, Uncertainty]:
        members = []
        for _ in range(3):
            each = member(-10.0, 1.0)
            each.energy_pred_ev[:] *= 1 + noise * generator.uniform(-1, 1, 2)
            each.forces_pred_ev_per_ang[:] *= 1 + noise * generator.uniform(-1, 1, (3, 3))
            each.forces_ref_ev_per_ang[:, 1] = (0.1, 0.2, 0.3)
            each.energy_ref_ev[:] = (1.0, 4.0)
            members.append(each)
        return energy_uncertainty(members), force_uncertainty(members)

    for rounding, real in zip(found(ROUNDING / 10), found(1000 * ROUNDING), strict=True):
        assert 0 < rounding.spread.max() <= rounding.floor
        assert rounding.rank_correlation is None
        assert real.spread.min() > real.floor
        assert real.rank_correlation is not None
        assert pooled([rounding, real]).floor == pytest.approx(rounding.floor, rel=0.01)


def test_spreads_that_are_rounding_are_equal_to_each_other():
    error = np.array([1.0, 2.0, 3.0, 4.0])
    found = Uncertainty(np.array([2e-9, 1e-9, 5.0, 6.0]), error, floor=1e-8)
    equal = Uncertainty(np.array([0.0, 0.0, 5.0, 6.0]), error)
    assert found.rank_correlation == equal.rank_correlation


def test_no_force_at_all_is_an_error_on_the_same_atoms():
    members = [member(0.0, 0.0) for _ in range(3)]
    members[0].forces_ref_ev_per_ang[1:] = [(0.0, 0.3, 0.4), (0.0, 0.0, -2.0)]
    members[1].forces_pred_ev_per_ang[2] = (0.1, 0.0, 0.0)
    assert zero_force_errors(members) == pytest.approx([500.0, 2000.0])
    assert force_uncertainty(members).error.size == 2
    with pytest.raises(ValueError, match="two members"):
        zero_force_errors(members[:1])

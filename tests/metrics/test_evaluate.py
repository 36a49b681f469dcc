"""Metrics against closed forms, and the properties they must have."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mo_hpc.core.errors import BadDataError, DivergedError
from mo_hpc.metrics.evaluate import evaluate_predictions
from mo_hpc.metrics.offsets import fit_linear
from mo_hpc.metrics.predictions import Predictions

MO_NB = {"Mo": 3, "Nb": 1}


def test_energy_means_are_per_atom(make_frames) -> None:
    frames = make_frames(
        [("test", "bcc", MO_NB, -40.0, -40.04), ("test", "bcc", {"Mo": 4}, -44.0, -43.88)]
    )
    metrics = evaluate_predictions(frames, "test")
    assert metrics["energy_mae_mev_per_atom"] == pytest.approx(20.0)
    assert metrics["energy_rmse_mev_per_atom"] == pytest.approx(math.sqrt(500))
    assert (metrics["n_frames"], metrics["n_atoms"], metrics["n_force_atoms"]) == (2, 8, 0)
    assert metrics["force_mae_mev_per_ang_vector"] is None


def test_force_means_by_component_and_by_vector(make_frames) -> None:
    errors = np.array([[0.003, 0.004, 0.0], [0.0, 0.0, 0.0]])
    frames = make_frames([("test", "bcc", {"Mo": 1, "Nb": 1}, 0.0, 0.0)], errors)
    metrics = evaluate_predictions(frames, "test")
    assert metrics["force_mae_mev_per_ang_component"] == pytest.approx(7 / 6)
    assert metrics["force_rmse_mev_per_ang_component"] == pytest.approx(math.sqrt(25 / 6))
    assert metrics["force_mae_mev_per_ang_vector"] == pytest.approx(2.5)
    assert metrics["force_rmse_mev_per_ang_vector"] == pytest.approx(math.sqrt(12.5))
    assert metrics["by_element"]["Mo"]["force_mae_mev_per_ang_vector"] == pytest.approx(5.0)
    assert metrics["by_element"]["Nb"]["force_mae_mev_per_ang_vector"] == 0.0
    assert metrics["by_element"]["Nb"]["n_force_atoms"] == 1


def test_forces_beside_no_forces_and_their_slope(make_frames) -> None:
    reference = np.array([[0.1, -0.2, 0.0], [0.0, 0.0, 0.6]])
    frames = make_frames([("test", "bcc", {"Mo": 2}, 0.0, 0.0)], reference)
    softened = dataclasses.replace(
        frames, forces_ref_ev_per_ang=reference, forces_pred_ev_per_ang=0.5 * reference
    )
    metrics = evaluate_predictions(softened, "test")
    assert metrics["force_slope"] == pytest.approx(0.5)
    assert metrics["force_mae_mev_per_ang_component_zero_baseline"] == pytest.approx(150.0)
    assert metrics["force_mae_mev_per_ang_component"] == pytest.approx(75.0)
    assert metrics["by_host"]["bcc"]["force_slope"] == pytest.approx(0.5)
    still = dataclasses.replace(softened, forces_ref_ev_per_ang=0.0 * reference)
    assert evaluate_predictions(still, "test")["force_slope"] is None


def test_an_error_that_is_an_offset_by_element_and_host_is_removed_whole(make_frames) -> None:
    offsets = {("bcc", "Mo"): 0.2, ("bcc", "Nb"): -1.0, ("fcc", "Mo"): 0.5, ("fcc", "Nb"): 3.0}
    frames = []
    for host in ("bcc", "fcc"):
        for n_nb in (0, 1, 2):
            shift = (4 - n_nb) * offsets[host, "Mo"] + n_nb * offsets[host, "Nb"]
            frames.append(("test", host, {"Mo": 4 - n_nb, "Nb": n_nb}, -40.0, -40.0 + shift))
    metrics = evaluate_predictions(make_frames(frames), "test")
    assert metrics["energy_mae_mev_per_atom"] > 100
    assert metrics["energy_rmse_mev_per_atom_offset_removed"] == pytest.approx(0, abs=1e-9)
    assert metrics["n_coefficients_offset_removed"] == 4


def test_offset_removed_is_undefined_without_degrees_of_freedom(make_frames) -> None:
    frames = make_frames([("test", "bcc", MO_NB, 0.0, 1.0), ("test", "bcc", {"Mo": 4}, 0.0, 2.0)])
    metrics = evaluate_predictions(frames, "test")
    assert metrics["n_coefficients_offset_removed"] == metrics["n_frames"] == 2
    assert metrics["energy_mae_mev_per_atom_offset_removed"] is None
    assert metrics["n_frames_offset_removed"] == 0
    assert "energy_mae_mev_per_atom_offset_removed" not in metrics["intervals_95"]


def test_offsets_are_removed_host_by_host_and_a_saturated_host_is_left_out(make_frames) -> None:
    """Three frames of pure bcc Mo, with one coefficient; two of fcc, with two."""
    bcc = [("test", "bcc", {"Mo": 2}, 0.0, error) for error in (0.1, 0.2, 0.6)]
    fcc = [("test", "fcc", {"Mo": 2}, 0.0, 5.0), ("test", "fcc", {"Mo": 1, "Nb": 1}, 0.0, -7.0)]
    metrics = evaluate_predictions(make_frames([*bcc, *fcc]), "test")
    key = "energy_mae_mev_per_atom_offset_removed"
    assert metrics["n_frames_offset_removed"] == 3
    assert metrics["n_coefficients_offset_removed"] == 3
    assert metrics["by_host"]["fcc"][key] is None
    # The mean error of bcc is 150 meV/atom, so 100, 50 and 150 meV/atom are left.
    assert metrics["by_host"]["bcc"][key] == pytest.approx(100.0)
    assert metrics[key] == pytest.approx(100.0)
    assert key in metrics["intervals_95"]


def test_train_fits_carry_over_to_the_test_frames(make_frames) -> None:
    frames = make_frames(
        [
            ("train", "bcc", {"Mo": 4}, -40.0, -39.6),
            ("train", "bcc", {"Mo": 3, "Nb": 1}, -39.0, -38.6),
            ("test", "bcc", {"Mo": 2, "Nb": 2}, -38.0, -37.6),
        ]
    )
    metrics = evaluate_predictions(frames, "test")
    assert metrics["energy_mae_mev_per_atom_offset_train"] == pytest.approx(0, abs=1e-9)
    assert metrics["energy_mae_mev_per_atom_linear_baseline"] == pytest.approx(0, abs=1e-9)
    assert metrics["n_frames_uncovered_by_train"] == 0


def test_linear_baseline_gives_an_element_absent_from_training_zero_and_counts_it(
    make_frames,
) -> None:
    frames = make_frames(
        [
            ("train", "bcc", {"Mo": 4}, -40.0, -40.0),
            ("test", "bcc", {"Mo": 3, "W": 1}, -43.0, -43.0),
            ("test", "bcc", {"Mo": 4}, -40.0, -40.0),
        ]
    )
    metrics = evaluate_predictions(frames, "test")
    assert metrics["n_frames_uncovered_by_train"] == 1
    assert metrics["energy_mae_mev_per_atom_linear_baseline"] == pytest.approx(13_000 / 4 / 2)


def test_a_composition_that_never_varies_gives_the_minimum_norm(make_frames) -> None:
    frames = make_frames([("train", "bcc", {"Mo": 1, "Nb": 1}, -4.0, 0.0)] * 3)
    fit = fit_linear(frames, frames.energy_ref_ev)
    assert fit.rank == 1
    assert fit.coefficients_ev == pytest.approx({("bcc", "Nb"): -2.0, ("bcc", "Mo"): -2.0})


def test_without_training_frames_nothing_is_fitted_to_them(make_frames) -> None:
    metrics = evaluate_predictions(make_frames([("test", "bcc", {"Mo": 1}, 0.0, 0.1)]), "test")
    assert metrics["energy_mae_mev_per_atom_offset_train"] is None
    assert metrics["energy_mae_mev_per_atom_linear_baseline"] is None


def test_an_empty_part_has_no_means_and_is_json(make_frames) -> None:
    metrics = evaluate_predictions(make_frames([("test", "bcc", {"Mo": 1}, 0.0, 0.1)]), "valid")
    assert metrics["n_frames"] == 0
    assert metrics["energy_mae_mev_per_atom"] is None
    json.dumps(metrics, allow_nan=False)


def test_by_host_splits_frames_and_counts_them(make_frames) -> None:
    frames = make_frames(
        [("test", "bcc", {"Mo": 1}, 0.0, 0.1), ("test", "fcc", {"Mo": 1}, 0.0, 0.3)],
        np.array([[0.3, 0.0, 0.0], [0.0, 0.6, 0.0]]),
    )
    by_host = evaluate_predictions(frames, "test")["by_host"]
    assert by_host["bcc"]["energy_mae_mev_per_atom"] == pytest.approx(100)
    assert by_host["fcc"]["force_mae_mev_per_ang_component"] == pytest.approx(200)
    assert by_host["fcc"]["n_frames"] == 1


def test_values_that_are_not_finite_are_named(make_frames) -> None:
    with pytest.raises(DivergedError, match=r"1 of 1 frames.*synthetic#0"):
        evaluate_predictions(make_frames([("test", "bcc", {"Mo": 1}, 0.0, math.nan)]), "test")
    with pytest.raises(BadDataError, match="label"):
        evaluate_predictions(make_frames([("train", "bcc", {"Mo": 1}, math.inf, 0.0)]), "test")
    bad_force = np.array([[0.0, math.nan, 0.0]])
    with pytest.raises(DivergedError, match="prediction"):
        evaluate_predictions(make_frames([("test", "bcc", {"Mo": 1}, 0.0, 0.0)], bad_force), "test")


def test_intervals_are_seeded_contain_the_mean_and_widen_with_groups(make_frames) -> None:
    generator = np.random.default_rng(1)
    errors = np.repeat(generator.normal(0, 0.1, 12), 5)
    frames = [("test", "bcc", {"Mo": 1}, 0.0, float(error)) for error in errors]
    singly = evaluate_predictions(make_frames(frames), "test")
    groups = [f"t{number // 5}" for number in range(60)]
    grouped = evaluate_predictions(make_frames(frames, group=groups), "test")
    key = "energy_mae_mev_per_atom"
    low, high = singly["intervals_95"][key]
    assert low < singly[key] < high
    wide_low, wide_high = grouped["intervals_95"][key]
    assert wide_high - wide_low > 1.5 * (high - low)
    assert grouped["n_groups"] == 12
    assert evaluate_predictions(make_frames(frames), "test") == singly


def test_interval_of_a_mean_has_the_width_of_the_standard_error(make_frames) -> None:
    errors = np.random.default_rng(2).normal(0, 0.1, 400)
    frames = [("test", "bcc", {"Mo": 1}, 0.0, float(error)) for error in errors]
    metrics = evaluate_predictions(make_frames(frames), "test")
    low, high = metrics["intervals_95"]["energy_mae_mev_per_atom"]
    expected = 2 * 1.96 * 1000 * np.abs(errors).std() / math.sqrt(400)
    assert high - low == pytest.approx(expected, rel=0.1)


def test_one_structure_has_no_interval(make_frames) -> None:
    metrics = evaluate_predictions(make_frames([("test", "bcc", {"Mo": 1}, 0.0, 0.1)]), "test")
    assert metrics["intervals_95"] == {}


counts = st.tuples(*[st.integers(0, 3)] * 3).filter(lambda count: sum(count) > 0)
offsets = st.tuples(*[st.floats(-20, 20)] * 3)


@st.composite
def random_frames(draw: st.DrawFn) -> Predictions:
    """A few cells of Mo, Nb and W in two hosts, in test and train, with random errors."""
    compositions = draw(st.lists(counts, min_size=3, max_size=12))
    n_atoms = np.array([sum(count) for count in compositions])
    n_frames, total = len(n_atoms), int(n_atoms.sum())
    generator = np.random.default_rng(draw(st.integers(0, 2**31)))
    return Predictions(
        frame_ids=np.array([f"f{number}" for number in range(n_frames)]),
        part=np.where(generator.random(n_frames) < 0.6, "test", "train"),
        host=np.where(generator.random(n_frames) < 0.5, "bcc", "fcc"),
        n_atoms=n_atoms,
        numbers=np.concatenate([np.repeat([42, 41, 74], count) for count in compositions]),
        energy_ref_ev=generator.normal(-10, 1, n_frames) * n_atoms,
        energy_pred_ev=generator.normal(-10, 1, n_frames) * n_atoms,
        has_forces=np.ones(n_frames, dtype=bool),
        forces_ref_ev_per_ang=generator.normal(0, 1, (total, 3)),
        forces_pred_ev_per_ang=generator.normal(0, 1, (total, 3)),
    )


@settings(max_examples=60, deadline=None)
@given(frames=random_frames(), offset=offsets)
def test_offset_diagnostics_ignore_any_offset_per_element(frames: Predictions, offset) -> None:
    per_atom = np.select([frames.numbers == z for z in (42, 41, 74)], offset)
    shift = np.bincount(frames.frame_of_atom, weights=per_atom, minlength=len(frames.n_atoms))
    shifted = dataclasses.replace(frames, energy_pred_ev=frames.energy_pred_ev + shift)
    before, after = (evaluate_predictions(each, "test") for each in (frames, shifted))
    for key in (
        "energy_mae_mev_per_atom_offset_removed",
        "energy_rmse_mev_per_atom_offset_removed",
    ):
        assert after[key] == (None if before[key] is None else pytest.approx(before[key], abs=1e-5))
    assert (
        before["energy_mae_mev_per_atom_linear_baseline"]
        == (after["energy_mae_mev_per_atom_linear_baseline"])
    )
    if before["n_frames_uncovered_by_train"] == 0 and before["n_train_frames_fitted"]:
        full_rank = before["n_coefficients_train"] == len(
            fit_linear(frames.only("train"), frames.only("train").energy_ref_ev).coefficients_ev
        )
        if full_rank:
            key = "energy_mae_mev_per_atom_offset_train"
            assert after[key] == (
                None if before[key] is None else pytest.approx(before[key], abs=1e-5)
            )


@settings(max_examples=60, deadline=None)
@given(frames=random_frames())
def test_order_between_the_means(frames: Predictions) -> None:
    metrics = evaluate_predictions(frames, "test")
    if metrics["n_frames"] == 0:
        return
    vector, component = (
        metrics[f"force_rmse_mev_per_ang_{form}"] for form in ("vector", "component")
    )
    assert vector == pytest.approx(math.sqrt(3) * component)
    assert (
        metrics["force_mae_mev_per_ang_component"] <= metrics["force_mae_mev_per_ang_vector"] + 1e-9
    )
    assert metrics["energy_mae_mev_per_atom"] <= metrics["energy_rmse_mev_per_atom"] + 1e-9
    by_host = metrics["by_host"].values()
    for host in by_host:
        removed = host["energy_rmse_mev_per_atom_offset_removed"]
        assert removed is None or removed <= host["energy_rmse_mev_per_atom"] + 1e-6
    total = sum(host["n_frames"] * host["energy_mae_mev_per_atom"] for host in by_host)
    assert total / metrics["n_frames"] == pytest.approx(metrics["energy_mae_mev_per_atom"])
    json.dumps(metrics, allow_nan=False)

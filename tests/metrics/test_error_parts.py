"""Errors that are made of known parts are divided into these."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from mo_hpc.metrics.error_parts import error_parts, label_energy_ev
from mo_hpc.metrics.evaluate import evaluate_predictions

LEVELS = {"Mo": -10.9, "W": -13.0, "Ta": -11.8, "V": -9.1}
SIZES = {"bcc": 16, "fcc": 12}


def frames(make_frames, added_ev, *, hosts=("bcc", "fcc"), n_copies=2):
    """The strict test set of W in small: alone and with each other, and an error for each cell."""
    chosen = []
    for host, partner, _ in itertools.product(hosts, ("", "W", "Ta", "V"), range(n_copies)):
        dopants = ["W", partner] if partner else ["W"]
        cell = {name: dopants.count(name) for name in set(dopants)}
        cell["Mo"] = SIZES[host] - len(dopants)
        reference = sum(LEVELS[name] * count for name, count in cell.items())
        chosen.append(("test", host, cell, reference, reference + added_ev(host, cell)))
    return make_frames(chosen)


def test_missing_reference_energies_are_the_first_part_alone(make_frames) -> None:
    shift = {"Mo": 0.01, "W": 13.0, "Ta": -0.7, "V": 0.4}
    parts = error_parts(
        frames(make_frames, lambda _, cell: sum(shift[name] * n for name, n in cell.items()))
    )
    assert parts is not None
    assert parts.offsets_ev == pytest.approx(shift)
    assert parts.references == pytest.approx(parts.error)
    assert (parts.hosts, parts.rest) == pytest.approx((0, 0), abs=1e-6)


def test_a_common_shift_is_told_from_the_held_out_element(make_frames) -> None:
    """Every cell has an atom of it, but some have two."""
    parts = error_parts(frames(make_frames, lambda _, cell: 0.15 * sum(cell.values())))
    assert parts is not None
    assert parts.offsets_ev == pytest.approx(dict.fromkeys(LEVELS, 0.15))


def test_a_shift_between_hosts_is_no_offset_of_a_dopant(make_frames) -> None:
    """The shares of dopants differ between hosts too, and could pass for the shift."""
    parts = error_parts(
        frames(make_frames, lambda host, cell: 0.01 * sum(cell.values()) if host == "fcc" else 0.0)
    )
    assert parts is not None
    assert parts.offsets_ev == pytest.approx(dict.fromkeys(LEVELS, 0.005))


def test_what_differs_between_hosts_is_told_from_references(make_frames) -> None:
    parts = error_parts(
        frames(make_frames, lambda host, cell: 0.3 * cell["W"] if host == "fcc" else 0.0)
    )
    assert parts is not None
    assert parts.hosts > 1
    assert parts.rest == pytest.approx(0, abs=1e-6)


def test_one_host_has_nothing_to_differ_from(make_frames) -> None:
    noise = np.random.default_rng(0)
    found = frames(make_frames, lambda *_: float(noise.normal(0, 0.1)), hosts=("bcc",), n_copies=3)
    parts = error_parts(found)
    assert parts is not None
    assert parts.hosts == pytest.approx(0, abs=1e-6)
    assert parts.rest > 0


def noisy(make_frames):
    noise = np.random.default_rng(7)
    return frames(
        make_frames,
        lambda host, cell: 5.0 * cell["W"] + 0.2 * (host == "fcc") + float(noise.normal(0, 0.1)),
        n_copies=3,
    )


def test_squares_add_up(make_frames) -> None:
    parts = error_parts(noisy(make_frames))
    assert parts is not None
    pieces = (parts.references, parts.hosts, parts.rest)
    assert all(piece > 1 for piece in pieces)
    assert sum(piece**2 for piece in pieces) == pytest.approx(parts.error**2)


def test_the_rest_is_the_error_with_offsets_removed(make_frames) -> None:
    predictions = noisy(make_frames)
    parts, metrics = error_parts(predictions), evaluate_predictions(predictions, "test")
    assert parts is not None
    assert parts.rest == pytest.approx(metrics["energy_rmse_mev_per_atom_offset_removed"])
    assert parts.error == pytest.approx(metrics["energy_rmse_mev_per_atom"])
    assert parts.n_coefficients == metrics["n_coefficients_offset_removed"]


def test_reference_energies_change_no_other_part(make_frames) -> None:
    predictions = noisy(make_frames)
    counts = np.bincount(
        predictions.frame_of_atom[predictions.numbers == 74], minlength=len(predictions.n_atoms)
    )
    moved = replace(predictions, energy_pred_ev=predictions.energy_pred_ev + 3.0 * counts)
    before, after = error_parts(predictions), error_parts(moved)
    assert before is not None
    assert after is not None
    assert after.offsets_ev["W"] == pytest.approx(before.offsets_ev["W"] + 3.0)
    assert after.offsets_ev["Ta"] == pytest.approx(before.offsets_ev["Ta"])
    assert after.references > before.references
    assert (after.hosts, after.rest) == pytest.approx((before.hosts, before.rest))


def test_hosts_that_any_error_fits_are_left_out(make_frames) -> None:
    """Four cells of four elements in one host: four coefficients reproduce whatever it is."""
    noise = np.random.default_rng(2)
    alone = frames(make_frames, lambda *_: float(noise.normal()), n_copies=1)
    assert error_parts(alone) is None


def test_cells_of_one_composition_determine_no_offset(make_frames) -> None:
    cell = {"Mo": 15, "W": 1}
    parts = error_parts(make_frames([("test", "bcc", cell, -180.0, -179.0 + n) for n in range(3)]))
    assert parts is not None
    assert parts.offsets_ev == {}
    assert parts.references == pytest.approx(1000 * 2 / 16)


def test_no_frames_make_no_parts(make_frames) -> None:
    assert error_parts(make_frames([])) is None


def test_the_labels_tell_the_energy_of_an_element(make_frames) -> None:
    found = frames(make_frames, lambda *_: 0.0, n_copies=2)
    assert label_energy_ev(found, "W") == pytest.approx(-13.0)
    assert label_energy_ev(found, "Cr") is None


def test_cells_of_one_composition_tell_no_energy(make_frames) -> None:
    cell = {"Mo": 15, "W": 1}
    same = make_frames([("test", "bcc", cell, -180.0, -180.0)] * 3)
    assert label_energy_ev(same, "W") is None

"""Intervals by element, against the record's means and closed forms."""

from __future__ import annotations

import numpy as np

from mo_hpc.metrics.element_intervals import element_intervals_95
from mo_hpc.metrics.evaluate import evaluate_predictions

ENERGY, FORCE = "energy_mae_mev_per_atom", "force_mae_mev_per_ang_component"


def test_an_error_that_is_always_the_same_has_no_width(make_frames):
    frames = [("test", "bcc", {"Mo": 1, "W": 1}, 0.0, 0.02) for _ in range(6)]
    predictions = make_frames(frames, np.full((12, 3), 0.05))
    intervals = element_intervals_95(predictions, "test")
    assert np.allclose(intervals["W"][ENERGY], [10, 10])
    assert np.allclose(intervals["Mo"][FORCE], [50, 50])


def test_groups_are_drawn_and_not_frames(make_frames):
    """Frames of one trajectory are one draw: two trajectories have three possible means."""
    frames = [("test", "bcc", {"W": 1}, 0.0, error) for error in (0.01, 0.01, 0.01, 0.03, 0.03)]
    groups = ["a", "a", "a", "b", "b"]
    intervals = element_intervals_95(make_frames(frames, np.zeros((5, 3)), groups), "test")
    assert np.allclose(intervals["W"][ENERGY], [10, 30])


def test_one_group_has_no_interval_and_other_parts_do_not_count(make_frames):
    frames = [
        ("train", "bcc", {"Ta": 1}, 0.0, 9.0),
        ("test", "bcc", {"Mo": 1}, 0.0, 0.01),
        ("test", "bcc", {"Mo": 1, "W": 1}, 0.0, 0.01),
    ]
    predictions = make_frames(frames, np.zeros((4, 3)))
    intervals = element_intervals_95(predictions, "test")
    assert (
        set(intervals)
        == {"Mo", "W"}
        == set(evaluate_predictions(predictions, "test")["by_element"])
    )
    assert intervals["W"][ENERGY] is None
    assert intervals["Mo"][ENERGY] is not None

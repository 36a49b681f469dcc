"""Where a few-shot curve meets a threshold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mo_hpc.metrics.few_shot import mean_curve, shots_needed

curves = st.dictionaries(st.integers(0, 100), st.floats(0, 10), min_size=1)


def test_a_dip_that_does_not_last_does_not_count():
    errors = {0: 90.0, 1: 40.0, 2: 60.0, 5: 50.0, 10: 30.0}
    assert shots_needed(errors, 50.0) == 5
    assert shots_needed(errors, 20.0) is None
    assert shots_needed(errors, 90.0) == 0


@given(curves, st.floats(0, 10))
def test_every_larger_number_meets_it_and_the_next_smaller_does_not(errors, threshold):
    needed = shots_needed(errors, threshold)
    larger = [shots for shots in errors if needed is not None and shots >= needed]
    assert all(errors[shots] <= threshold for shots in larger)
    smaller = sorted(set(errors) - set(larger))
    assert not smaller or errors[smaller[-1]] > threshold


@given(curves, st.floats(0, 10), st.floats(0, 10))
def test_a_looser_threshold_never_needs_more(errors, a, b):
    strict, loose = (shots_needed(errors, limit) for limit in sorted((a, b)))
    assert strict is None or (loose is not None and loose <= strict)


def test_a_mean_curve_has_only_numbers_that_all_curves_have():
    """Where the worse choice lacks a number, the mean would fall there by that alone."""
    better, worse = {0: 10.0, 2: 4.0, 5: 4.0}, {0: 30.0, 2: 20.0}
    assert mean_curve([better, worse]) == {0: 20.0, 2: 12.0}
    assert shots_needed(mean_curve([better, worse]), 5.0) is None
    assert mean_curve([better, {7: 1.0}]) == mean_curve([]) == {}

"""Tolerances, comparison, and since which commit."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from mo_hpc.regression.compare import compare
from mo_hpc.regression.history import since
from mo_hpc.regression.reference import reference_of
from mo_hpc.regression.report import document_of, lines_of
from mo_hpc.regression.tolerance import K, tolerance

FORCES = "force_mae_mev_per_ang_component"
BASELINE = "energy_mae_mev_per_atom_linear_baseline"
GOOD, BAD = "a" * 40, "b" * 40
values = st.floats(0.1, 1000)


# -- tolerance --------------------------------------------------------------------------


@given(value=values, std=st.floats(0, 100), n=st.integers(2, 20))
def test_the_tolerance_is_k_standard_errors_and_never_below_its_floor(value, std, n):
    allowed = tolerance(FORCES, value, std, n)
    assert allowed >= max(0.01, 0.01 * value)
    assert allowed >= K * std * math.sqrt(2 / n)
    assert allowed in (max(0.01, 0.01 * value), K * std * math.sqrt(2 / n))


def test_counts_may_not_move_and_the_baseline_by_rounding_only():
    assert tolerance("n_frames", 100, 5.0, 5) == 0
    assert tolerance(BASELINE, 100, 5.0, 5) == pytest.approx(1e-4)


def test_the_rate_of_false_alarms_is_the_documented_one():
    assert 2 * student.sf(K, df=4) == pytest.approx(0.0075, abs=1e-4)
    assert 2 * student.sf(K, df=1) == pytest.approx(0.13, abs=0.005)


def test_other_seeds_of_the_same_training_rarely_raise_an_alarm():
    """The claim behind k, where every training of a night is as good as a new seed."""
    generator = random.Random(0)
    alarms = 0
    for _ in range(2000):
        reference, tonight = ([generator.gauss(100, 5) for _ in range(5)] for _ in range(2))
        mean = sum(reference) / 5
        std = math.sqrt(sum((each - mean) ** 2 for each in reference) / 4)
        alarms += abs(sum(tonight) / 5 - mean) > tolerance(FORCES, mean, std, 5)
    assert alarms < 0.015 * 2000


# -- comparison -------------------------------------------------------------------------


@given(seeds=st.lists(values, min_size=2, max_size=6))
def test_a_night_equals_itself(cell, night, seeds):
    tonight = night(a=cell(range(len(seeds)), **{FORCES: seeds}))
    comparison = compare(reference_of(tonight, "first"), [tonight])
    assert (comparison.verdict, comparison.n_compared) == ("pass", 1)


@given(seeds=st.lists(values, min_size=5, max_size=5), factor=st.floats(-3, 3))
def test_a_move_counts_exactly_beyond_the_tolerance(cell, night, seeds, factor):
    before = night(a=cell(**{FORCES: seeds}))
    reference = reference_of(before, "first")
    expected = reference.cells["a"].metrics[FORCES]
    moved = expected.value + factor * expected.tolerance
    comparison = compare(reference, [before, night(2, BAD, a=cell(**{FORCES: moved}))])
    if abs(factor) < 0.999:
        assert comparison.verdict == "pass"
    elif factor > 1.001:
        (move,) = comparison.regressions
        assert comparison.verdict == "regression"
        assert move.change_in_tolerances == pytest.approx(factor)
        assert (move.since.first_bad.origin.commit, move.since.last_good) == (BAD, before)
    elif factor < -1.001:
        assert comparison.verdict == "improved"
        assert not comparison.regressions


@pytest.mark.parametrize(("metric", "value"), [("n_frames", 99), (BASELINE, 90.0)])
def test_what_knows_only_data_and_split_may_not_even_fall(cell, night, metric, value):
    reference = reference_of(night(a=cell(**{metric: 100})), "first")
    comparison = compare(reference, [night(2, a=cell(**{metric: value}))])
    assert comparison.verdict == "regression"
    assert [move.metric for move in comparison.regressions] == [metric]


def test_one_seed_borrows_the_spread_of_the_others(cell, night):
    trained = cell(**{FORCES: [90, 95, 100, 105, 110]})
    reference = reference_of(night(zero=cell([42], **{FORCES: 200}), a=trained), "first")
    borrowed = reference.cells["zero"].metrics[FORCES]
    own = reference.cells["a"].metrics[FORCES]
    assert (own.spread_from, borrowed.spread_from) == ("seeds", "other cells")
    assert borrowed.seed_std == pytest.approx(2 * own.seed_std)
    alone = reference_of(night(zero=cell([42], **{FORCES: 200})), "first").cells["zero"]
    assert alone.metrics[FORCES].spread_from == "unknown"
    assert alone.metrics[FORCES].tolerance == pytest.approx(2)


def test_what_is_missing_is_a_regression_of_its_own(cell, night):
    whole = cell(**{FORCES: 10, "n_frames": 5})
    reference = reference_of(night(a=whole, b=whole, c=whole), "first")
    tonight = night(
        2, unfinished=["b-5"], b=cell([1, 2, 3, 4], **{FORCES: 99}), c=cell(**{FORCES: 10})
    )
    comparison = compare(reference, [tonight])
    assert comparison.verdict == "regression"
    assert not comparison.regressions
    assert comparison.absent == (
        "a has no result",
        "b has seeds 1, 2, 3, 4, the reference seeds 1, 2, 3, 4, 5",
        "c has no n_frames",
    )
    shown = "\n".join(lines_of(tonight, comparison))
    assert "failed (diverged): b-5" in shown
    assert all(sentence in shown for sentence in comparison.absent)


def test_a_cell_that_the_reference_lacks_is_named_and_not_compared(cell, night):
    known = cell(**{FORCES: 10})
    comparison = compare(reference_of(night(a=known), "first"), [night(a=known, new=known)])
    assert (comparison.verdict, comparison.not_compared) == ("pass", ("new",))


# -- since when -------------------------------------------------------------------------


@given(states=st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=12))
def test_a_series_is_bounded_by_its_first_bad_and_the_last_good_night(night, states):
    nights = [night(number + 1, f"{number:040x}") for number in range(len(states))]
    state_of = dict(zip([each.night for each in nights], states, strict=True))
    found = since(nights, lambda each: state_of[each.night])
    known = [each for each in nights if state_of[each.night] is not None]
    if not known or not state_of[known[-1].night]:
        assert found is None
        return
    assert found is not None
    good = [each for each in known if not state_of[each.night]]
    assert found.last_good == (good[-1] if good else None)
    assert found.first_bad == known[known.index(good[-1]) + 1 if good else 0]


def test_the_report_names_metric_amount_and_commit(cell, night):
    good = night(1, GOOD, a=cell(**{FORCES: [90, 95, 100, 105, 110]}))
    bad = [night(day, BAD, processors=("new",), a=cell(**{FORCES: 150})) for day in (2, 3)]
    comparison = compare(reference_of(good, "first"), [good, *bad])
    shown = "\n".join(lines_of(bad[-1], comparison))
    assert "REGRESSION: 1 metrics compared, 1 moved" in shown
    assert f"a: {FORCES}" in shown
    assert "100 → 150 meV/Å (+50; 2.0 tolerances of 25)" in shown
    assert f"since {BAD[:8]} (2026-01-02T033000Z)" in shown
    assert f"good at {GOOD[:8]} (2026-01-01T033000Z); changed: commit, processors" in shown
    (move,) = document_of(comparison)["regressions"]
    assert (move["first_bad"]["commits"], move["last_good"]["commits"]) == ([BAD], [GOOD])
    assert (move["unit"], move["change"]) == ("meV/Å", 50)


def test_nights_with_other_seeds_say_nothing_about_the_series(cell, night):
    good = night(1, GOOD, a=cell(**{FORCES: [9, 10, 11, 10, 10]}))
    narrow = night(2, BAD, a=cell([1], **{FORCES: 99}))
    bad = night(3, "c" * 40, a=cell(**{FORCES: 99}))
    (move,) = compare(reference_of(good, "first"), [good, narrow, bad]).regressions
    assert (move.since.first_bad, move.since.last_good) == (bad, good)

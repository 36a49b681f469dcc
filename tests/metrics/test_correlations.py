"""Correlations against SciPy's, and p-values against every permutation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mo_hpc.metrics.correlations import (
    FEWEST_POINTS,
    N_PERMUTATIONS,
    average_ranks,
    holm,
    linear_relation,
    rank_relation,
)

points = st.lists(
    st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=FEWEST_POINTS, max_size=12
)


@settings(max_examples=30)
@given(points)
def test_both_correlations_are_scipys(pairs) -> None:
    x, y = np.array(pairs, dtype=float).T
    line, ranks = linear_relation(x, y), rank_relation(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert line is None
        assert ranks is None
        return
    expected = stats.linregress(x, y)
    assert line is not None
    assert ranks is not None
    assert (line.r, line.slope, line.intercept) == pytest.approx(
        (expected.rvalue, expected.slope, expected.intercept), abs=1e-9
    )
    assert ranks.rho == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
    assert line.n == ranks.n == len(pairs)


def test_a_few_points_are_permuted_in_every_way() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 4.0, 7.0]), np.array([2.0, 1.0, 4.0, 3.0, 9.0])
    found = rank_relation(x, y)
    every = [
        abs(stats.spearmanr(np.array(order), y).statistic) for order in itertools.permutations(x)
    ]
    assert found is not None
    assert found.p_value == pytest.approx(np.mean(np.array(every) > abs(found.rho) - 1e-9))


def test_random_permutations_agree_with_students_t() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=11)
    y = 0.5 * x + generator.normal(size=11)
    found = linear_relation(x, y)
    assert found is not None
    assert found.p_value == pytest.approx(stats.pearsonr(x, y).pvalue, abs=0.02)
    assert found.p_value >= 1 / (N_PERMUTATIONS + 1)


def test_no_permutation_is_as_good_as_a_straight_line() -> None:
    x = np.arange(11.0)
    found = linear_relation(x, 3 - 2 * x)
    assert found is not None
    assert (found.r, found.slope, found.intercept) == pytest.approx((-1, -2, 3))
    assert found.p_value == pytest.approx(1 / (N_PERMUTATIONS + 1))
    assert found.r_interval_95 == pytest.approx([-1, -1])


def test_the_interval_is_as_wide_as_few_points_make_it() -> None:
    """Fisher's z is known in closed form; the bootstrap must come near it."""
    generator = np.random.default_rng(3)
    x = generator.normal(size=60)
    y = x + generator.normal(size=60)
    found = linear_relation(x, y)
    assert found is not None
    assert found.r_interval_95 is not None
    z = np.arctanh(found.r)
    expected = np.tanh([z - 1.96 / np.sqrt(57), z + 1.96 / np.sqrt(57)])
    assert found.r_interval_95 == pytest.approx(list(expected), abs=0.06)


def test_three_points_are_too_few() -> None:
    x = np.arange(3.0)
    assert linear_relation(x, x) is None
    assert rank_relation(x, x) is None


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_ranks_are_scipys(values) -> None:
    assert average_ranks(np.array(values, dtype=float)).tolist() == stats.rankdata(values).tolist()


def test_holms_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []

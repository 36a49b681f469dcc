from __future__ import annotations

import numpy as np
import pytest
import torch

from mo_hpc.training.choosing import farthest_first, force_spreads, most_disputed, nearest_of

NAMES = [f"frame#{number}" for number in range(12)]


@pytest.fixture
def structures() -> list[torch.Tensor]:
    """Descriptors of twelve structures of one to four atoms each."""
    generator = torch.Generator().manual_seed(5)
    sizes = [1, 2, 3, 4] * 3
    return [torch.randn(n, 6, generator=generator, dtype=torch.float64) for n in sizes]


def from_known(structures, known):
    return [nearest_of(atoms, known) for atoms in structures]


def largest_gap(structures, known):
    """Distance of the atom that is farthest from all known ones."""
    return max(float(each.max()) for each in from_known(structures, known))


def test_each_structure_taken_has_the_atom_farthest_from_all_known_ones(structures):
    known = torch.zeros(3, 6, dtype=torch.float64)
    found = farthest_first(structures, from_known(structures, known), NAMES, 6)
    assert len(set(found.order)) == 6
    for taken, score in zip(found.order, found.scores, strict=True):
        assert score == pytest.approx(largest_gap(structures, known), rel=1e-12)
        assert float(nearest_of(structures[taken], known).max()) == pytest.approx(score)
        known = torch.cat([known, structures[taken]])
    assert list(found.scores) == sorted(found.scores, reverse=True)


def test_farthest_first_leaves_smaller_gaps_than_most_random_choices(structures):
    known = torch.zeros(1, 6, dtype=torch.float64)
    found = farthest_first(structures, from_known(structures, known), NAMES, 4)

    def gap(places):
        return largest_gap(structures, torch.cat([known, *(structures[i] for i in places)]))

    generator = np.random.default_rng(1)
    drawn = [gap(generator.choice(12, 4, replace=False)) for _ in range(200)]
    assert gap(found.order) < np.quantile(drawn, 0.25)


def test_what_is_known_already_is_taken_last(structures):
    known = torch.cat([structures[0], structures[7]])
    found = farthest_first(structures, from_known(structures, known), NAMES, 12)
    assert set(found.order[-2:]) == {0, 7}
    assert found.scores[-2:] == (0.0, 0.0)


def test_fewer_are_among_more_and_equal_ones_go_by_name(structures):
    known = from_known(structures, torch.zeros(1, 6, dtype=torch.float64))
    few, more = (farthest_first(structures, known, NAMES, n) for n in (2, 5))
    assert more.order[:2] == few.order
    best = more.order[0]
    # A copy that rounding has set apart by less than it may.
    twin = structures[best] * (1 + 1e-7)
    doubled = [*structures, twin]
    for name, taken in (("a#0", 12), ("z#0", best)):
        found = farthest_first(
            doubled,
            from_known(doubled, torch.zeros(1, 6, dtype=torch.float64)),
            [*NAMES, name],
            1,
        )
        assert found.order == (taken,)


def test_the_most_disputed_atom_speaks_for_its_structure():
    spreads = [np.array([0.1, 0.1]), np.array([0.0, 0.3]), np.array([0.2]), np.array([0.3])]
    found = most_disputed(spreads, ["d", "c", "b", "a"], 3)
    assert found.order == (3, 1, 2)
    assert found.scores == (0.3, 0.3, 0.2)


def test_the_spread_of_forces_is_that_of_their_components_summed():
    generator = np.random.default_rng(3)
    forces = generator.normal(size=(4, 7, 3))
    expected = [
        np.sqrt(sum(np.var(forces[:, atom, axis], ddof=1) for axis in range(3)))
        for atom in range(7)
    ]
    np.testing.assert_allclose(force_spreads(forces), expected, rtol=1e-12)

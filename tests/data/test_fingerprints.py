"""Fingerprints see the structure and nothing else of how it is written down."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from mo_hpc.data.fingerprints import (
    DUPLICATE_TOLERANCE,
    NEAR_TOLERANCE,
    families,
    surroundings,
)

SEEDS = st.integers(min_value=0, max_value=2**32 - 1)


def _alloy(seed: int) -> Atoms:
    random = np.random.default_rng(seed)
    atoms = bulk("Mo", "bcc", a=3.15, cubic=True) * (2, 2, 2)
    atoms.symbols[list(random.choice(16, size=5, replace=False))] = "Ta"
    atoms.positions += random.normal(0.0, 0.1, atoms.positions.shape)
    return atoms


def _same(one: Atoms, other: Atoms, tolerance: float) -> bool:
    names = families(
        [one.get_chemical_formula(), other.get_chemical_formula()],
        [surroundings(one).profile, surroundings(other).profile],
        tolerance,
    )
    return names[0] == names[1]


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, shift=st.tuples(*[st.floats(-20, 20)] * 3))
def test_duplicates_survive_translation_and_wrapping(
    seed: int, shift: tuple[float, float, float]
) -> None:
    atoms = _alloy(seed)
    moved = atoms.copy()
    moved.positions += np.array(shift)
    moved.wrap()
    assert _same(atoms, moved, DUPLICATE_TOLERANCE)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, order=st.permutations(range(16)))
def test_duplicates_survive_renumbering(seed: int, order: list[int]) -> None:
    atoms = _alloy(seed)
    assert _same(atoms, atoms[order], DUPLICATE_TOLERANCE)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, angle=st.floats(0, 360))
def test_duplicates_survive_rotation(seed: int, angle: float) -> None:
    atoms = _alloy(seed)
    turned = atoms.copy()
    turned.rotate(angle, (1, 2, 3), rotate_cell=True)
    assert _same(atoms, turned, DUPLICATE_TOLERANCE)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_a_small_movement_is_near_and_a_large_one_is_not(seed: int) -> None:
    atoms = _alloy(seed)
    random = np.random.default_rng(seed)
    direction = random.normal(size=atoms.positions.shape)
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    near, far = atoms.copy(), atoms.copy()
    near.positions += 0.001 * direction
    far.positions += 0.15 * direction
    assert not _same(atoms, near, DUPLICATE_TOLERANCE)
    assert _same(atoms, near, NEAR_TOLERANCE)
    assert not _same(atoms, far, NEAR_TOLERANCE)


def test_a_dopant_pair_on_another_shell_is_another_structure() -> None:
    cell = bulk("Mo", "bcc", a=3.15, cubic=True) * (3, 3, 3)
    distances = np.round(cell.get_distances(0, range(len(cell)), mic=True), 3)
    pairs = []
    for radius in np.unique(distances)[1:4]:
        pair = cell.copy()
        pair.symbols[[0, int(np.flatnonzero(distances == radius)[0])]] = "Ta"
        pairs.append(pair)
    assert not _same(pairs[0], pairs[1], NEAR_TOLERANCE)
    assert not _same(pairs[1], pairs[2], NEAR_TOLERANCE)


def _orderings() -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """All inequivalent ways to place two elements on 16 BCC sites, and the symmetry's maps."""
    quarters = [(x, y, z) for x in (0, 2) for y in (0, 2) for z in (0, 2)]
    sites = np.array(quarters + [(x + 1, y + 1, z + 1) for x, y, z in quarters])
    number = {tuple(site): place for place, site in enumerate(sites.tolist())}
    maps = set()
    for axes in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            for shift in sites:
                images = (sites[:, axes] * signs + shift) % 4
                maps.add(tuple(number[tuple(image)] for image in images.tolist()))
    ordered = np.array(sorted(maps))
    colours = (np.arange(2**16)[:, None] >> np.arange(16)) & 1
    powers = 1 << np.arange(16)
    smallest = np.min([colours[:, images] @ powers for images in ordered], axis=0)
    return [tuple(colours[code]) for code in np.unique(smallest)], list(ordered)


def test_all_inequivalent_orderings_of_a_small_cell_are_told_apart() -> None:
    orderings, maps = _orderings()
    assert len(maps) == 768
    assert len(orderings) == 331  # Burnside's count for the cell's symmetry group
    cell = bulk("Mo", "bcc", a=3.15, cubic=True) * (2, 2, 2)
    quarters = np.round(cell.get_scaled_positions() * 4).astype(int)
    corner = (quarters % 2).sum(axis=1)
    order = np.lexsort((quarters[:, 2], quarters[:, 1], quarters[:, 0], corner))
    cell = cell[order]
    frames = []
    for ordering in orderings:
        for colours in (ordering, np.array(ordering)[maps[123]]):
            frame = cell.copy()
            frame.symbols[list(np.flatnonzero(colours))] = "Nb"
            frames.append(frame)
    formulas = [frame.get_chemical_formula() for frame in frames]
    profiles = [surroundings(frame).profile for frame in frames]
    for tolerance in (DUPLICATE_TOLERANCE, NEAR_TOLERANCE):
        names = families(formulas, profiles, tolerance)
        assert names[0::2] == names[1::2]
        assert len(set(names)) == 331


def test_equal_profiles_of_other_compositions_are_never_compared() -> None:
    profile = np.zeros(4)
    names = families(["Mo2", "Ta2", "Mo2"], [profile] * 3, NEAR_TOLERANCE)
    assert names[0] == names[2] != names[1]


def test_a_scan_in_small_steps_is_not_one_family() -> None:
    profiles = [np.full(3, 0.6 * NEAR_TOLERANCE * step) for step in range(10)]
    assert len(set(families(["Mo"] * 10, profiles, NEAR_TOLERANCE))) == 5


def test_the_closest_contact_is_found_across_the_boundary() -> None:
    atoms = bulk("Mo", "bcc", a=3.15, cubic=True) * (2, 2, 2)
    atoms.positions[15] = atoms.positions[0] + (-1.0, 0.0, 0.0)
    assert abs(surroundings(atoms).closest_ang - 1.0) < 1e-9

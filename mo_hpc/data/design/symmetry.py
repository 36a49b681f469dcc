"""Which sites, and which pairs of sites, of a crystal are equivalent by its symmetry.

An operation takes fractional coordinates s (rows) to s W + t. W is an integer matrix that keeps
the metric, W G W^T = G with G the scalar products of the cell vectors; t is a translation under
which every atom falls on one of its own element. In a Minkowski-reduced cell the entries of all
W are -1, 0 or 1, so they can be tried one by one.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.geometry import minkowski_reduce
from scipy.spatial import cKDTree

Permutation = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]

TOLERANCE_ANG = 1e-3
"""How far an atom may be from where an operation says it is."""


class CrystalSymmetry:
    """Sites and pairs of a periodic structure, each by the first one equivalent to it."""

    def __init__(self, crystal: Atoms) -> None:
        cell = minkowski_reduce(crystal.cell.array)[0]
        self._numbers = crystal.numbers
        self._positions = crystal.positions @ np.linalg.inv(cell)
        self._rotations = _metric_preserving(cell)
        self._cell = cell
        self._tree = cKDTree(_wrapped(self._positions), boxsize=1.0)
        self._stabilisers: dict[int, list[Permutation]] = {}
        self._first, self._to_first = self._site_orbits()

    def first_equivalent(self, site: int) -> int:
        """The lowest site that an operation maps this one to."""
        return int(self._first[site])

    def first_equivalent_pair(self, first: int, second: int) -> tuple[int, int]:
        """The lowest ordered pair of sites that an operation maps this ordered pair to."""
        origin = self.first_equivalent(first)
        image = self._to_first[first][second]
        return origin, min(int(each[image]) for each in self._stabiliser(origin))

    def _site_orbits(self) -> tuple[npt.NDArray[np.int64], list[Permutation]]:
        n_sites = len(self._numbers)
        first = np.full(n_sites, -1)
        to_first: list[Permutation] = []
        for site in range(n_sites):
            origins = [*np.flatnonzero(first[:site] == np.arange(site)), site]
            origin, operation = next(
                (int(origin), found)
                for origin in origins
                if (found := self._any_operation(site, int(origin))) is not None
            )
            first[site] = origin
            to_first.append(operation)
        return first, to_first

    def _any_operation(self, site: int, target: int) -> Permutation | None:
        found = (self._operation(rotation, site, target) for rotation in self._rotations)
        return next((each for each in found if each is not None), None)

    def _stabiliser(self, site: int) -> list[Permutation]:
        """All operations that leave a site where it is."""
        if site not in self._stabilisers:
            tried = (self._operation(rotation, site, site) for rotation in self._rotations)
            self._stabilisers[site] = [each for each in tried if each is not None]
        return self._stabilisers[site]

    def _operation(self, rotation: Array, site: int, target: int) -> Permutation | None:
        """Where a rotation that takes one site to another puts each atom; None: on no atom."""
        if self._numbers[site] != self._numbers[target]:
            return None
        moved = (self._positions - self._positions[site]) @ rotation + self._positions[target]
        _, image = self._tree.query(_wrapped(moved))
        missed = moved - self._positions[image]
        missed -= np.round(missed)
        on_atoms = np.linalg.norm(missed @ self._cell, axis=1).max() < TOLERANCE_ANG
        if not on_atoms or (self._numbers[image] != self._numbers).any():
            return None
        return np.asarray(image, dtype=np.int64)


def _metric_preserving(cell: Array) -> npt.NDArray[Any]:
    """The integer matrices that keep all lengths and angles, shape (n, 3, 3); identity first."""
    entries = np.array(list(product((-1, 0, 1), repeat=9))).reshape(-1, 3, 3)
    metric = cell @ cell.T
    images = entries @ metric @ entries.transpose(0, 2, 1)
    longest = np.sqrt(np.diag(metric).max())
    kept = entries[np.abs(images - metric).max(axis=(1, 2)) < TOLERANCE_ANG * longest]
    order = np.argsort(np.abs(kept - np.eye(3)).sum(axis=(1, 2)), kind="stable")
    return np.asarray(kept[order])


def _wrapped(fractional: Array) -> Array:
    wrapped = fractional - np.floor(fractional)
    # What lies a rounding error below 0 is wrapped to 1 itself, which is outside the box.
    return np.where(wrapped >= 1.0, 0.0, wrapped)

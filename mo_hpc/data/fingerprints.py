"""Duplicate and near-duplicate frames, by structure alone.

**Definition.** Each atom *i* gets numbers that describe its surroundings within 6 Å, with five
overlapping radial bumps ``phi_k`` and, for the p-th of the frame's elements by atomic number,
the weight w = sqrt(p)::

    n[i, k] = sum_j phi_k(r_ij)
    m[i, k] = sum_j w_j phi_k(r_ij)
    T[i]    = 2 sum_j w_j g(r_ij) (u_ij u_ij^T - 1/3)            u_ij: unit vector from i to j
    o[i, k] = sum_j w_j phi_k(r_ij) T[i] : T[j]

``n`` and ``m`` see pairs of atoms. The orientation term ``o`` sees four atoms at once: small
cells have many inequivalent orderings whose pairs are all the same. The profile of a frame
holds, for each element, the sorted values of each number. It does not change when the frame is
moved, rotated, mirrored, wrapped or its atoms are renumbered, and it moves by about as many
units as atoms move in Å.

Frames of the same composition form families: in file order, a frame joins the first family
whose first frame's profile differs by at most a tolerance in every entry, or else founds its
own. Families at `DUPLICATE_TOLERANCE` are *duplicates*, at `NEAR_TOLERANCE` *near-duplicates*.
No chaining: a fine scan of strains does not become one family.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mo_hpc.data.neighbours import sum_per_atom

if TYPE_CHECKING:
    from ase import Atoms

Array = npt.NDArray[np.float64]

DUPLICATE_TOLERANCE = 1e-4
"""About Å: what is left of equal structures after files were written with five decimals."""
NEAR_TOLERANCE = 0.01
"""About Å: well below the thermal motion of a metal at room temperature."""

CUTOFF_ANG = 6.0
_CENTRES_ANG = np.array([2.2, 3.0, 3.8, 4.6, 5.4])
_WIDTH_ANG = 0.5


@dataclass(frozen=True)
class Surroundings:
    """What a frame's neighbour list says.

    Attributes:
        profile: The invariant profile, see the module's text.
        closest_ang: Shortest distance between two atoms in Å (infinite if none is near).
        closest_pair: Atomic numbers of that pair.
        crowding: Smallest ratio of a distance to the sum of the covalent radii.
    """

    profile: Array
    closest_ang: float
    closest_pair: tuple[int, int]
    crowding: float


def surroundings(frame: Atoms) -> Surroundings:
    """Computes the profile and the closest contact of a frame."""
    from ase.data import covalent_radii
    from matscipy.neighbours import neighbour_list

    first, second, distances, vectors = neighbour_list("ijdD", frame, CUTOFF_ANG)
    numbers = frame.numbers
    profile = _profile(numbers, first, second, distances, vectors)
    if not len(distances):
        return Surroundings(profile, np.inf, (0, 0), np.inf)
    ratios = distances / (covalent_radii[numbers[first]] + covalent_radii[numbers[second]])
    closest = int(np.argmin(ratios))
    pair = (int(numbers[first[closest]]), int(numbers[second[closest]]))
    return Surroundings(profile, float(distances[closest]), pair, float(ratios[closest]))


def families(compositions: Sequence[str], profiles: Sequence[Array], tolerance: float) -> list[str]:
    """Gives each frame the name of its family; frames of one family have equal names.

    Args:
        compositions: What must be equal for two frames to be compared, such as ``Mo15Ta``.
        profiles: The frames' profiles.
        tolerance: Largest difference to an entry of the family's first frame.
    """
    buckets: dict[str, list[int]] = defaultdict(list)
    for number, composition in enumerate(compositions):
        buckets[composition].append(number)
    names = [""] * len(compositions)
    for composition, members in buckets.items():
        stacked = np.array([profiles[member] for member in members])
        for member, leader in zip(members, _leaders(stacked, tolerance), strict=True):
            names[member] = _name(composition, stacked[leader])
    return names


def _profile(
    numbers: npt.NDArray[np.int64],
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    distances: Array,
    vectors: Array,
) -> Array:
    n_atoms = len(numbers)
    reach = 0.5 * (1 + np.cos(np.pi * distances / CUTOFF_ANG))
    # Ranks, not atomic numbers: those of Nb and Mo, or Ta and W, hardly differ.
    ranks = np.searchsorted(np.unique(numbers), numbers)
    weight = np.sqrt(1.0 + ranks)[second]
    orientation = _orientations(first, 2.0 * weight * reach, vectors / distances[:, None], n_atoms)
    alignment = np.einsum("pxy,pxy->p", orientation[first], orientation[second])
    values: list[Array] = []
    for centre in _CENTRES_ANG:
        bump = _WIDTH_ANG * reach * np.exp(-(((distances - centre) / _WIDTH_ANG) ** 2))
        values += [bump, weight * bump, weight * bump * alignment]
    stacked = np.stack([sum_per_atom(first, value, n_atoms) for value in values])
    parts = [np.sort(stacked[:, numbers == z], axis=1) for z in np.unique(numbers)]
    return np.concatenate(parts, axis=1).ravel()


def _orientations(
    first: npt.NDArray[np.int64], strength: Array, directions: Array, n_atoms: int
) -> Array:
    """The traceless tensor T of each atom, shape (n_atoms, 3, 3)."""
    tensors = np.zeros((n_atoms, 3, 3))
    for row, column in combinations_with_replacement(range(3), 2):
        products = directions[:, row] * directions[:, column] - (row == column) / 3.0
        tensors[:, row, column] = sum_per_atom(first, strength * products, n_atoms)
        tensors[:, column, row] = tensors[:, row, column]
    return tensors


def _leaders(profiles: Array, tolerance: float) -> list[int]:
    """For each row the first row within the tolerance that itself leads a family."""
    means = profiles.mean(axis=1)
    leading: list[int] = []
    leading_means = np.empty(0)
    chosen: list[int] = []
    for row, mean in enumerate(means):
        # Rows whose means differ by more than the tolerance cannot agree entry by entry.
        near = [leading[i] for i in np.flatnonzero(np.abs(leading_means - mean) <= tolerance)]
        differences = np.abs(profiles[near] - profiles[row]).max(axis=1, initial=0.0)
        agreeing = np.flatnonzero(differences <= tolerance)
        if len(agreeing):
            chosen.append(near[agreeing[0]])
            continue
        leading.append(row)
        leading_means = np.append(leading_means, mean)
        chosen.append(row)
    return chosen


def _name(composition: str, profile: Array) -> str:
    text = composition.encode() + np.round(profile, 3).tobytes()
    return hashlib.sha256(text).hexdigest()[:16]

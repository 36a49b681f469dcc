"""Which structures of a new element to train on: the rules, on descriptors and forces alone.

Neither rule looks at a label: what is chosen is what would be computed next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

ROUNDING = 1e-5
"""Scores that differ by less, relatively, are equal: their order would be that of rounding."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Structures in the order in which a rule takes them.

    Attributes:
        order: Their positions.
        scores: The score of each when it was taken, never rising.
    """

    order: tuple[int, ...]
    scores: tuple[float, ...]


def farthest_first(
    atoms: Sequence[torch.Tensor],
    from_known: Sequence[torch.Tensor],
    names: Sequence[str],
    n_wanted: int,
) -> Ranking:
    """Farthest-point sampling of atoms, in which an atom brings its whole structure.

    Each time, the atom of any structure left that is farthest from its nearest known atom decides
    (Gonzalez, Theor. Comput. Sci. 1985, 38, 293); the atoms of its structure are known then. The
    largest distance that is left cannot be more than twice that of the best possible choice.

    Args:
        atoms: Descriptors of each structure's atoms, shape (n_atoms, n_features).
        from_known: Distance of each of these from the nearest atom known beforehand.
        names: The structures' names; of structures equally far, the first by name is taken.
        n_wanted: How many structures to take.
    """
    nearest = list(from_known)
    left = set(range(len(atoms)))
    order: list[int] = []
    scores: list[float] = []
    while len(order) < n_wanted:
        farthest = {place: float(nearest[place].max()) for place in left}
        taken = _first_of_the_best(farthest, names)
        left.remove(taken)
        order.append(taken)
        scores.append(farthest[taken])
        for place in left:
            nearest[place] = nearest[place].minimum(nearest_of(atoms[place], atoms[taken]))
    return Ranking(tuple(order), tuple(scores))


def nearest_of(atoms: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Distance of each atom from the nearest of the known ones, shape (n_atoms,).

    Args:
        atoms: Descriptors, shape (n_atoms, n_features).
        known: Descriptors, shape (n_known, n_features).
    """
    # The faster way by matrix products loses half of the digits.
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(atoms, known, compute_mode=exact).min(dim=1).values


def most_disputed(
    spreads: Sequence[NDArray[np.float64]], names: Sequence[str], n_wanted: int
) -> Ranking:
    """The structures with the atoms on whose force a committee disagrees most.

    A structure counts as much as its most disputed atom, as in DP-GEN (Zhang et al., Comput.
    Phys. Commun. 2020, 253, 107206).

    Args:
        spreads: Spread of the predicted force of each structure's atoms, shape (n_atoms,).
        names: The structures' names; of structures equally disputed, the first by name is taken.
        n_wanted: How many structures to take.
    """
    largest = {place: float(values.max()) for place, values in enumerate(spreads)}
    order: list[int] = []
    scores: list[float] = []
    while len(order) < n_wanted:
        taken = _first_of_the_best(largest, names)
        order.append(taken)
        scores.append(largest.pop(taken))
    return Ranking(tuple(order), tuple(scores))


def force_spreads(forces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square root of the sample variances of the force's components, summed, shape (n_atoms,).

    Args:
        forces: Of each member of a committee, eV/Å, shape (n_members, n_atoms, 3).
    """
    return np.asarray(np.sqrt(forces.var(axis=0, ddof=1).sum(axis=1)), dtype=np.float64)


def _first_of_the_best(scores: dict[int, float], names: Sequence[str]) -> int:
    limit = max(scores.values()) * (1 - ROUNDING)
    return min((place for place in scores if scores[place] >= limit), key=names.__getitem__)

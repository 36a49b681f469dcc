"""Sums over neighbour lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def sum_per_atom(
    first: npt.NDArray[Any], values: npt.NDArray[np.float64], n_atoms: int
) -> npt.NDArray[np.float64]:
    """Adds up the values of all pairs of each atom.

    Args:
        first: The pairs' first atoms, shape (n_pairs,).
        values: The pairs' values, shape (n_pairs,).
        n_atoms: Number of atoms.

    Returns:
        The sums, shape (n_atoms,).
    """
    return np.asarray(np.bincount(first, values, n_atoms), dtype=np.float64)

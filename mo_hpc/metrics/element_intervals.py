"""Intervals of the errors by element, from predictions: the record has the means alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mo_hpc.core.elements import SYMBOLS
from mo_hpc.metrics.bootstrap import group_sums, interval_95, resampled_means
from mo_hpc.metrics.energies import energy_errors_mev_per_atom
from mo_hpc.metrics.forces import force_errors_mev_per_ang
from mo_hpc.metrics.predictions import Predictions

ENERGY = "energy_mae_mev_per_atom"
FORCE = "force_mae_mev_per_ang_component"


def element_intervals_95(
    predictions: Predictions, part: str
) -> dict[str, dict[str, list[float] | None]]:
    """Bootstrap 95 % intervals over groups of frames, by element.

    Args:
        predictions: All frames of a task.
        part: ``train``, ``valid`` or ``test``.

    Returns:
        Symbol → the interval of the energy MAE of the frames that contain the element, and of
        the component force MAE of its atoms; None where there is only one group, or no atom.
    """
    frames = predictions.only(part)
    groups, group_of_frame = np.unique(frames.group, return_inverse=True)
    forces = np.abs(force_errors_mev_per_ang(frames)).mean(axis=1)
    with_forces = frames.has_forces[frames.frame_of_atom]
    force_numbers = frames.numbers[with_forces]
    force_groups = group_of_frame[frames.frame_of_atom[with_forces]]
    energies = np.abs(energy_errors_mev_per_atom(frames))
    document = {}
    for number in np.unique(frames.numbers).tolist():
        containing = np.unique(frames.frame_of_atom[frames.numbers == number])
        atoms = force_numbers == number
        document[SYMBOLS[number - 1]] = {
            ENERGY: _interval(energies[containing], group_of_frame[containing], len(groups)),
            FORCE: _interval(forces[atoms], force_groups[atoms], len(groups)),
        }
    return document


def _interval(
    values: NDArray[np.float64], group: NDArray[np.int64], n_groups: int
) -> list[float] | None:
    if len(np.unique(group)) <= 1:
        return None
    sums = group_sums(values, group, n_groups)
    counts = group_sums(np.ones(len(values)), group, n_groups)
    return interval_95(resampled_means(sums[None], counts[None])[:, 0])

"""All metrics of one task: what ``metrics.json`` carries (keys in ``docs/metrics.md``)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mo_hpc.core.elements import SYMBOLS
from mo_hpc.core.errors import BadDataError, DivergedError
from mo_hpc.metrics.bootstrap import group_sums, interval_95, resampled_means
from mo_hpc.metrics.energies import energy_means
from mo_hpc.metrics.energy_fits import EnergyFits
from mo_hpc.metrics.forces import force_errors_mev_per_ang, force_means, force_scale
from mo_hpc.metrics.predictions import Predictions

Errors = NDArray[np.float64]


def evaluate_predictions(predictions: Predictions, part: str) -> dict[str, Any]:
    """Errors of one part of the frames, as plain JSON values.

    Args:
        predictions: All frames of a task; the training frames serve the offsets and the
            linear baseline.
        part: ``train``, ``valid`` or ``test``.

    Returns:
        Metric name → value. A mean over nothing is None, never zero.

    Raises:
        DivergedError: If a predicted value is not a finite number.
        BadDataError: If a label is not a finite number.
    """
    frames, train = predictions.only(part), predictions.only("train")
    _require_finite(frames)
    _require_finite(train)
    fits = EnergyFits.of(frames, train)
    energy_errors = fits.errors_mev_per_atom(frames)
    forces = force_errors_mev_per_ang(frames)
    metrics: dict[str, Any] = {"part": part} | _counts(frames)
    for suffix, errors in energy_errors.items():
        metrics |= energy_means(errors, suffix)
    return (
        metrics
        | fits.counts(frames)
        | force_means(forces)
        | force_scale(frames)
        | {
            "intervals_95": _intervals(frames, energy_errors, forces),
            "by_element": _by_element(frames, energy_errors, forces),
            "by_host": _by_host(frames, energy_errors),
        }
    )


def _counts(frames: Predictions) -> dict[str, int]:
    return {
        "n_frames": len(frames.frame_ids),
        "n_groups": len(np.unique(frames.group)),
        "n_atoms": len(frames.numbers),
        "n_force_frames": int(frames.has_forces.sum()),
        "n_force_atoms": len(frames.forces_ref_ev_per_ang),
    }


def _intervals(
    frames: Predictions, energy_errors: dict[str, Errors], forces: Errors
) -> dict[str, list[float] | None]:
    """Bootstrap 95 % intervals by key; the fits behind the offsets are held fixed."""
    groups, group_of_frame = np.unique(frames.group, return_inverse=True)
    n_groups = len(groups)
    if n_groups <= 1:
        return {}
    group_of_force = np.repeat(group_of_frame, frames.n_atoms * frames.has_forces)
    terms: dict[str, tuple[Errors, NDArray[np.int64], int]] = {}
    for suffix, errors in energy_errors.items():
        defined = ~np.isnan(errors)
        if defined.any():
            inside, group = errors[defined], group_of_frame[defined]
            terms[f"energy_mae_mev_per_atom{suffix}"] = (np.abs(inside), group, 1)
            terms[f"energy_rmse_mev_per_atom{suffix}"] = (inside**2, group, 2)
    if len(forces):
        squares = (forces**2).sum(axis=1)
        absolute = np.abs(forces).mean(axis=1)
        terms |= {
            "force_mae_mev_per_ang_component": (absolute, group_of_force, 1),
            "force_rmse_mev_per_ang_component": (squares / 3, group_of_force, 2),
            "force_mae_mev_per_ang_vector": (np.sqrt(squares), group_of_force, 1),
            "force_rmse_mev_per_ang_vector": (squares, group_of_force, 2),
        }
    sums = np.array([group_sums(values, group, n_groups) for values, group, _ in terms.values()])
    counts = np.array(
        [group_sums(np.ones(len(group)), group, n_groups) for _, group, _ in terms.values()]
    )
    means = resampled_means(sums, counts)
    return {
        key: interval_95(means[:, column] ** (1 / power))
        for column, (key, (_, _, power)) in enumerate(terms.items())
    }


def _by_element(
    frames: Predictions, energy_errors: dict[str, Errors], forces: Errors
) -> dict[str, dict[str, float | int | None]]:
    """Forces on the atoms of an element, and energies of the frames that contain it."""
    with_forces = frames.has_forces[frames.frame_of_atom]
    force_numbers = frames.numbers[with_forces]
    document: dict[str, dict[str, float | int | None]] = {}
    for number in np.unique(frames.numbers).tolist():
        containing = np.unique(frames.frame_of_atom[frames.numbers == number])
        means: dict[str, float | int | None] = {
            "n_frames": len(containing),
            "n_force_atoms": int((force_numbers == number).sum()),
        }
        for suffix, errors in energy_errors.items():
            means |= energy_means(errors[containing], suffix)
        document[SYMBOLS[number - 1]] = means | force_means(forces[force_numbers == number])
    return document


def _by_host(
    frames: Predictions, energy_errors: dict[str, Errors]
) -> dict[str, dict[str, float | int | None]]:
    """The same means over the frames of one host crystal."""
    document: dict[str, dict[str, float | int | None]] = {}
    for host in np.unique(frames.host).tolist():
        inside = frames.host == host
        chosen = frames.select(inside)
        means: dict[str, float | int | None] = {
            "n_frames": int(inside.sum()),
            "n_force_atoms": len(chosen.forces_ref_ev_per_ang),
        }
        for suffix, errors in energy_errors.items():
            means |= energy_means(errors[inside], suffix)
        document[host] = means | force_means(force_errors_mev_per_ang(chosen)) | force_scale(chosen)
    return document


def _require_finite(frames: Predictions) -> None:
    """Names the first frame whose prediction or label is not a finite number."""
    frame_of_force = np.repeat(np.arange(len(frames.n_atoms)), frames.n_atoms * frames.has_forces)
    for what, energies, forces, error in (
        ("label", frames.energy_ref_ev, frames.forces_ref_ev_per_ang, BadDataError),
        ("prediction", frames.energy_pred_ev, frames.forces_pred_ev_per_ang, DivergedError),
    ):
        bad = ~np.isfinite(energies)
        bad[frame_of_force[~np.isfinite(forces).all(axis=1)]] = True
        if bad.any():
            first = frames.frame_ids[bad][0]
            raise error(
                f"The {what} of {int(bad.sum())} of {len(bad)} frames is not a finite number; "
                f"the first is {first}."
            )

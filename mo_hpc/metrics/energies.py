"""Energy errors per atom and their means."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mo_hpc.metrics.predictions import Predictions

MEV_PER_EV = 1000.0


def energy_errors_mev_per_atom(predictions: Predictions) -> NDArray[np.float64]:
    """Predicted minus reference energy of each frame in meV/atom, shape (n_frames,)."""
    difference_ev = predictions.energy_pred_ev - predictions.energy_ref_ev
    return MEV_PER_EV * difference_ev / predictions.n_atoms


def mean_absolute(errors: NDArray[np.float64]) -> float | None:
    """The mean of the absolute values, None where there is nothing to average."""
    return float(np.abs(errors).mean()) if errors.size else None


def root_mean_square(errors: NDArray[np.float64]) -> float | None:
    """The square root of the mean square, None where there is nothing to average."""
    return float(np.sqrt(np.square(errors).mean())) if errors.size else None


def energy_means(
    errors_mev_per_atom: NDArray[np.float64], suffix: str = ""
) -> dict[str, float | None]:
    """``energy_mae_mev_per_atom`` and ``energy_rmse_mev_per_atom`` over frames.

    Args:
        errors_mev_per_atom: Errors of the frames, shape (n_frames,); NaN where undefined,
            which leaves the frame out.
        suffix: Appended to both keys, such as ``_offset_removed``.
    """
    defined = errors_mev_per_atom[~np.isnan(errors_mev_per_atom)]
    return {
        f"energy_mae_mev_per_atom{suffix}": mean_absolute(defined),
        f"energy_rmse_mev_per_atom{suffix}": root_mean_square(defined),
    }

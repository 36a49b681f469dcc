"""Force errors: by Cartesian component, and by the length of the error vector.

Papers print both under the same name. Fang et al. (Materials 2026, 19(9), 1715) define
the vector form in the text, while the numbers of their tables are of the size of the
component form, which is also what MACE prints.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mo_hpc.metrics.energies import MEV_PER_EV, mean_absolute, root_mean_square
from mo_hpc.metrics.predictions import Predictions


def force_errors_mev_per_ang(predictions: Predictions) -> NDArray[np.float64]:
    """Predicted minus reference forces in meV/Å, shape (n_force_atoms, 3)."""
    difference = predictions.forces_pred_ev_per_ang - predictions.forces_ref_ev_per_ang
    return MEV_PER_EV * difference


def force_means(errors_mev_per_ang: NDArray[np.float64]) -> dict[str, float | None]:
    """Mean force errors over atoms, in meV/Å.

    Args:
        errors_mev_per_ang: Error vectors, shape (n_force_atoms, 3).

    Returns:
        MAE and RMSE over all 3n components (``…_component``), and over the n lengths of the
        error vectors (``…_vector``); the vector RMSE is √3 times the component one.
    """
    lengths = np.linalg.norm(errors_mev_per_ang, axis=1)
    return {
        "force_mae_mev_per_ang_component": mean_absolute(errors_mev_per_ang),
        "force_rmse_mev_per_ang_component": root_mean_square(errors_mev_per_ang),
        "force_mae_mev_per_ang_vector": mean_absolute(lengths),
        "force_rmse_mev_per_ang_vector": root_mean_square(lengths),
    }


def force_scale(predictions: Predictions) -> dict[str, float | None]:
    """How large the reference forces are, and how much of them a model predicts.

    Near equilibrium forces are small: an error says little without that of predicting none.
    A slope below 1 is the softening of potentials that were pretrained on relaxed crystals
    (Deng et al., npj Comput. Mater. 2025, s41524-024-01500-6).

    Returns:
        ``force_mae_mev_per_ang_component_zero_baseline``: the MAE of zero forces, which is the
        mean size of a reference component; ``force_slope``: Σ F̂·F / Σ F·F, the slope of
        predicted against reference forces through the origin, 1 at best.
    """
    reference = predictions.forces_ref_ev_per_ang
    norm = float((reference**2).sum())
    predicted = float((predictions.forces_pred_ev_per_ang * reference).sum())
    return {
        "force_mae_mev_per_ang_component_zero_baseline": mean_absolute(MEV_PER_EV * reference),
        "force_slope": predicted / norm if norm else None,
    }

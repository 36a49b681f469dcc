"""The energy errors that linear fits stand behind: offsets removed, and the linear baseline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mo_hpc.metrics.energies import MEV_PER_EV, energy_errors_mev_per_atom
from mo_hpc.metrics.offsets import LinearFit, fit_linear
from mo_hpc.metrics.predictions import Predictions


@dataclass(frozen=True, slots=True, eq=False)
class EnergyFits:
    """The linear fits of one part of the frames.

    Attributes:
        own: Of the errors on the evaluated frames.
        shift: Of the errors on the training frames.
        baseline: Of the reference energies of the training frames.
    """

    own: LinearFit
    shift: LinearFit
    baseline: LinearFit

    @classmethod
    def of(cls, frames: Predictions, train: Predictions) -> EnergyFits:
        """The fits that serve to evaluate ``frames`` of a model trained on ``train``."""
        return cls(
            own=fit_linear(frames, _difference_ev(frames)),
            shift=fit_linear(train, _difference_ev(train)),
            baseline=fit_linear(train, train.energy_ref_ev),
        )

    def errors_mev_per_atom(self, frames: Predictions) -> dict[str, NDArray[np.float64]]:
        """Errors of the evaluated frames by the ending of their key.

        Returns:
            Ending → shape (n_frames,) in meV/atom; NaN where undefined: offsets removed in a
            host whose fit reproduces any error, and what needs training frames without any.
        """
        difference_ev = _difference_ev(frames)
        removed_ev = difference_ev - self.own.energies_ev(frames)
        shifted_ev = difference_ev - self.shift.energies_ev(frames)
        linear_ev = self.baseline.energies_ev(frames) - frames.energy_ref_ev
        untrained = self.baseline.n_frames == 0
        fitted_ev = {
            "_offset_removed": np.where(self.own.saturated(frames), np.nan, removed_ev),
            "_offset_train": np.where(untrained, np.nan, shifted_ev),
            "_linear_baseline": np.where(untrained, np.nan, linear_ev),
        }
        scale = MEV_PER_EV / frames.n_atoms
        return {"": energy_errors_mev_per_atom(frames)} | {
            suffix: scale * error_ev for suffix, error_ev in fitted_ev.items()
        }

    def counts(self, frames: Predictions) -> dict[str, int]:
        """Coefficients and frames behind the fits, and frames that a fit does not serve."""
        return {
            "n_frames_offset_removed": int((~self.own.saturated(frames)).sum()),
            "n_coefficients_offset_removed": self.own.rank,
            "n_coefficients_train": self.baseline.rank,
            "n_train_frames_fitted": self.baseline.n_frames,
            "n_frames_uncovered_by_train": int(self.baseline.uncovered(frames).sum()),
        }


def _difference_ev(frames: Predictions) -> NDArray[np.float64]:
    return frames.energy_pred_ev - frames.energy_ref_ev

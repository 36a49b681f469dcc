"""Committee uncertainty: does the spread of models that differ in the seed tell their error?

The committee's answer is the mean over its members; its spread is the sample standard deviation
over them, and its error that of the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mo_hpc.metrics.correlations import average_ranks
from mo_hpc.metrics.energies import MEV_PER_EV, root_mean_square
from mo_hpc.metrics.predictions import Predictions

AT_REST_MEV_PER_ANG = 0.1
"""A force of at most this length counts as zero: above rounding, below any force of interest."""
ROUNDING = 1e-6
"""Spread that counts as none, by the largest prediction: some steps of single precision."""


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """What a committee says of its error, and its error.

    Attributes:
        spread: Sample standard deviation over the members, shape (n,).
        error: Length of the error of the members' mean, in the same unit, shape (n,).
        n_at_rest: Atoms that are in neither, because symmetry leaves them no force.
        floor: A spread of at most this is rounding of the predictions, in the same unit.
    """

    spread: NDArray[np.float64]
    error: NDArray[np.float64]
    n_at_rest: int = 0
    floor: float = 0.0

    @property
    def rank_correlation(self) -> float | None:
        """Spearman's rank correlation of spread and error; None where one of them is constant.

        Spreads within the floor are equal to each other: their order is that of rounding.
        """
        told = np.where(self.spread > self.floor, self.spread, 0.0)
        ranks = [average_ranks(values) for values in (told, self.error)]
        if any(np.unique(each).size <= 1 for each in ranks):
            return None
        return float(np.asarray(np.corrcoef(ranks))[0, 1])


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Values of like spread.

    Attributes:
        n: How many.
        spread: Root mean square of their spreads.
        rmse: Root mean square of their errors; of a calibrated committee about the spread.
    """

    n: int
    spread: float
    rmse: float


def force_uncertainty(members: Sequence[Predictions]) -> Uncertainty:
    """Spread and error of the force vector of each atom with label forces, in meV/Å.

    The spread is the square root of the sample variances of the three components, summed, so
    that its square compares with the squared length of the error vector. Atoms whose force is
    zero in the label and in every prediction are left out: symmetry makes spread and error vanish
    there together, for any model, and a rank correlation would take that for knowledge.

    Args:
        members: Predictions of the same frames by at least two models.

    Raises:
        ValueError: If there are fewer than two, or their frames differ.
    """
    forces, reference, moved = _forces_mev_per_ang(members)
    return Uncertainty(
        spread=np.sqrt(forces.var(axis=0, ddof=1).sum(axis=1))[moved],
        error=np.linalg.norm(forces.mean(axis=0) - reference, axis=1)[moved],
        n_at_rest=int((~moved).sum()),
        floor=_rounding(forces),
    )


def zero_force_errors(members: Sequence[Predictions]) -> NDArray[np.float64]:
    """Errors of predicting no force at all: lengths of the label forces, in meV/Å.

    They are of the atoms that `force_uncertainty` takes, shape (n,): a committee with larger
    errors is worse than no model.

    Args:
        members: Predictions of the same frames by at least two models.

    Raises:
        ValueError: If there are fewer than two, or their frames differ.
    """
    _, reference, moved = _forces_mev_per_ang(members)
    return np.asarray(np.linalg.norm(reference, axis=1)[moved], dtype=np.float64)


def energy_uncertainty(members: Sequence[Predictions]) -> Uncertainty:
    """Spread and absolute error of the energy of each frame, in meV/atom.

    Args:
        members: Predictions of the same frames by at least two models.

    Raises:
        ValueError: If there are fewer than two, or their frames differ.
    """
    _require_same_frames(members)
    scale = MEV_PER_EV / members[0].n_atoms
    energies = scale * np.stack([each.energy_pred_ev for each in members])
    reference = scale * members[0].energy_ref_ev
    return Uncertainty(
        spread=energies.std(axis=0, ddof=1),
        error=np.abs(energies.mean(axis=0) - reference),
        floor=_rounding(energies),
    )


def calibration(values: Uncertainty, n_bins: int = 10) -> list[CalibrationBin]:
    """Values in order of their spread, cut into bins of equal number.

    Args:
        values: Spreads and errors.
        n_bins: Number of bins; fewer where there are fewer values.
    """
    arranged = np.argsort(values.spread, kind="stable")
    found = []
    for chosen in np.array_split(arranged, min(n_bins, arranged.size) or 1):
        spread, rmse = (root_mean_square(each[chosen]) for each in (values.spread, values.error))
        if spread is not None and rmse is not None:
            found.append(CalibrationBin(len(chosen), spread, rmse))
    return found


def pooled(parts: Sequence[Uncertainty]) -> Uncertainty:
    """The values of several folds together."""
    return Uncertainty(
        spread=np.concatenate([np.empty(0), *(part.spread for part in parts)]),
        error=np.concatenate([np.empty(0), *(part.error for part in parts)]),
        n_at_rest=sum(part.n_at_rest for part in parts),
        floor=max((part.floor for part in parts), default=0.0),
    )


def _forces_mev_per_ang(
    members: Sequence[Predictions],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Forces of the members, label forces, and which atoms are not at rest, in meV/Å."""
    _require_same_frames(members)
    forces = MEV_PER_EV * np.stack([each.forces_pred_ev_per_ang for each in members])
    reference = MEV_PER_EV * members[0].forces_ref_ev_per_ang
    lengths = np.linalg.norm(np.concatenate([forces, reference[None]]), axis=2)
    return forces, reference, (lengths > AT_REST_MEV_PER_ANG).any(axis=0)


def _rounding(predicted: NDArray[np.float64]) -> float:
    """The spread that rounding alone can make, in the unit of the predictions."""
    return ROUNDING * float(np.abs(predicted).max(initial=0.0))


def _require_same_frames(members: Sequence[Predictions]) -> None:
    if len(members) <= 1:
        raise ValueError(f"a spread needs two members or more, not {len(members)}")
    first = members[0]
    for member in members[1:]:
        if not (
            np.array_equal(member.frame_ids, first.frame_ids)
            and np.array_equal(member.has_forces, first.has_forces)
        ):
            raise ValueError("the members of a committee predicted different frames")

"""The energy error of frames in parts whose squares add up: references, hosts, and the rest.

Two nested linear models of the errors per atom: the share of every element, and the share of
every element in each host crystal. What the first explains is what other reference energies
would change; what the second explains beyond it is linear in the composition, but differs between
hosts; what both leave is the rest. As differences of projections onto nested spaces the three
are orthogonal to each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mo_hpc.metrics.energies import MEV_PER_EV, energy_errors_mev_per_atom, root_mean_square
from mo_hpc.metrics.offsets import LinearFit, fit_linear
from mo_hpc.metrics.predictions import Predictions

_ANY_HOST = "-"


@dataclass(frozen=True, slots=True)
class ErrorParts:
    """Root mean squares over frames, in meV/atom; the squares of the parts add up to the error's.

    Attributes:
        n_frames: Frames behind them: those of hosts with more frames than coefficients.
        n_coefficients: Coefficients that the frames determine, of all elements in each host.
        error: The whole error, as the model made it.
        references: What one energy for each element explains.
        hosts: What one energy for each element in each host explains beyond that.
        rest: What neither explains.
        offsets_ev: Element → its coefficient in each host, mean over hosts: predicted minus
            label, in eV per atom of it; empty where the frames do not determine them all.
    """

    n_frames: int
    n_coefficients: int
    error: float
    references: float
    hosts: float
    rest: float
    offsets_ev: dict[str, float]


def error_parts(frames: Predictions) -> ErrorParts | None:
    """Divides the energy errors of frames.

    Returns:
        None where no host has more frames than coefficients: these would explain any error.
    """
    in_hosts = fit_linear(frames, _difference_ev(frames))
    frames = frames.select(~in_hosts.saturated(frames))
    if not len(frames.frame_ids):
        return None
    whole = replace(frames, host=np.full(len(frames.frame_ids), _ANY_HOST))
    anywhere = fit_linear(whole, _difference_ev(whole))
    errors = energy_errors_mev_per_atom(frames)
    first = _fitted_mev_per_atom(anywhere, whole)
    second = _fitted_mev_per_atom(in_hosts, frames)
    return ErrorParts(
        n_frames=len(errors),
        n_coefficients=sum(in_hosts.rank_of_host[host] for host in np.unique(frames.host)),
        error=_rms(errors),
        references=_rms(first),
        hosts=_rms(second - first),
        rest=_rms(errors - second),
        offsets_ev=_by_element(fit_linear(frames, _difference_ev(frames))),
    )


def label_energy_ev(frames: Predictions, element: str) -> float | None:
    """The labels' own energy of an element, in eV per atom of it: a linear fit, mean over hosts.

    Args:
        frames: All frames of a task.
        element: Symbol.

    Returns:
        None where the frames of some host do not determine its coefficients.
    """
    return _by_element(fit_linear(frames, frames.energy_ref_ev)).get(element)


def _difference_ev(frames: Predictions) -> NDArray[np.float64]:
    return frames.energy_pred_ev - frames.energy_ref_ev


def _fitted_mev_per_atom(fit: LinearFit, frames: Predictions) -> NDArray[np.float64]:
    return MEV_PER_EV * fit.energies_ev(frames) / frames.n_atoms


def _rms(values: NDArray[np.float64]) -> float:
    return root_mean_square(values) or 0.0


def _by_element(fit: LinearFit) -> dict[str, float]:
    """Coefficients, mean over hosts; none where they are not unique.

    A fit without hosts would not do: cells of two sizes let it turn a shift between hosts of some
    meV per atom into eV on a dopant.
    """
    if fit.rank < len(fit.coefficients_ev):
        return {}
    return {
        element: float(
            np.mean([v for (_, name), v in fit.coefficients_ev.items() if name == element])
        )
        for _, element in fit.coefficients_ev
    }

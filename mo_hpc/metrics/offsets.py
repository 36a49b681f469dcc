"""Linear models of energies: one coefficient for each element in each host crystal.

Fitted to a model's errors they measure how much of the energy error is a matter of
reference energies; fitted to the energies themselves they are the baseline that a model
of dilute alloys has to beat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mo_hpc.core.elements import SYMBOLS
from mo_hpc.metrics.predictions import Predictions

_RELATIVE_CUTOFF = 1e-10
"""Singular values below this share of the largest count as zero: a composition that never
varies cannot be told apart, and rounding must not decide that it can."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearFit:
    """Coefficients by (host, element), fitted to each host's frames by themselves.

    Attributes:
        coefficients_ev: Energy per atom of the element in the host, in eV.
        rank_of_host: Number of coefficients that the host's frames determine; the others
            follow from the minimum norm.
        n_frames_of_host: Frames of each host fitted to.
    """

    coefficients_ev: dict[tuple[str, str], float]
    rank_of_host: dict[str, int]
    n_frames_of_host: dict[str, int]

    @property
    def rank(self) -> int:
        """Number of coefficients that the frames determine, over all hosts."""
        return sum(self.rank_of_host.values())

    @property
    def n_frames(self) -> int:
        """Frames fitted to."""
        return sum(self.n_frames_of_host.values())

    def energies_ev(self, frames: Predictions) -> NDArray[np.float64]:
        """Energies of whole cells in eV, shape (n_frames,).

        An element that the fit has not met in the frame's host contributes zero, which is
        the minimum-norm answer; `uncovered` counts such frames.
        """
        keys, counts = _composition(frames)
        known = np.array([self.coefficients_ev.get(key, 0.0) for key in keys])
        return counts @ known if keys else np.zeros(len(frames.n_atoms))

    def uncovered(self, frames: Predictions) -> NDArray[np.bool_]:
        """True for frames with an element that the fit has not met in their host."""
        keys, counts = _composition(frames)
        unknown = np.array([key not in self.coefficients_ev for key in keys], dtype=bool)
        return np.asarray(np.any(counts[:, unknown] > 0, axis=1), dtype=np.bool_)

    def saturated(self, frames: Predictions) -> NDArray[np.bool_]:
        """True for frames of a host with as many coefficients as frames fitted to.

        There the fit reproduces any energies, so what it leaves, which is zero, says nothing.
        """
        full = [host for host, n in self.n_frames_of_host.items() if self.rank_of_host[host] >= n]
        return np.isin(frames.host, full)


def fit_linear(frames: Predictions, energies_ev: NDArray[np.float64]) -> LinearFit:
    """Least squares on energies per atom, of minimum norm where it is not unique.

    Hosts share no coefficient, so each is fitted by itself.

    Args:
        frames: The frames whose compositions are the regressors.
        energies_ev: What to fit, in eV per cell, shape (n_frames,): label energies, or
            prediction errors.
    """
    coefficients_ev: dict[tuple[str, str], float] = {}
    ranks, sizes = {}, {}
    for host in np.unique(frames.host).tolist():
        inside = frames.host == host
        keys, counts = _composition(frames.select(inside))
        n_atoms = frames.n_atoms[inside]
        solution, _, rank, _ = np.linalg.lstsq(
            counts / n_atoms[:, None], energies_ev[inside] / n_atoms, rcond=_RELATIVE_CUTOFF
        )
        coefficients_ev.update(zip(keys, solution.tolist(), strict=True))
        ranks[host], sizes[host] = int(rank), len(counts)
    return LinearFit(coefficients_ev, ranks, sizes)


def _composition(frames: Predictions) -> tuple[list[tuple[str, str]], NDArray[np.float64]]:
    """(host, element) pairs that occur and their atom counts, shape (n_frames, n_pairs)."""
    if len(frames.numbers) == 0:
        return [], np.zeros((len(frames.n_atoms), 0))
    hosts, host_of_frame = np.unique(frames.host, return_inverse=True)
    code = host_of_frame[frames.frame_of_atom] * (len(SYMBOLS) + 1) + frames.numbers
    codes, pair_of_atom = np.unique(code, return_inverse=True)
    cell = frames.frame_of_atom * len(codes) + pair_of_atom
    counts = np.bincount(cell, minlength=len(frames.n_atoms) * len(codes))
    keys = [
        (str(hosts[value // (len(SYMBOLS) + 1)]), SYMBOLS[value % (len(SYMBOLS) + 1) - 1])
        for value in codes.tolist()
    ]
    return keys, counts.reshape(len(frames.n_atoms), len(codes)).astype(np.float64)

"""Reference energies E0 of the elements, by policy, with where each one came from.

A wrong E0 looks like a physics error: MACE's own fit gives exactly 0 eV to an element that
no training structure contains, which is an error of several eV for each of its atoms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ase
import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from mo_hpc.core.errors import UserError
from mo_hpc.core.record import EnergyReferences
from mo_hpc.core.schema import TrainConfig
from mo_hpc.training.graphs import Graph

_REMEDIES = {
    "average": "Set train.energy_reference=estimated (or foundation, or explicit), or set "
    "train.allow_missing_energy_reference=true to train with E0 = 0, as the paper's scripts do.",
    "isolated": "Add a frame of the lone atom to the training frames, or set "
    "train.energy_reference=estimated (or foundation, or explicit).",
    "explicit": "Add the missing elements to train.energy_reference_ev.",
    "foundation": "Choose a foundation that covers the missing elements.",
    "estimated": "Choose a foundation that covers the missing elements.",
}


@dataclass(frozen=True, slots=True, eq=False)
class Compositions:
    """What a fit of reference energies sees of the training structures.

    Attributes:
        symbols: Elements of the model, in its order.
        counts: Atoms of each element in each structure, shape (n_structures, n_elements).
        energies_ev: Label energies of whole cells, shape (n_structures,).
        isolated_ev: Energy of an element's isolated atom, where training holds one.
    """

    symbols: tuple[str, ...]
    counts: NDArray[np.float64]
    energies_ev: NDArray[np.float64]
    isolated_ev: dict[str, float]

    @property
    def seen(self) -> tuple[str, ...]:
        """Elements that occur in training."""
        return tuple(s for s, n in zip(self.symbols, self.counts.sum(axis=0), strict=True) if n)


def compositions(
    frames: Sequence[ase.Atoms], graphs: Sequence[Graph], atomic_numbers: Sequence[int]
) -> Compositions:
    """Collects compositions and energies of training frames.

    An isolated atom is a frame of one atom without neighbours within the cutoff: a primitive
    cell of a crystal has one atom, too.
    """
    counts = np.array(
        [
            [np.count_nonzero(frame.numbers == number) for number in atomic_numbers]
            for frame in frames
        ],
        dtype=np.float64,
    )
    isolated = {
        frame.get_chemical_symbols()[0]: float(frame.info["REF_energy"])
        for frame, graph in zip(frames, graphs, strict=True)
        if len(frame) == 1 and graph.edge_index.shape[1] == 0
    }
    return Compositions(
        symbols=tuple(chemical_symbols[number] for number in atomic_numbers),
        counts=counts,
        energies_ev=np.array([float(frame.info["REF_energy"]) for frame in frames]),
        isolated_ev=isolated,
    )


def reference_energies(
    config: TrainConfig,
    training: Compositions,
    *,
    foundation_ev: Mapping[str, float] | None,
    residuals_ev: Callable[[], NDArray[np.float64]],
) -> EnergyReferences:
    """The reference energy of every element of the model, by the configured policy.

    Args:
        config: Policy, explicit values, and whether an average may leave an element at 0 eV.
        training: Compositions and energies of the training structures.
        foundation_ev: The foundation's reference energies, None where there is none.
        residuals_ev: Gives label minus foundation prediction for each training structure, eV;
            called for ``estimated`` only.

    Raises:
        UserError: If an element has no reference energy, or the policy has no foundation.
    """
    policy = config.energy_reference
    if policy in ("foundation", "estimated") and foundation_ev is None:
        raise UserError(
            f"The energy reference '{policy}' needs a foundation, and this task has none.",
            where="train.energy_reference",
            valid=["average", "isolated", "explicit"],
            remedy="Choose one of these, or give the stage a foundation.",
        )
    if policy == "average":
        found = _average(training)
    elif policy == "estimated":
        found = _estimated(training, dict(foundation_ev or {}), residuals_ev())
    elif policy == "foundation":
        found = _plain(policy, dict(foundation_ev or {}), "foundation")
    elif policy == "isolated":
        found = _plain(policy, training.isolated_ev, "isolated")
    else:
        found = _plain(policy, config.energy_reference_ev, "explicit")
    # Only a fit has the paper's E0 = 0; a table with a gap is a mistake.
    may_be_zero = policy == "average" and config.allow_missing_energy_reference
    return _complete(found, training.symbols, may_be_zero=may_be_zero)


def _average(training: Compositions) -> EnergyReferences:
    """Least squares of total energies on composition, of minimum norm (as MACE fits them)."""
    values, _, rank, _ = np.linalg.lstsq(training.counts, training.energies_ev, rcond=None)
    seen = training.seen
    return EnergyReferences(
        policy="average",
        values_ev={s: float(v) for s, v in zip(training.symbols, values, strict=True) if s in seen},
        sources=dict.fromkeys(seen, "fitted"),
        rank=int(rank),
        n_fitted=len(seen),
    )


def _estimated(
    training: Compositions, foundation_ev: dict[str, float], residuals_ev: NDArray[np.float64]
) -> EnergyReferences:
    r"""The foundation's reference energies, shifted to the training labels.

    With the counts $n_{iz}$ of element z in structure i and the foundation's residual
    $r_i = E_i^{label} - E_i^{foundation}$, the shifts are the minimum-norm solution of
    $\min_s \sum_i (r_i - \sum_z n_{iz} s_z)^2$ over the elements seen in training, and

        E0_z = E0_z^{foundation} + s_z           for z seen in training,
        E0_z = E0_z^{foundation} + mean_{z'} s_z'  for the others,

    the mean running over the seen elements: what both label sets differ by on average is the
    best guess for an element that only one of them has.
    """
    seen = training.seen
    columns = [training.symbols.index(symbol) for symbol in seen]
    shifts, _, rank, _ = np.linalg.lstsq(training.counts[:, columns], residuals_ev, rcond=None)
    shift = dict(zip(seen, shifts.tolist(), strict=True))
    mean = float(np.mean(shifts))
    known = [symbol for symbol in training.symbols if symbol in foundation_ev]
    return EnergyReferences(
        policy="estimated",
        values_ev={symbol: foundation_ev[symbol] + shift.get(symbol, mean) for symbol in known},
        sources={
            symbol: "foundation+shift" if symbol in shift else "foundation+mean_shift"
            for symbol in known
        },
        rank=int(rank),
        n_fitted=len(seen),
    )


def _plain(policy: str, values_ev: Mapping[str, float], source: str) -> EnergyReferences:
    return EnergyReferences(
        policy=policy, values_ev=dict(values_ev), sources=dict.fromkeys(values_ev, source)
    )


def _complete(
    found: EnergyReferences, symbols: Sequence[str], *, may_be_zero: bool
) -> EnergyReferences:
    """Keeps the model's elements and sets what is missing to 0 eV where that is allowed."""
    missing = [symbol for symbol in symbols if symbol not in found.values_ev]
    if missing and not may_be_zero:
        raise UserError(
            f"The energy reference '{found.policy}' has no value for {', '.join(missing)}.",
            where="train.energy_reference",
            remedy=_REMEDIES[found.policy],
        )
    return found.model_copy(
        update={
            "values_ev": {symbol: found.values_ev.get(symbol, 0.0) for symbol in symbols},
            "sources": {symbol: found.sources.get(symbol, "zero") for symbol in symbols},
        }
    )

"""Building models: from scratch as `mace_run_train` does, or cut out of a foundation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols
from e3nn import o3
from mace import modules
from mace.tools import AtomicNumberTable
from mace.tools.finetuning_utils import load_foundations_elements
from mace.tools.scripts_utils import extract_config_mace_model

from mo_hpc.core.errors import UserError
from mo_hpc.core.schema import ModelConfig
from mo_hpc.training.graphs import Batch

_HEADS = ["Default"]


@dataclass(frozen=True, slots=True)
class Scaling:
    """What a scratch model takes from its training data.

    Attributes:
        avg_num_neighbors: Mean number of neighbours of an atom that has any.
        rms_force_ev_per_ang: Root mean square of force components; 1 where all are zero.
    """

    avg_num_neighbors: float
    rms_force_ev_per_ang: float


def measure_scaling(neighbours: Sequence[Batch], forces: Sequence[Batch]) -> Scaling:
    """MACE's ``rms_forces_scaling`` and neighbour count.

    MACE passes over its shuffled loader once for each of the two, and leaves the last partial
    batch out both times; the two arguments are those two passes.
    """
    n_edges = sum(batch.inputs["edge_index"].shape[1] for batch in neighbours)
    n_receivers = sum(len(torch.unique(batch.inputs["edge_index"][1])) for batch in neighbours)
    squares = sum(float(batch.forces.double().square().sum()) for batch in forces)
    n_components = sum(batch.forces.numel() for batch in forces)
    rms = float(np.sqrt(squares / n_components))
    return Scaling(n_edges / max(n_receivers, 1), rms if rms > 0 else 1.0)


def scratch_model(
    config: ModelConfig,
    atomic_numbers: Sequence[int],
    reference_energies_ev: Mapping[str, float],
    scaling: Scaling,
) -> torch.nn.Module:
    """The model that ``mace_run_train --model MACE`` builds, with random weights."""
    model = modules.ScaleShiftMACE(
        r_max=config.r_max_ang,
        num_bessel=config.num_radial_basis,
        num_polynomial_cutoff=config.num_cutoff_basis,
        max_ell=config.max_ell,
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
        num_interactions=config.num_interactions,
        num_elements=len(atomic_numbers),
        hidden_irreps=o3.Irreps(
            (config.num_channels * o3.Irreps.spherical_harmonics(config.max_L))
            .sort()
            .irreps.simplify()
        ),
        MLP_irreps=o3.Irreps(config.readout_mlp_irreps),
        gate=modules.gate_dict[config.gate],
        atomic_energies=_row(atomic_numbers, reference_energies_ev),
        avg_num_neighbors=scaling.avg_num_neighbors,
        atomic_numbers=list(atomic_numbers),
        correlation=config.correlation,
        radial_MLP=list(config.radial_mlp),
        atomic_inter_scale=np.array([scaling.rms_force_ev_per_ang]),
        atomic_inter_shift=[0.0],
        heads=_HEADS,
        use_reduced_cg=False,
    )
    set_reference_energies(model, atomic_numbers, reference_energies_ev)
    return model  # type: ignore[no-any-return]


def sliced_foundation(
    foundation: torch.nn.Module, atomic_numbers: Sequence[int]
) -> torch.nn.Module:
    """The part of a foundation that concerns some elements; it predicts what the whole does.

    Scale, shift, cutoff, neighbour count and reference energies are the foundation's.

    Raises:
        UserError: If the foundation lacks an element.
    """
    _require_elements(foundation, atomic_numbers)
    return _loaded(foundation, atomic_numbers, atomic_numbers)


def extended_model(model: torch.nn.Module, proxies: Mapping[int, int]) -> torch.nn.Module:
    """The model with further elements, each with weights and reference energy of a known one.

    Args:
        model: The model; all its elements stay, and what it predicts for them.
        proxies: Atomic number of each new element → that of the element it takes after.
    """
    numbers = sorted([*model_elements(model), *proxies])
    return _loaded(model, numbers, [proxies.get(number, number) for number in numbers])


def _loaded(
    foundation: torch.nn.Module, atomic_numbers: Sequence[int], rows: Sequence[int]
) -> torch.nn.Module:
    """A model of some elements, each with the weights that a foundation has for its row.

    Where a row is not the element's own, the number of elements must differ from the
    foundation's: MACE copies all weights of equal shape in the foundation's order.
    """
    assert list(rows) == list(atomic_numbers) or len(rows) != len(model_elements(foundation))
    stored_ev = stored_reference_energies(foundation)
    energies_ev = {
        chemical_symbols[number]: stored_ev[chemical_symbols[row]]
        for number, row in zip(atomic_numbers, rows, strict=True)
    }
    settings: dict[str, Any] = extract_config_mace_model(foundation)
    settings |= {
        "atomic_energies": _row(atomic_numbers, energies_ev),
        "atomic_numbers": list(atomic_numbers),
        "num_elements": len(atomic_numbers),
        "atomic_inter_scale": [1.0],
        "atomic_inter_shift": [0.0],
        "heads": _HEADS,
    }
    model = load_foundations_elements(
        modules.ScaleShiftMACE(**settings),
        foundation,
        AtomicNumberTable(list(rows)),
        load_readout=True,
        max_L=settings["hidden_irreps"].lmax,
        default_dtype=torch.get_default_dtype(),
    )
    set_reference_energies(model, atomic_numbers, energies_ev)
    return model  # type: ignore[no-any-return]


def set_reference_energies(
    model: torch.nn.Module, atomic_numbers: Sequence[int], energies_ev: Mapping[str, float]
) -> None:
    """Writes the reference energies into the model and reads them back.

    `load_foundations_elements` ends by copying every buffer of equal shape, the foundation's
    reference energies included, whenever both have the same number of elements.
    """
    wanted = torch.tensor(_row(atomic_numbers, energies_ev), dtype=torch.get_default_dtype())
    block: Any = model.atomic_energies_fn
    block.atomic_energies = wanted
    stored = model.state_dict()["atomic_energies_fn.atomic_energies"]
    assert torch.equal(stored, wanted), "the model's reference energies are not those intended"


def model_elements(model: torch.nn.Module) -> list[int]:
    """The elements of a MACE model, in its order."""
    return [int(number) for number in model.atomic_numbers.tolist()]  # type: ignore[operator]


def stored_reference_energies(model: torch.nn.Module) -> dict[str, float]:
    """The reference energies in a model's buffer, eV, by element."""
    stored: Any = model.atomic_energies_fn
    buffer = stored.atomic_energies.reshape(-1)
    symbols = [chemical_symbols[number] for number in model_elements(model)]
    return dict(zip(symbols, buffer.double().tolist(), strict=True))


def _require_elements(model: torch.nn.Module, wanted: Sequence[int]) -> None:
    """Compares the elements of the data with those of a foundation.

    Raises:
        UserError: If the foundation lacks an element.
    """
    covered = model_elements(model)
    missing = [chemical_symbols[number] for number in wanted if number not in covered]
    if missing:
        raise UserError(
            f"The foundation does not cover {', '.join(missing)}.",
            where="foundation",
            valid=[chemical_symbols[number] for number in covered],
            remedy="Leave these structures out or choose another foundation.",
        )


def count_parameters(model: torch.nn.Module, *, trainable: bool = False) -> int:
    """Number of parameters, or of those that require a gradient."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)


def _row(atomic_numbers: Sequence[int], energies_ev: Mapping[str, float]) -> np.ndarray[Any, Any]:
    return np.array([[energies_ev[chemical_symbols[number]] for number in atomic_numbers]])

"""Models with elements that their training never saw: weights and energies from elsewhere.

The weights of a MACE that depend on an element are rows of its embedding, of each interaction's
residual connection and of each product's contractions. A new element gets the rows of a proxy,
an element that the model knows, or those of another model that knows the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from mo_hpc.core.elements import ATOMIC_NUMBERS
from mo_hpc.core.errors import UserError
from mo_hpc.core.record import EnergyReferences
from mo_hpc.core.task import NewElements
from mo_hpc.training.model import (
    extended_model,
    model_elements,
    set_reference_energies,
    sliced_foundation,
    stored_reference_energies,
)

_SOURCES = {
    "borrowed": "proxy",
    "foundation": "donor",
    "estimated": "donor+mean_shift",
    "explicit": "explicit",
    None: "proxy",
}


def with_new_elements(
    model: torch.nn.Module, new: NewElements, donor: torch.nn.Module | None
) -> torch.nn.Module:
    """A model that also knows the new elements; on all others it predicts what it did.

    Args:
        model: The model, which lacks them.
        new: Where their weights and reference energies come from.
        donor: The model that knows them, where the weights or the energies need one.

    Raises:
        UserError: If the donor lacks an element or is of another architecture.
    """
    known = stored_reference_energies(model)
    any_known = next(iter(known))
    extended = extended_model(
        model,
        {
            ATOMIC_NUMBERS[element]: ATOMIC_NUMBERS[new.proxies.get(element, any_known)]
            for element in new.elements
        },
    )
    numbers = model_elements(extended)
    if new.weights == "slice":
        assert donor is not None
        _copy_rows(extended, sliced_foundation(donor, numbers), new)
    given = stored_reference_energies(donor) if donor is not None else {}
    set_reference_energies(extended, numbers, known | _energies_ev(new, known, given))
    return extended


def with_named_sources(references: EnergyReferences, new: NewElements) -> EnergyReferences:
    """Says of each new element where the energy came from that its policy took from the model."""
    origin = _SOURCES[new.energy_reference]
    changed = {
        element: references.sources[element].replace("foundation", origin, 1)
        for element in new.elements
        if element in references.sources
    }
    return references.model_copy(update={"sources": references.sources | changed})


def _energies_ev(
    new: NewElements, known_ev: Mapping[str, float], donor_ev: Mapping[str, float]
) -> dict[str, float]:
    """The reference energies of the new elements, eV.

    ``estimated`` is the donor's, shifted by the plain mean of what the model differs from the
    donor by over the elements that both know.
    """
    if new.energy_reference == "explicit":
        return {element: new.energy_reference_ev[element] for element in new.elements}
    if new.energy_reference in ("foundation", "estimated"):
        common = [element for element in known_ev if element in donor_ev]
        shift = float(np.mean([known_ev[element] - donor_ev[element] for element in common]))
        by = shift if new.energy_reference == "estimated" else 0.0
        return {element: donor_ev[element] + by for element in new.elements}
    # Training that fits its own energies replaces what stands here.
    fallback = next(iter(known_ev))
    return {element: known_ev[new.proxies.get(element, fallback)] for element in new.elements}


def _copy_rows(model: torch.nn.Module, donor: torch.nn.Module, new: NewElements) -> None:
    """Copies the rows of the new elements from a donor that has the same elements.

    Raises:
        UserError: If the two have rows of other shapes.
    """
    numbers = model_elements(model)
    rows = [numbers.index(ATOMIC_NUMBERS[element]) for element in new.elements]
    pairs = list(zip(_element_rows(model), _element_rows(donor), strict=True))
    if any(to.shape != source.shape for to, source in pairs):
        raise UserError(
            "The foundation that knows the new elements is of another architecture than the "
            "model that lacks them.",
            where="new_elements.foundation",
            remedy="Name the foundation that the model was fine-tuned from.",
        )
    with torch.no_grad():
        for to, source in pairs:
            to[rows] = source[rows]


def _element_rows(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Views of all weights that depend on an element, the axis of elements first.

    Raises:
        UserError: If the model has blocks whose weights are not known here.
    """
    parts: Any = model
    yield from parts.node_embedding.linear.weight_views()
    for interaction in parts.interactions:
        if type(interaction).__name__ not in (
            "RealAgnosticInteractionBlock",
            "RealAgnosticResidualInteractionBlock",
        ):
            raise UserError(
                f"New elements are not known for the block {type(interaction).__name__}.",
                where="new_elements.weights",
                remedy="Take a proxy: new_elements.weights=proxy_group.",
            )
        for weights in interaction.skip_tp.weight_views():
            yield weights.movedim(1, 0)
    for product in parts.products:
        for contraction in product.symmetric_contractions.contractions:
            yield contraction.weights_max
            yield from contraction.weights

"""The exported models in memory, and whether they can work as one committee."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mo_hpc.core.elements import SYMBOLS
from mo_hpc.core.errors import UserError
from mo_hpc.exports.chosen import ChosenModel


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a user of a model must know.

    Attributes:
        elements: The elements it knows, in its own order.
        r_max_ang: Cutoff, Å.
        n_interactions: Message-passing steps; each carries information by one cutoff.
        dtype: Type of its parameters, ``float32`` or ``float64``.
    """

    elements: tuple[str, ...]
    r_max_ang: float
    n_interactions: int
    dtype: str


def open_model(chosen: ChosenModel, dtype: torch.dtype | None = None) -> torch.nn.Module:
    """A fresh copy of a model whose hash was compared with its record, on the CPU.

    Args:
        chosen: The model.
        dtype: The type to convert it to; None: as it is.
    """
    loaded = torch.load(io.BytesIO(chosen.content), map_location="cpu", weights_only=False)
    assert isinstance(loaded, torch.nn.Module)
    return loaded if dtype is None else loaded.to(dtype)


def facts_of(model: torch.nn.Module) -> ModelFacts:
    """What a user must know of a model."""
    numbers = torch.as_tensor(model.atomic_numbers).tolist()
    return ModelFacts(
        elements=tuple(SYMBOLS[number - 1] for number in numbers),
        r_max_ang=round(float(torch.as_tensor(model.r_max)), 6),
        n_interactions=int(torch.as_tensor(model.num_interactions)),
        dtype=str(next(model.parameters()).dtype).removeprefix("torch."),
    )


def common_facts(chosen: Sequence[ChosenModel]) -> ModelFacts:
    """The facts that all models of a committee share.

    `MACECalculator` takes the elements of the first model for those of all, and a mean over
    models with other labels, or other reference energies for them, means nothing.

    Raises:
        UserError: If the models differ in what must be equal.
    """
    first, *others = [(facts_of(open_model(each)), each.record) for each in chosen]
    for facts, record in others:
        wanted_sources = first[1].energy_references.sources
        pairs: dict[str, tuple[object, object]] = {
            "elements": (first[0].elements, facts.elements),
            "cutoff": (first[0].r_max_ang, facts.r_max_ang),
            "type of numbers": (first[0].dtype, facts.dtype),
            "dataset": (first[1].dataset_hash[:12], record.dataset_hash[:12]),
            "policy of reference energies": (
                first[1].energy_references.policy,
                record.energy_references.policy,
            ),
        }
        # Of one policy, too, an element may be fitted in one task and zero in another.
        for symbol, source in record.energy_references.sources.items():
            pairs[f"source of the E0 of {symbol}"] = (wanted_sources.get(symbol), source)
        for name, (wanted, found) in pairs.items():
            if wanted != found:
                raise UserError(
                    f"These models are no committee: the {name} of {record.task_id} is "
                    f"{_shown(found)}, and of {first[1].task_id} {_shown(wanted)}.",
                    where="task",
                    remedy="Export them one by one, or choose tasks that agree in it.",
                )
    return first[0]


def _shown(value: object) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)

"""The model of a check, opened: the built-in potential, a factory's calculator, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from mace.calculators import MACECalculator

from mo_hpc.core.calculation import CalculatorConfig
from mo_hpc.core.check_task import CheckTask
from mo_hpc.core.elements import SYMBOLS
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.task import FoundationRef
from mo_hpc.data.eam_parameters import EAM_PARAMETERS
from mo_hpc.labelling.calculators import from_factory
from mo_hpc.training.foundation import foundation_file, load_foundation


@dataclass(frozen=True, slots=True, eq=False)
class OpenedModel:
    """A model that is ready to compute.

    Attributes:
        calculator: Its ASE calculator.
        elements: What it knows; None: it does not say.
        foundation: The file it is, with its hash; None: it is no file.
    """

    calculator: Any
    elements: frozenset[str] | None
    foundation: FoundationRef | None


def opened(paths: TaskPaths, task: CheckTask, device: torch.device) -> OpenedModel:
    """Opens the model of a task; a file only if it has the hash that was accepted.

    Raises:
        UserError: If it cannot be had.
    """
    if task.calculator is not None:
        return _calculated(task.calculator)
    return _from_file(paths, task, device)


def _calculated(calculator: CalculatorConfig) -> OpenedModel:
    elements = frozenset(EAM_PARAMETERS) if calculator.is_eam else None
    return OpenedModel(from_factory(calculator), elements, None)


def _from_file(paths: TaskPaths, task: CheckTask, device: torch.device) -> OpenedModel:
    file = foundation_file(paths, task)
    model = load_foundation(file)
    elements = frozenset(SYMBOLS[int(z) - 1] for z in torch.as_tensor(model.atomic_numbers))
    calculator = MACECalculator(models=[model], device=str(device), default_dtype="float64")
    assert task.foundation is not None
    foundation = task.foundation.model_copy(
        update={"sha256": file.sha256, "n_parameters": file.n_parameters}
    )
    return OpenedModel(calculator, elements, foundation)

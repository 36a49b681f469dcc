"""The calculator of a labelling: the user's own factory, or a MACE model whose hash is accepted."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ase.calculators.calculator import BaseCalculator

from mo_hpc.core.calculation import EAM, CalculatorConfig
from mo_hpc.core.errors import UserError
from mo_hpc.core.labelling import LabelTask
from mo_hpc.core.libraries import TRAINING, require_libraries

_FACTORY = "calculator.factory"
_KWARGS = "calculator.kwargs"


@contextmanager
def calculator_of(task: LabelTask) -> Iterator[BaseCalculator]:
    """The calculator of a labelling, for the time of the block.

    Raises:
        UserError: If it cannot be imported or made, or a model is not the accepted file.
    """
    if task.model is not None:
        with _mace(task) as calculator:
            yield calculator
    else:
        yield from_factory(task.calculator)


def from_factory(config: CalculatorConfig) -> BaseCalculator:
    """Imports a factory and calls it; its code is the user's to trust.

    Raises:
        UserError: If the module or the factory is not there, or makes no calculator.
    """
    reference = config.factory or EAM
    make = _imported(reference)
    try:
        calculator = make(**config.kwargs)
    except Exception as error:
        raise UserError(
            f"{reference} made no calculator: {type(error).__name__}: {error}",
            where=_KWARGS,
            remedy=f"It was called with {config.kwargs or 'no arguments'}.",
        ) from error
    if not hasattr(calculator, "get_potential_energy"):
        raise UserError(
            f"{reference} made a {type(calculator).__name__}, which is no ASE calculator.",
            where=_FACTORY,
        )
    return calculator


def _imported(reference: str) -> Any:
    module_name, attribute = reference.split(":")
    try:
        module = importlib.import_module(module_name)
    # A module of somebody else's can fail in any way while it is imported.
    except Exception as error:
        raise UserError(
            f"The module '{module_name}' cannot be imported: {type(error).__name__}: {error}",
            where=_FACTORY,
            remedy="Install it where the tasks run, or put its folder on PYTHONPATH.",
        ) from error
    made_by = getattr(module, attribute, None)
    if not callable(made_by):
        raise UserError(
            f"The module '{module_name}' has nothing to call by the name '{attribute}'.",
            where=_FACTORY,
            remedy=f"It is the file {getattr(module, '__file__', None) or module_name}.",
        )
    return made_by


@contextmanager
def _mace(task: LabelTask) -> Iterator[BaseCalculator]:
    require_libraries(TRAINING, for_what="A MACE model")
    from mace.calculators import MACECalculator

    from mo_hpc.training.distributed import choose_device
    from mo_hpc.training.foundation import accepted_file, load_foundation
    from mo_hpc.training.reproducible import DTYPES, reproducible

    assert task.model is not None
    arguments = {"default_dtype": "float64", **task.calculator.kwargs}
    if arguments["default_dtype"] not in DTYPES:
        raise UserError(
            f"A MACE model cannot compute in {arguments['default_dtype']}.",
            where=f"{_KWARGS}.default_dtype",
            valid=DTYPES,
        )
    device = choose_device(task.resources.device, 0)
    with reproducible(
        seed=0,
        dtype=arguments["default_dtype"],
        n_threads=task.resources.cpus_per_task,
        device=device,
    ):
        model = load_foundation(accepted_file(task.model, task.runtime))
        try:
            calculator = MACECalculator(models=[model], device=str(device), **arguments)
        except (TypeError, ValueError) as error:
            raise UserError(f"MACE's calculator was not made: {error}", where=_KWARGS) from error
        yield calculator

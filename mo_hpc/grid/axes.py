"""Axes of a grid: which there are, and the cells they span."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TypeGuard

from mo_hpc.core.errors import UserError, unknown_name
from mo_hpc.core.schema import AxesConfig, GridConfig, StageConfig
from mo_hpc.core.strict import Scalar

AXES: dict[str, str] = {
    "paradigm": "paradigm",
    "size": "model",
    "protocol": "split.protocol",
    "element": "split.element",
    "shots": "split.shots",
    "selection": "split.selection",
    "repeat": "split.repeat",
    "grouped": "split.grouped",
    "energy_reference": "train.energy_reference",
    "seed": "train.seed",
    "check": "check",
    "potential": "potential",
    "new_elements": "new_elements.weights",
    "new_element_energy": "new_elements.energy_reference",
}
"""Axis name → the configuration key it sets; dotted keys may be axes as well."""

_PREFIXES = ("train.", "model.", "split.")

STAGE = "stage:"
"""Before the name of a stage whose model is meant."""

Cell = dict[str, Scalar]


def narrowed(grid: GridConfig, axes: AxesConfig) -> dict[str, StageConfig]:
    """Applies the axes given on the command line to the stages of a grid.

    An axis replaces the values in every stage that has it; where none has it, it is added to
    the stages whose output no other stage takes.

    Args:
        grid: The grid as configured.
        axes: What the command line gave.

    Returns:
        The stages by name, in the grid's order.
    """
    given = {name: tuple(values) for name, values in axes if values is not None}
    final = set(grid.stages) - {needed for stage in grid.stages.values() for needed in needs(stage)}
    stages = dict(grid.stages)
    committees = {stage.committee for stage in grid.stages.values()}
    for axis, values in given.items():
        if not values:
            raise UserError("The axis has no values.", where=f"axes.{axis}")
        # The seeds of a committee are its members, not repetitions of the study.
        spared = committees if axis == "seed" else set()
        holders = {n for n, stage in stages.items() if axis in stage.axes} - spared or final
        for name in holders:
            changed = {**stages[name].axes, axis: values}
            stages[name] = stages[name].model_copy(update={"axes": changed})
    return stages


def needs(stage: StageConfig) -> tuple[str, ...]:
    """The stages whose outputs a stage takes."""
    donor = stage.new_elements.get("foundation")
    models = (stage.foundation, donor, *stage.axes.get("potential", ()))
    made = [name.removeprefix(STAGE) for name in models if is_of_stage(name)]
    return tuple(dict.fromkeys([*made, *([stage.committee] if stage.committee else [])]))


def is_of_stage(model: object) -> TypeGuard[str]:
    """Whether a word names the model that another stage makes."""
    return isinstance(model, str) and model.startswith(STAGE)


def with_acting_committees(
    stages: Mapping[str, StageConfig], selection: str
) -> dict[str, StageConfig]:
    """The stages without the committees that choose nothing, which then need no planning.

    Args:
        stages: The stages, narrowed.
        selection: What the configuration says where a stage does not.
    """

    def acts(stage: StageConfig) -> bool:
        asked = {*stage.axes.get("selection", ()), stage.split.get("selection"), selection}
        return stage.committee is None or "committee" in asked

    return {
        name: stage if acts(stage) else stage.model_copy(update={"committee": None})
        for name, stage in stages.items()
    }


def with_donor(stages: Mapping[str, StageConfig], donor: str | None) -> dict[str, StageConfig]:
    """The stages, of which those that may take new elements from another's model come after it.

    Args:
        stages: The stages, narrowed.
        donor: The model that the configuration names for all of them.
    """
    if not is_of_stage(donor):
        return dict(stages)
    makers: set[str] = set()
    waiting = [donor.removeprefix(STAGE)]
    while waiting:
        name = waiting.pop()
        if name in stages and name not in makers:
            makers.add(name)
            waiting += needs(stages[name])

    def takes(name: str, stage: StageConfig) -> bool:
        return name not in makers and stage.kind == "train" and stage.foundation is not None

    if not makers:
        # Where a task takes it, planning says that there is no such stage.
        return dict(stages)
    return {
        name: stage.model_copy(update={"new_elements": {"foundation": donor, **stage.new_elements}})
        if takes(name, stage)
        else stage
        for name, stage in stages.items()
    }


def in_order(stages: Mapping[str, StageConfig]) -> list[str]:
    """Names of the stages, each after the stages it needs; unneeded helpers are dropped.

    Raises:
        UserError: If a stage needs one that does not exist, or itself by a circle.
    """
    ordered: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name not in stages:
            raise unknown_name("stage", name, stages)
        if name in path:
            circle = " → ".join([*path, name])
            raise UserError(f"The stages need each other: {circle}.", where="grid.stages")
        if name not in ordered:
            for needed in needs(stages[name]):
                visit(needed, (*path, name))
            ordered.append(name)

    for name, stage in stages.items():
        if not stage.only_if_needed:
            visit(name, ())
    return ordered


def cells(stage: StageConfig, *, where: str) -> list[Cell]:
    """All combinations of a stage's axis values, without those that make no difference.

    An axis that does not apply to a combination is left out of it: no held-out element under
    IID, no shots but in a few-shot fold, no selection where there are none to choose, no choice
    of reference energies for a zero-shot model.

    Args:
        stage: The stage.
        where: The stage's place in the configuration, for messages.

    Raises:
        UserError: If an axis is unknown or has no values, or an exclusion names another one.
    """
    for axis, values in stage.axes.items():
        if axis not in AXES and not axis.startswith(_PREFIXES):
            raise unknown_name("axis", axis, AXES)
        if not values:
            raise UserError(f"The axis '{axis}' has no values.", where=f"{where}.axes.{axis}")
    _check_exclusions(stage, where)
    product = itertools.product(*stage.axes.values())
    found: dict[tuple[tuple[str, Scalar], ...], Cell] = {}
    for values in product:
        cell = _applicable(dict(zip(stage.axes, values, strict=True)), stage)
        if not any(_matches(pattern, cell) for pattern in stage.exclude):
            found.setdefault(tuple(cell.items()), cell)
    return list(found.values())


def _check_exclusions(stage: StageConfig, where: str) -> None:
    """A misspelled exclusion would exclude nothing, and nobody would know.

    A value that the command line narrowed away is none: the exclusion is then idle.
    """
    for pattern in stage.exclude:
        for axis in pattern:
            if axis not in stage.axes:
                raise unknown_name(f"{where}.exclude", axis, stage.axes)


def _applicable(cell: Cell, stage: StageConfig) -> Cell:
    protocol = cell.get("protocol", stage.split.get("protocol", "iid"))
    paradigm = cell.get("paradigm", stage.paradigm)
    idle = set()
    if protocol in ("iid", "new_elements", "new_only", "joint"):
        idle.add("element")
    if protocol != "few_shot":
        idle.update(("shots", "selection"))
    if cell.get("shots", stage.split.get("shots")) == 0:
        idle.add("selection")
    if paradigm == "zero_shot":
        idle.update(("energy_reference", "seed", "shots", "selection"))
    return {axis: value for axis, value in cell.items() if axis not in idle}


def _matches(pattern: Mapping[str, Scalar], cell: Cell) -> bool:
    return all(axis in cell and cell[axis] == value for axis, value in pattern.items())

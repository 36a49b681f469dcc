"""From a composed configuration to tasks: the plan, without heavy imports or side effects."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import digest
from mo_hpc.core.registry import imported, task_kind
from mo_hpc.core.schema import RunConfig, StageConfig
from mo_hpc.data.location import resolve_roots
from mo_hpc.grid.axes import in_order, is_of_stage, narrowed, with_acting_committees, with_donor
from mo_hpc.plan.checks import check_effects
from mo_hpc.plan.made_models import MadeModels
from mo_hpc.plan.planning import PlannedTask, Planning, StagePlanner
from mo_hpc.plan.settings import SettingsMerger


@dataclass(frozen=True, slots=True)
class Plan:
    """All tasks of a run, each after the tasks it needs.

    Attributes:
        grid: The grid's name.
        tasks: Planned tasks in order.
        to_stage: Foundation name → the commands that stage it, for what is missing.
    """

    grid: str
    tasks: tuple[PlannedTask, ...]
    to_stage: Mapping[str, str]

    @property
    def run_digest(self) -> str:
        """Identity of the run: what its tasks are and how they are named."""
        return digest(sorted([task.spec.id, task.spec.digest] for task in self.tasks))[:12]


def make_plan(
    config: RunConfig, explicit: Mapping[str, Any], python: Sequence[str] = (sys.executable,)
) -> Plan:
    """Plans all tasks of a grid, each stage by the planner of its kind.

    Args:
        config: The composed configuration.
        explicit: The values set on the command line, by dotted key.
        python: The words that start a Python that can read structures.

    Raises:
        UserError: If anything in the configuration or the data forbids the run.
    """
    stages = narrowed(config.grid, config.axes)
    stages = with_acting_committees(stages, config.split.selection)
    if config.foundation is not None:
        stages = _refounded(stages, config.foundation)
    stages = with_donor(stages, config.new_elements.foundation)
    roots = resolve_roots(config.data_root, config.cache_root)
    made_models = MadeModels(Path(config.runs_root), *roots, tuple(python))
    settings = SettingsMerger(config, explicit, made_models)
    planning = Planning(config, settings, *roots, tuple(python))
    _plan_stages(planning, stages)
    tasks = _wanted(planning, stages)
    check_effects([task.spec for task in tasks], config.axes, explicit)
    to_stage = {
        name: found.to_stage for name, found in planning.foundations.items() if found.to_stage
    }
    return Plan(config.grid.name, tasks, to_stage)


def _plan_stages(planning: Planning, stages: Mapping[str, StageConfig]) -> None:
    planners: dict[str, StagePlanner] = {}
    for name in in_order(stages):
        kind = stages[name].kind
        if kind not in planners:
            planners[kind] = imported(task_kind(kind).planner)(planning)
        planned = planners[kind].plan(name, stages[name])
        if not planned:
            raise UserError(
                f"The stage '{name}' has no tasks: all are excluded.", where=f"grid.stages.{name}"
            )
        planning.by_stage[name] = planned


def _wanted(planning: Planning, stages: Mapping[str, StageConfig]) -> tuple[PlannedTask, ...]:
    """All tasks but those of helper stages whose output no task takes."""
    every = [task for planned in planning.by_stage.values() for task in planned]
    needed = {name for task in every for name in task.spec.needs}
    return tuple(
        task
        for task in every
        if task.spec.id in needed or not stages[task.spec.stage].only_if_needed
    )


def _refounded(stages: Mapping[str, StageConfig], foundation: str) -> dict[str, StageConfig]:
    """The stages with the command line's foundation in place of their own.

    It replaces what comes from outside; only where a grid makes all its foundations by itself
    does it replace these.

    Raises:
        UserError: If no stage takes a foundation.
    """
    every = {name: stage for name, stage in stages.items() if stage.foundation}
    outer = {name: stage for name, stage in every.items() if not is_of_stage(stage.foundation)}
    takers = outer or every
    if not takers:
        raise UserError("No stage of this grid takes a foundation.", where="foundation")
    changed = {
        name: stage.model_copy(update={"foundation": foundation}) for name, stage in takers.items()
    }
    return {**stages, **changed}

"""From a composed configuration to tasks: the plan, without heavy imports or side effects."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mo_hpc.core.config import dataset_config
from mo_hpc.core.errors import UserError
from mo_hpc.core.files import digest
from mo_hpc.core.index import DatasetIndex
from mo_hpc.core.schema import DatasetConfig, RunConfig, StageConfig
from mo_hpc.core.task import DatasetRef, FoundationRef, Runtime, Split, SplitSummary, TaskSpec
from mo_hpc.data.ensure import ensure_index
from mo_hpc.data.location import resolve_roots
from mo_hpc.grid.audit import Fitted, with_foundation
from mo_hpc.grid.axes import Cell, cells, in_order, narrowed
from mo_hpc.plan.checks import check_effects, check_elements
from mo_hpc.plan.foundations import ResolvedFoundation, resolve_foundation
from mo_hpc.plan.identity import task_id, task_identity
from mo_hpc.plan.settings import CellSettings, SettingsMerger
from mo_hpc.plan.splitting import PlannedSplit, SplitMaker


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task with the split it works on.

    Attributes:
        spec: The task.
        made: Its split, which it shares with tasks that differ in other things.
        maker: The task that makes its foundation.
    """

    spec: TaskSpec
    made: PlannedSplit
    maker: PlannedTask | None

    @property
    def split(self) -> Split:
        """Its frame ids."""
        return self.made.split

    @property
    def fitted(self) -> Fitted:
        """What its model was fitted to or selected on, its foundation's frames included."""
        inherited = self.maker.fitted if self.maker else Fitted()
        return inherited.plus(self.spec.dataset.config.name, self.made.fitted_frames)


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
    """Plans all tasks of a grid.

    Args:
        config: The composed configuration.
        explicit: The values set on the command line, by dotted key.
        python: The words that start a Python that can read structures.

    Raises:
        UserError: If anything in the configuration or the data forbids the run.
    """
    roots = resolve_roots(config.data_root, config.cache_root)
    return _Planner(config, SettingsMerger(config, explicit), roots, tuple(python)).plan()


@dataclass(slots=True)
class _Planner:
    config: RunConfig
    settings: SettingsMerger
    roots: tuple[Path, Path]
    python: tuple[str, ...]
    indices: dict[str, DatasetIndex] = field(default_factory=dict)
    splits: SplitMaker = field(default_factory=SplitMaker)
    foundations: dict[str, ResolvedFoundation] = field(default_factory=dict)
    audits: dict[tuple[PlannedSplit, str], SplitSummary] = field(default_factory=dict)
    by_stage: dict[str, list[PlannedTask]] = field(default_factory=dict)

    def plan(self) -> Plan:
        stages = narrowed(self.config.grid, self.config.axes)
        if self.config.foundation is not None:
            stages = _refounded(stages, self.config.foundation)
        for name in in_order(stages):
            where = f"grid.stages.{name}"
            planned = [
                self._task(name, stages[name], cell) for cell in cells(stages[name], where=where)
            ]
            if not planned:
                raise UserError(f"The stage '{name}' has no tasks: all are excluded.", where=where)
            self.by_stage[name] = planned
        tasks = self._wanted(stages)
        check_effects([task.spec for task in tasks], self.config.axes, self.settings.explicit)
        to_stage = {
            name: found.to_stage for name, found in self.foundations.items() if found.to_stage
        }
        return Plan(self.config.grid.name, tasks, to_stage)

    def _wanted(self, stages: Mapping[str, StageConfig]) -> tuple[PlannedTask, ...]:
        """All tasks but those of helper stages whose output no task takes."""
        every = [task for planned in self.by_stage.values() for task in planned]
        needed = {name for task in every for name in task.spec.needs}
        return tuple(
            task
            for task in every
            if task.spec.id in needed or not stages[task.spec.stage].only_if_needed
        )

    def _task(self, stage_name: str, stage: StageConfig, cell: Cell) -> PlannedTask:
        settings = self.settings.merge(stage_name, stage, cell)
        dataset = self.config.dataset
        if stage.dataset and stage.dataset != dataset.name:
            dataset = dataset_config(stage.dataset)
        index = self._index(dataset)
        split = self.splits.make(dataset, index, stage.subset, settings.split)
        foundation, path, maker = self._foundation(settings, cell)
        check_elements(settings, split, foundation, stage=stage_name, cell=cell)
        task_digest = task_identity(
            stage.kind,
            settings,
            dataset_hash=index.dataset_hash,
            split_digest=split.summary.digest,
            foundation=_made_of(foundation, maker),
        )
        data_root, cache_root = self.roots
        spec = TaskSpec(
            id=task_id(stage_name, cell, task_digest),
            digest=task_digest,
            kind=stage.kind,
            grid=self.config.grid.name,
            stage=stage_name,
            axes=cell,
            needs=(maker.spec.id,) if maker else (),
            paradigm=settings.paradigm,
            size=settings.size,
            dataset=DatasetRef(
                config=dataset, subset=stage.subset, dataset_hash=index.dataset_hash
            ),
            split=self._audited(split, dataset, maker),
            model=settings.model if settings.paradigm == "scratch" else None,
            train=settings.train,
            foundation=foundation,
            resources=settings.resources,
            runtime=Runtime(
                data_root=str(data_root),
                cache_root=str(cache_root),
                foundation_path=str(path) if path else None,
            ),
        )
        return PlannedTask(spec, split, maker)

    def _index(self, dataset: DatasetConfig) -> DatasetIndex:
        if dataset.name not in self.indices:
            self.indices[dataset.name] = ensure_index(dataset, *self.roots, self.python)
        return self.indices[dataset.name]

    def _foundation(
        self, settings: CellSettings, cell: Cell
    ) -> tuple[FoundationRef | None, Path | None, PlannedTask | None]:
        """The foundation of a cell, its file, and the task that makes it."""
        if not _takes_foundation(settings):
            return None, None, None
        name = settings.foundation
        if name is None:
            raise UserError(
                f"A {settings.paradigm} task needs a foundation, and the grid names none.",
                where="foundation",
                remedy="Add foundation=NAME or foundation=PATH.",
            )
        if name.startswith("stage:"):
            maker = self._maker(name.removeprefix("stage:"), cell)
            elements = tuple(
                sorted({*maker.spec.split.train_elements, *maker.spec.split.test_elements})
            )
            return (
                FoundationRef(task_id=maker.spec.id, elements=elements, is_stand_in=True),
                None,
                maker,
            )
        if name not in self.foundations:
            self.foundations[name] = resolve_foundation(name, *self.roots)
        resolved = self.foundations[name]
        return resolved.reference, resolved.path, None

    def _maker(self, stage: str, cell: Cell) -> PlannedTask:
        """The one task of a stage that agrees with a cell on the axes both have."""
        candidates = [
            task
            for task in self.by_stage[stage]
            if all(cell[axis] == value for axis, value in task.spec.axes.items() if axis in cell)
        ]
        if len(candidates) != 1:
            raise UserError(
                f"{len(candidates)} tasks of the stage '{stage}' could make the foundation of "
                f"{cell}; there must be one.",
                where="grid.stages",
                valid=[task.spec.id for task in candidates],
                remedy="Give both stages the axes that tell them apart, such as size or seed.",
            )
        if candidates[0].spec.paradigm == "zero_shot":
            raise UserError(
                f"The stage '{stage}' trains nothing, so it makes no foundation.",
                where=f"grid.stages.{stage}.paradigm",
                valid=["scratch", "fine_tune"],
            )
        return candidates[0]

    def _audited(
        self, split: PlannedSplit, dataset: DatasetConfig, maker: PlannedTask | None
    ) -> SplitSummary:
        """The split's summary, its audit extended to what the foundation was fitted to."""
        if maker is None:
            return split.summary
        key = (split, maker.spec.id)
        if key not in self.audits:
            audit = with_foundation(
                split.summary.audit,
                dataset=dataset.name,
                test=split.test_frames,
                fitted=maker.fitted,
                held_out=split.summary.config.element,
            )
            self.audits[key] = split.summary.model_copy(update={"audit": audit})
        return self.audits[key]


def _refounded(stages: Mapping[str, StageConfig], foundation: str) -> dict[str, StageConfig]:
    """The stages with the command line's foundation in place of their own.

    Raises:
        UserError: If no stage takes a foundation.
    """
    takers = {name: stage for name, stage in stages.items() if stage.foundation}
    if not takers:
        raise UserError("No stage of this grid takes a foundation.", where="foundation")
    changed = {
        name: stage.model_copy(update={"foundation": foundation}) for name, stage in takers.items()
    }
    return {**stages, **changed}


def _takes_foundation(settings: CellSettings) -> bool:
    if settings.paradigm in ("zero_shot", "fine_tune"):
        return True
    return settings.train.energy_reference in ("foundation", "estimated")


def _made_of(foundation: FoundationRef | None, maker: PlannedTask | None) -> str | None:
    """What a foundation counts as: its maker's digest, its hash, or its name until staged."""
    if foundation is None:
        return None
    return maker.spec.digest if maker else foundation.sha256 or foundation.name

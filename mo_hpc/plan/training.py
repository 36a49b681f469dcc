"""Planning trainings: the settings, data, split and foundation of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mo_hpc.core.config import dataset_config
from mo_hpc.core.errors import UserError, unknown_name
from mo_hpc.core.index import DatasetIndex
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.schema import DatasetConfig, StageConfig
from mo_hpc.core.strict import Strict
from mo_hpc.core.task import DatasetRef, FoundationRef, Split, SplitSummary, TrainTask
from mo_hpc.data.ensure import ensure_index
from mo_hpc.grid.audit import Fitted, with_foundation
from mo_hpc.grid.axes import Cell, cells
from mo_hpc.plan.checks import check_elements
from mo_hpc.plan.choosers import check_chooser, check_committee
from mo_hpc.plan.earlier_runs import PREFIX
from mo_hpc.plan.identity import task_id, task_identity
from mo_hpc.plan.made_models import MadeModel, makes_stand_in
from mo_hpc.plan.new_elements import Donor, PlannedNewElements, plan_new_elements
from mo_hpc.plan.planning import PlannedTask, Planning
from mo_hpc.plan.settings import CellSettings
from mo_hpc.plan.splitting import PlannedSplit, SplitMaker


@dataclass(frozen=True, slots=True)
class PlannedTraining(PlannedTask):
    """A training with the split it works on.

    Attributes:
        spec: The task.
        made: Its split, which it shares with tasks that differ in other things.
        maker: What makes its foundation: a task of an earlier stage, or one of an earlier run.
        donor_maker: What makes the named model that gives its new elements, likewise.
    """

    spec: TrainTask
    made: PlannedSplit
    maker: PlannedTraining | MadeModel | None
    donor_maker: PlannedTraining | MadeModel | None = None

    def inputs(self, paths: TaskPaths) -> Mapping[Path, Strict]:
        """The frame ids of its split."""
        return {paths.split: self.split}

    @property
    def split(self) -> Split:
        """Its frame ids."""
        return self.made.split

    @property
    def fitted(self) -> Fitted:
        """What its model was fitted to or selected on, and what those that it is made from were."""
        inherited = _fitted(_made(self.maker, self.donor_maker))
        return inherited.plus(self.spec.dataset.config.name, self.made.fitted_frames)


def maker_of(planning: Planning, stage: str, cell: Cell) -> PlannedTraining:
    """The one task of an earlier stage that makes the model a cell takes.

    Raises:
        UserError: If there is no such stage, not exactly one task agrees with the cell on the
            axes both have, or it makes no model.
    """
    if stage not in planning.by_stage:
        raise unknown_name("stage", stage, planning.by_stage)
    candidates = [
        task
        for task in planning.by_stage[stage]
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
    maker = candidates[0]
    if not isinstance(maker, PlannedTraining) or maker.spec.paradigm == "zero_shot":
        raise UserError(
            f"The stage '{stage}' trains nothing, so it makes no foundation.",
            where=f"grid.stages.{stage}.paradigm",
            valid=["scratch", "fine_tune"],
        )
    return maker


def committee_of(planning: Planning, stage: str, cell: Cell) -> list[PlannedTraining]:
    """The tasks of an earlier stage that train and agree with a cell on all axes but the seed."""
    shared = {axis: value for axis, value in cell.items() if axis != "seed"}
    return [
        task
        for task in planning.by_stage[stage]
        if isinstance(task, PlannedTraining)
        and task.spec.paradigm != "zero_shot"
        and all(shared.get(axis, value) == value for axis, value in task.spec.axes.items())
    ]


@dataclass(slots=True)
class TrainingPlanner:
    """Plans the stages that train; see `mo_hpc.plan.planning.StagePlanner`."""

    planning: Planning
    indices: dict[str, DatasetIndex] = field(default_factory=dict)
    splits: SplitMaker = field(default_factory=SplitMaker)
    audits: dict[tuple[PlannedSplit, tuple[str, ...]], SplitSummary] = field(default_factory=dict)

    def plan(self, name: str, stage: StageConfig) -> list[PlannedTask]:
        """One task for each cell of the stage's axes."""
        where = f"grid.stages.{name}"
        return [self._task(name, stage, cell) for cell in cells(stage, where=where)]

    def _task(self, stage_name: str, stage: StageConfig, cell: Cell) -> PlannedTraining:
        settings = self.planning.settings.merge(stage_name, stage, cell)
        dataset = self.planning.config.dataset
        if stage.dataset and stage.dataset != dataset.name:
            dataset = dataset_config(stage.dataset)
        index = self._index(dataset)
        split = self.splits.make(dataset, index, stage.subset, settings.split)
        foundation, path, maker = self._foundation(settings, cell)
        place = ", ".join([f"stage {stage_name}", *(f"{a}={value}" for a, value in cell.items())])
        new = self._new_elements(
            settings,
            split,
            foundation,
            lambda: self._donor(settings, maker, cell),
            host=dataset.host_element,
            place=place,
        )
        committee = self._committee(stage_name, stage, settings, cell, split)
        check_elements(settings, split, foundation, new.spec if new else None, place=place)
        task_digest = task_identity(
            stage.kind,
            settings,
            dataset_hash=index.dataset_hash,
            split_digest=split.summary.digest,
            foundation=_made_of(foundation, maker),
            new_elements=new,
            committee=[task.spec.digest for task in committee],
        )
        donor = new.donor if new else None
        donor_maker = self._named_donor(settings, cell) if donor else None
        members = tuple(task.spec.id for task in committee)
        spec = TrainTask(
            id=task_id(stage_name, cell, task_digest),
            digest=task_digest,
            kind=stage.kind,
            grid=self.planning.config.grid.name,
            stage=stage_name,
            axes=cell,
            needs=tuple(
                dict.fromkeys((*_needed(maker), *(donor.needs if donor else ()), *members))
            ),
            paradigm=settings.paradigm,
            size=settings.size,
            dataset=DatasetRef(
                config=dataset, subset=stage.subset, dataset_hash=index.dataset_hash
            ),
            split=self._audited(split, dataset, _made(maker, donor_maker)),
            model=settings.model if settings.paradigm == "scratch" else None,
            train=settings.train,
            foundation=foundation,
            new_elements=new.spec if new else None,
            committee=members,
            resources=settings.resources,
            runtime=self.planning.runtime(path, donor.path if donor else None),
        )
        return PlannedTraining(spec, split, maker, donor_maker)

    def _index(self, dataset: DatasetConfig) -> DatasetIndex:
        if dataset.name not in self.indices:
            planning = self.planning
            self.indices[dataset.name] = ensure_index(
                dataset, planning.data_root, planning.cache_root, planning.python
            )
        return self.indices[dataset.name]

    def _foundation(
        self, settings: CellSettings, cell: Cell
    ) -> tuple[FoundationRef | None, Path | None, PlannedTraining | MadeModel | None]:
        """The foundation of a cell, its file, and what makes it, where the suite does."""
        if not _takes_foundation(settings):
            return None, None, None
        name = settings.foundation
        if name is None:
            raise UserError(
                f"A {settings.paradigm} task needs a foundation, and the grid names none.",
                where="foundation",
                remedy="Add foundation=NAME, foundation=PATH or foundation=run:GRID.",
            )
        return self._model(name, settings, cell)

    def _model(
        self, name: str, settings: CellSettings, cell: Cell
    ) -> tuple[FoundationRef, Path | None, PlannedTraining | MadeModel | None]:
        """A pretrained model by its name, its file, and what makes it, where the suite does."""
        if name.startswith("stage:"):
            maker = maker_of(self.planning, name.removeprefix("stage:"), cell)
            split = maker.spec.split
            elements = tuple(sorted({*split.train_elements, *split.test_elements}))
            reference = FoundationRef(
                task_id=maker.spec.id, elements=elements, is_stand_in=makes_stand_in(maker.spec)
            )
            return reference, None, maker
        if name.startswith(PREFIX):
            made = self.planning.settings.made_models.find(name, cell, settings.size)
            return made.reference, made.path, made
        resolved = self.planning.foundation(name)
        return resolved.reference, resolved.path, None

    def _new_elements(
        self,
        settings: CellSettings,
        split: PlannedSplit,
        foundation: FoundationRef | None,
        donor: Callable[[], Donor | None],
        *,
        host: str,
        place: str,
    ) -> PlannedNewElements | None:
        """What the model takes for elements that the foundation lacks."""
        if foundation is None:
            return None
        wanted = {*split.summary.train_elements, *split.summary.test_elements}
        return plan_new_elements(settings, foundation, wanted, host, donor, place=place)

    def _donor(
        self, settings: CellSettings, maker: PlannedTraining | MadeModel | None, cell: Cell
    ) -> Donor | None:
        """The model that may know new elements: the named one, else what the foundation is of."""
        name = settings.new_elements.foundation
        if name is not None:
            reference, path, made_by = self._model(name, settings, cell)
            return Donor(reference, path, _made_of(reference, made_by), _needed(made_by))
        origin = maker.spec.foundation if maker else None
        if maker is None or origin is None:
            return None
        made_by = maker.maker if isinstance(maker, PlannedTraining) else None
        if origin.task_id is not None and made_by is None:
            # Made by another stage of an earlier run, which has its own name there.
            return None
        at = maker.spec.runtime.foundation_path
        return Donor(origin, Path(at) if at else None, _made_of(origin, made_by), _needed(made_by))

    def _named_donor(
        self, settings: CellSettings, cell: Cell
    ) -> PlannedTraining | MadeModel | None:
        """What makes a donor that the settings name; any other is in what the foundation is of."""
        name = settings.new_elements.foundation
        return self._model(name, settings, cell)[2] if name is not None else None

    def _committee(
        self,
        stage_name: str,
        stage: StageConfig,
        settings: CellSettings,
        cell: Cell,
        split: PlannedSplit,
    ) -> list[PlannedTraining]:
        """The tasks whose models choose the shots of a cell, if a committee does."""
        check_chooser(settings, stage, stage_name)
        if settings.split.selection != "committee" or stage.committee is None:
            return []
        members = committee_of(self.planning, stage.committee, cell)
        fitted = [{frame.id for frame in task.made.fitted_frames} for task in members]
        check_committee(stage.committee, fitted, split)
        return members

    def _audited(
        self,
        split: PlannedSplit,
        dataset: DatasetConfig,
        makers: Sequence[PlannedTraining | MadeModel],
    ) -> SplitSummary:
        """The split's summary, its audit extended to what its model's makers were fitted to."""
        if not makers:
            return split.summary
        key = (split, tuple(maker.spec.id for maker in makers))
        if key not in self.audits:
            audit = with_foundation(
                split.summary.audit,
                dataset=dataset.name,
                test=split.test_frames,
                fitted=_fitted(makers),
                tested=split.summary.config.tested_elements,
            )
            self.audits[key] = split.summary.model_copy(update={"audit": audit})
        return self.audits[key]


def _made(*makers: PlannedTraining | MadeModel | None) -> list[PlannedTraining | MadeModel]:
    """The makers that the suite knows: a published model has none."""
    return [maker for maker in makers if maker is not None]


def _fitted(makers: Sequence[PlannedTraining | MadeModel]) -> Fitted:
    """What any of these models was fitted to or selected on."""
    fitted = Fitted()
    for maker in makers:
        fitted = fitted.joined(maker.fitted)
    return fitted


def _needed(maker: PlannedTraining | MadeModel | None) -> tuple[str, ...]:
    """The task of this plan that makes a model, if one does."""
    return (maker.spec.id,) if isinstance(maker, PlannedTraining) else ()


def _takes_foundation(settings: CellSettings) -> bool:
    if settings.paradigm in ("zero_shot", "fine_tune"):
        return True
    return settings.train.energy_reference in ("foundation", "estimated")


def _made_of(
    foundation: FoundationRef | None, maker: PlannedTraining | MadeModel | None
) -> str | None:
    """What a foundation counts as: its maker's digest, its hash, or its name until staged."""
    if foundation is None:
        return None
    if isinstance(maker, PlannedTraining):
        return maker.spec.digest
    return foundation.sha256 or foundation.name

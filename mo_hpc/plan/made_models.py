"""Models that earlier runs made, as the planner takes them for foundations; opens none."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import sha256_file
from mo_hpc.core.index import DatasetIndex, FrameEntry, index_folder, read_index
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.record import TrainRecord, read_task, record_if_done
from mo_hpc.core.task import FoundationRef, Split, TrainTask
from mo_hpc.core.validation import read_validated
from mo_hpc.data.ensure import ensure_index
from mo_hpc.grid.audit import Fitted
from mo_hpc.grid.axes import Cell
from mo_hpc.plan.earlier_runs import RunWords, agreeing_task, earlier_run, how_to_go_on, run_name
from mo_hpc.plan.manifest import ManifestTask


@dataclass(frozen=True, slots=True, eq=False)
class MadeModel:
    """A model that a task of an earlier run has made.

    Attributes:
        run: The run.
        spec: The task.
        record: Its record.
        runs: Knows what it was fitted to.
    """

    run: RunPaths
    spec: TrainTask
    record: TrainRecord
    runs: MadeModels

    @property
    def path(self) -> Path:
        """The model file."""
        return self.run.task(self.spec.id).model.resolve()

    @property
    def reference(self) -> FoundationRef:
        """What enters a task that takes it."""
        return FoundationRef(
            name=run_name(self.run),
            run_task_id=self.spec.id,
            sha256=self.record.model_sha256,
            n_parameters=self.record.n_parameters,
            elements=tuple(sorted(self.record.energy_references.values_ev)),
            is_stand_in=makes_stand_in(self.spec),
        )

    @property
    def fitted(self) -> Fitted:
        """What it was fitted to or selected on, its foundations' frames included.

        Raises:
            UserError: If one of these frames can no longer be told.
        """
        return self.runs.fitted(self.run, self.spec)


def makes_stand_in(spec: TrainTask) -> bool:
    """Whether a task's model has no published foundation in it."""
    return spec.paradigm == "scratch" or spec.foundation is None or spec.foundation.is_stand_in


@dataclass(slots=True)
class MadeModels:
    """The models of the runs below a folder, as one plan sees them.

    Attributes:
        root: The folder of all runs.
        data_root: Where datasets lie.
        cache_root: Where indices and generated datasets lie.
        python: The words that start a Python that can read structures.
    """

    root: Path
    data_root: Path
    cache_root: Path
    python: tuple[str, ...] = (sys.executable,)
    _runs: dict[tuple[str, str | None], RunPaths] = field(default_factory=dict)
    _models: dict[tuple[Path, str], MadeModel] = field(default_factory=dict)
    _frames: dict[str, Mapping[str, FrameEntry]] = field(default_factory=dict)

    def find(self, name: str, cell: Cell, default_size: str) -> MadeModel:
        """The one model of a run that agrees with a cell on the axes both have.

        Args:
            name: ``run:GRID`` for the grid's newest complete run, ``run:GRID/DIGEST`` for
                one run, ``run:GRID/DIGEST/TASK`` for one task.
            cell: The axis values of the task that takes the model.
            default_size: The size that decides where the cell has none and several agree.

        Raises:
            UserError: If there is no such run, task or model, or more than one.
        """
        words = RunWords.parse(name)
        run = self._run(words)
        task = agreeing_task(run, words, cell, default_size)
        key = (run.folder, task.id)
        if key not in self._models:
            self._models[key] = self._model(run, task)
        return self._models[key]

    def fitted(self, run: RunPaths, spec: TrainTask) -> Fitted:
        """What a task of a run was fitted to or selected on, its foundations' frames included.

        Raises:
            UserError: If one of these frames can no longer be told.
        """
        split = read_validated(Split, run.task(spec.id).split)
        frames = self._frames_of(spec)
        names = (*split.widest.train, *split.valid)
        if split.digest != spec.split.digest or not all(name in frames for name in names):
            raise _untold(spec, "its split.json was changed")
        own = [frames[name] for name in names]
        return self._inherited(run, spec).plus(spec.dataset.config.name, own)

    def _inherited(self, run: RunPaths, spec: TrainTask) -> Fitted:
        """What the foundation of a task, and the donor of its new elements, were fitted to."""
        inherited = self._fitted_of(run, spec.foundation)
        if spec.new_elements is None:
            return inherited
        return inherited.joined(self._fitted_of(run, spec.new_elements.donor))

    def _fitted_of(self, run: RunPaths, model: FoundationRef | None) -> Fitted:
        """What a model that a task of a run takes was fitted to; nothing is told of others."""
        if model is not None and model.task_id is not None:
            return self.fitted(run, _training(run, model.task_id))
        if model is not None and model.run_task_id is not None:
            earlier = self._run(RunWords.parse(str(model.name)))
            return self.fitted(earlier, _training(earlier, model.run_task_id))
        return Fitted()

    def _run(self, words: RunWords) -> RunPaths:
        key = (words.grid, words.digest)
        if key not in self._runs:
            self._runs[key] = earlier_run(self.root, words)
        return self._runs[key]

    def _model(self, run: RunPaths, task: ManifestTask) -> MadeModel:
        paths = run.task(task.id)
        record = record_if_done(paths, task.id, task.digest)
        if isinstance(record, str):
            raise UserError(
                f"{task.id} of {run_name(run)} is not done: its metrics.json {record}.",
                where="foundation",
                remedy=how_to_go_on(run),
            )
        if not isinstance(record, TrainRecord) or record.model_sha256 is None:
            raise UserError(
                f"{task.id} of {run_name(run)} trains nothing, so it makes no foundation.",
                where="foundation",
            )
        found = sha256_file(paths.model)
        if found != record.model_sha256:
            raise UserError(
                f"The model of {task.id} has changed since it was made: its sha256 is {found}.",
                where=str(paths.model),
                valid=[record.model_sha256],
                remedy=f"Restore the file, or remove it to make it anew. {how_to_go_on(run)}",
            )
        return MadeModel(run, _training(run, task.id), record, self)

    def _frames_of(self, spec: TrainTask) -> Mapping[str, FrameEntry]:
        wanted = spec.dataset.dataset_hash
        if wanted not in self._frames:
            index = read_index(index_folder(self.cache_root, wanted)) or self._indexed_anew(spec)
            self._frames[wanted] = {frame.id: frame for frame in index.frames}
        return self._frames[wanted]

    def _indexed_anew(self, spec: TrainTask) -> DatasetIndex:
        config = spec.dataset.config
        index = ensure_index(config, self.data_root, self.cache_root, self.python)
        if index.dataset_hash != spec.dataset.dataset_hash:
            raise _untold(spec, f"the dataset '{config.name}' has changed since")
        return index


def _training(run: RunPaths, task_id: str) -> TrainTask:
    spec = read_task(run.task(task_id))
    if not isinstance(spec, TrainTask):
        raise UserError(f"{task_id} of {run_name(run)} trains nothing.", where="foundation")
    return spec


def _untold(spec: TrainTask, why: str) -> UserError:
    return UserError(
        f"What {spec.id} was fitted to cannot be told, so no audit can say what it has seen: "
        f"{why}.",
        where="foundation",
        remedy="Launch that grid again with today's data, and take the model it makes.",
    )

"""Planning domain checks: which check of which model, a task each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from mo_hpc.core.calculation import CalculatorConfig
from mo_hpc.core.check_task import CheckTask
from mo_hpc.core.checks import ACTING, CheckConfig, CheckName
from mo_hpc.core.config import names
from mo_hpc.core.errors import UserError, unknown_name
from mo_hpc.core.execution import Resources
from mo_hpc.core.files import digest
from mo_hpc.core.schema import StageConfig
from mo_hpc.core.task import TASK_SCHEMA_VERSION, FoundationRef
from mo_hpc.grid.axes import Cell, cells
from mo_hpc.plan.earlier_runs import PREFIX
from mo_hpc.plan.identity import task_id
from mo_hpc.plan.made_models import makes_stand_in
from mo_hpc.plan.planning import PlannedTask, Planning, require_one_process
from mo_hpc.plan.training import maker_of

BUILT_IN = "eam"
"""The name of the built-in embedded-atom potential."""

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_STAGE = "stage:"


@dataclass(frozen=True, slots=True)
class _Potential:
    """A model, as one cell of a stage names it.

    Attributes:
        name: What tables call it.
        identity: What it counts as in a task's digest.
        calculator: What computes without a model file.
        foundation: The model file.
        labels: What computed the labels that it was trained on, if this suite trained it.
        synthetic: Whether these are known not to be from first principles.
        path: Where the file is, if it is there.
        needs: The task that makes it, if an earlier stage does.
    """

    name: str
    identity: Any
    calculator: CalculatorConfig | None = None
    foundation: FoundationRef | None = None
    labels: str | None = None
    synthetic: bool = False
    path: Path | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Settings:
    """The settings that all tasks of a stage share."""

    checks: CheckConfig
    calculator: CalculatorConfig
    resources: Resources


@dataclass(slots=True)
class CheckPlanner:
    """Plans the stages that check models; see `mo_hpc.plan.planning.StagePlanner`."""

    planning: Planning
    identities: dict[str, Any] = field(default_factory=dict)
    """What each name of a model in the run's tables stands for."""

    def plan(self, name: str, stage: StageConfig) -> list[PlannedTask]:
        """One task for each check of each model."""
        _require_used(self.planning.config.foundation, stage)
        settings = self.planning.settings
        checks = settings.section(CheckConfig, "checks", name)
        resources = settings.section(Resources, "resources", name)
        require_one_process(
            resources, "A check is one process; each check of each model is a task of its own."
        )
        calculator = settings.section(CalculatorConfig, "calculator", name)
        where = f"grid.stages.{name}"
        planned = [
            self._task(name, stage, cell, _Settings(checks, calculator, resources))
            for cell in cells(stage, where=where)
        ]
        _require_effect(list(settings.explicit), planned)
        _require_other_dopants(checks, planned)
        return [PlannedTask(task) for task in planned]

    def _task(self, name: str, stage: StageConfig, cell: Cell, settings: _Settings) -> CheckTask:
        check = _check_of(cell, where=f"grid.stages.{name}.axes.check")
        word = str(cell.get("potential", stage.foundation or ""))
        potential = self._potential(word, cell, settings.calculator)
        self._require_own_name(potential)
        task_digest = digest(
            {
                "schema_version": TASK_SCHEMA_VERSION,
                "kind": stage.kind,
                "check": check,
                "settings": settings.checks.model_dump(mode="json", include=set(ACTING[check])),
                "potential": potential.identity,
            }
        )
        named: Cell = {"check": check, "potential": potential.name}
        return CheckTask(
            id=task_id(name, named, task_digest),
            digest=task_digest,
            kind=stage.kind,
            grid=self.planning.config.grid.name,
            stage=name,
            axes=cell,
            needs=potential.needs,
            resources=settings.resources,
            runtime=self.planning.runtime(potential.path),
            check=check,
            potential=potential.name,
            calculator=potential.calculator,
            foundation=potential.foundation,
            labels=potential.labels,
            synthetic=potential.synthetic,
            settings=settings.checks,
        )

    def _require_own_name(self, potential: _Potential) -> None:
        """Tables tell models apart by their names alone."""
        known = self.identities.setdefault(potential.name, potential.identity)
        if known != potential.identity:
            raise UserError(
                f"Two models are both called {potential.name}.",
                where="axes.potential",
                remedy="Check each in a run of its own, or call a factory otherwise.",
            )

    def _potential(self, word: str, cell: Cell, calculator: CalculatorConfig) -> _Potential:
        """The model that a word names; a factory takes its arguments from the configuration.

        Raises:
            UserError: If no model is named, or there is none of that name.
        """
        if not word:
            raise UserError(
                "No model to check was named.",
                where="foundation",
                valid=[BUILT_IN, "PATH", "run:GRID", "MODULE:FACTORY"],
                remedy="Add foundation=PATH, or several: axes.potential=[eam,PATH].",
            )
        if word == BUILT_IN:
            return _calculated(CalculatorConfig())
        if word.startswith(_STAGE):
            return self._of_stage(word.removeprefix(_STAGE), cell)
        if word.startswith(PREFIX):
            size = self.planning.config.model.name
            made = self.planning.settings.made_models.find(word, cell, size)
            own = _from_file(made.spec.id, made.reference, made.path)
            return replace(own, labels=made.record.labels, synthetic=made.record.synthetic)
        if _FACTORY.fullmatch(word):
            return _calculated(calculator.model_copy(update={"factory": word, "model": None}))
        found = self.planning.foundation(word)
        # Many a file is called the same; a registered name is one model.
        sha256 = (found.reference.sha256 or "")[:8]
        name = word if word in names("foundation") else f"{PurePath(word).stem} {sha256}"
        return _from_file(name, found.reference, found.path)

    def _of_stage(self, stage: str, cell: Cell) -> _Potential:
        maker = maker_of(self.planning, stage, cell).spec
        elements = {*maker.split.train_elements, *maker.split.test_elements}
        reference = FoundationRef(
            task_id=maker.id, elements=tuple(sorted(elements)), is_stand_in=makes_stand_in(maker)
        )
        dataset = maker.dataset.config
        own = _from_file(maker.id, reference, None)
        return replace(
            own,
            identity=maker.digest,
            labels=dataset.labels,
            synthetic=dataset.synthetic,
            needs=(maker.id,),
        )


def _calculated(calculator: CalculatorConfig) -> _Potential:
    identity = calculator.model_dump(mode="json", include={"factory", "kwargs"})
    return _Potential(calculator.labels, identity, calculator=calculator)


def _from_file(name: str, reference: FoundationRef, path: Path | None) -> _Potential:
    shown = f"{name} (stand-in)" if reference.is_stand_in else name
    return _Potential(shown, reference.sha256 or reference.name, foundation=reference, path=path)


def _check_of(cell: Cell, *, where: str) -> CheckName:
    asked = cell.get("check")
    for check in ACTING:
        if asked == check:
            return check
    if asked is None:
        raise UserError("The stage names no checks.", where=where, valid=list(ACTING))
    raise unknown_name("check", asked, ACTING)


def _require_used(foundation: str | None, stage: StageConfig) -> None:
    """The axis is what a stage checks; a model named beside it would be left out silently."""
    swept = [str(word) for word in stage.axes.get("potential", ())]
    if swept and foundation is not None and foundation == stage.foundation not in swept:
        raise UserError(
            f"foundation={foundation} changes nothing beside axes.potential.",
            where="foundation",
            remedy=f"Put it in there: axes.potential=[{','.join([*swept, foundation])}].",
        )


def _require_other_dopants(checks: CheckConfig, planned: Sequence[CheckTask]) -> None:
    """The host cannot dope itself; where no check has dopants, which they are is idle."""
    acts = any("dopants" in ACTING[task.check] for task in planned)
    if acts and checks.host in checks.dopants:
        others = ",".join(dopant for dopant in checks.dopants if dopant != checks.host)
        raise UserError(
            f"{checks.host} is host and dopant.",
            where="checks.host, checks.dopants",
            remedy=f"Leave it out of the dopants: checks.dopants=[{others}].",
        )


def _require_effect(explicit: Sequence[str], planned: Sequence[CheckTask]) -> None:
    """A setting that acts in no check of the plan would be believed to have acted."""
    acting = {field for task in planned for field in ACTING[task.check]}
    calculates = any(task.calculator and not task.calculator.is_eam for task in planned)
    for key in explicit:
        section, _, field = key.partition(".")
        if section == "calculator" and not (calculates and field.startswith(("name", "kwargs"))):
            raise UserError(
                f"'{key}' changes nothing: no model of this plan is a factory that takes it.",
                where=key,
                remedy="Name the factory itself: foundation=MODULE:FACTORY.",
            )
        if section == "checks" and field and field.partition(".")[0] not in acting:
            checks = [check for check, fields in ACTING.items() if field in fields]
            raise UserError(
                f"'{key}' changes nothing: it belongs to {' and '.join(checks)}.",
                where=key,
                remedy="Leave it out, or add the check to axes.check.",
            )

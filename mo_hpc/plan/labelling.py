"""Planning labellings: the structures of a design, shared out to tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mo_hpc.core.calculation import EAM, CalculatorConfig, LabelConfig, RelaxationConfig
from mo_hpc.core.config import names
from mo_hpc.core.design import design_config
from mo_hpc.core.errors import UserError, unknown_name
from mo_hpc.core.execution import Resources
from mo_hpc.core.files import digest
from mo_hpc.core.labelling import LabelTask, Structures
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.schema import StageConfig
from mo_hpc.core.strict import Scalar, Strict
from mo_hpc.core.task import TASK_SCHEMA_VERSION
from mo_hpc.data.design.listing import listed_structures
from mo_hpc.data.eam_parameters import EAM_PARAMETERS
from mo_hpc.plan.foundations import ResolvedFoundation
from mo_hpc.plan.identity import task_id
from mo_hpc.plan.planning import PlannedTask, Planning, require_one_process


@dataclass(frozen=True, slots=True)
class PlannedLabelling(PlannedTask):
    """A labelling with its structures.

    Attributes:
        spec: The task.
        structures: What it labels.
    """

    structures: Structures

    def inputs(self, paths: TaskPaths) -> Mapping[Path, Strict]:
        """The structures, so that a task needs neither the design nor what its hosts are in."""
        return {paths.structures: self.structures}


@dataclass(slots=True)
class LabelPlanner:
    """Plans the stages that label; see `mo_hpc.plan.planning.StagePlanner`."""

    planning: Planning

    def plan(self, name: str, stage: StageConfig) -> list[PlannedTask]:
        """One task for each structure, or for each few of them, of the design."""
        where = f"grid.stages.{name}"
        if stage.axes:
            raise UserError(
                f"The stage '{name}' labels a design; it has no axes.",
                where=f"{where}.axes",
                valid=["label.dopants", "label.structures_per_task"],
            )
        settings = self.planning.settings
        label = settings.section(LabelConfig, "label", name)
        calculator = settings.section(CalculatorConfig, "calculator", name)
        resources = settings.section(Resources, "resources", name)
        require_one_process(
            resources,
            "A labelling is one process; several tasks share the structures.",
            remedy="Set label.structures_per_task lower to have more tasks at once.",
        )
        structures = self._structures(label)
        model = self.planning.foundation(calculator.model) if calculator.model else None
        calculator = _named(calculator, model)
        _require_covered(structures, calculator, model)
        spec = {
            "kind": stage.kind,
            "grid": self.planning.config.grid.name,
            "stage": name,
            "resources": resources,
            "runtime": self.planning.runtime(model.path if model else None),
            "design": label.design,
            "calculator": calculator,
            "model": model.reference if model else None,
            "relaxation": label.relaxation,
        }
        return [
            _planned(spec, cell, shared, _science(calculator, model, label.relaxation))
            for cell, shared in _shared_out(structures, label.structures_per_task)
        ]

    def _structures(self, label: LabelConfig) -> Structures:
        """The structures of the design that the dopants leave.

        Raises:
            UserError: If no design is named, or none of its structures is left.
        """
        if label.design is None:
            raise UserError("No design was named.", where="label.design", valid=names("design"))
        design = design_config(label.design)
        wanted = set(design.dopants if label.dopants is None else label.dopants)
        for dopant in sorted(wanted - set(design.dopants)):
            raise unknown_name("label.dopants", dopant, design.dopants)
        every = listed_structures(design, self.planning.cache_root, self.planning.python)
        return Structures(
            structures=tuple(each for each in every.structures if wanted.issuperset(each.dopants))
        )


def _named(calculator: CalculatorConfig, model: ResolvedFoundation | None) -> CalculatorConfig:
    """The calculator, a model by its hash: many a file is called the same."""
    if model is None or calculator.name is not None:
        return calculator
    name = f"{calculator.labels} {(model.reference.sha256 or 'not staged')[:8]}"
    return calculator.model_copy(update={"name": name})


def _planned(
    spec: Mapping[str, Any], cell: dict[str, Scalar], structures: Structures, science: Any
) -> PlannedLabelling:
    task_digest = digest(
        {
            "schema_version": TASK_SCHEMA_VERSION,
            "kind": spec["kind"],
            "structures": structures.digest,
            **science,
        }
    )
    task = LabelTask(
        id=task_id(spec["stage"], cell, task_digest),
        digest=task_digest,
        axes=cell,
        n_structures=len(structures.structures),
        structures_digest=structures.digest,
        **spec,
    )
    return PlannedLabelling(task, structures)


def _science(
    calculator: CalculatorConfig, model: ResolvedFoundation | None, relaxation: RelaxationConfig
) -> dict[str, Any]:
    """What changes the labels beside the structures."""
    relaxes = relaxation.optimizer != "none"
    return {
        "labels": calculator.labels,
        "factory": None if model else calculator.factory or EAM,
        "kwargs": calculator.kwargs,
        "model": model and (model.reference.sha256 or model.reference.name),
        "relaxation": relaxation.model_dump(mode="json") if relaxes else None,
    }


def _shared_out(
    structures: Structures, per_task: int
) -> Iterator[tuple[dict[str, Scalar], Structures]]:
    """The structures of each task, and the axis that names it."""
    every = structures.structures
    for number, start in enumerate(range(0, len(every), per_task)):
        shared = Structures(structures=every[start : start + per_task])
        if per_task == 1:
            yield {"structure": every[start].structure_id}, shared
        else:
            yield {"chunk": number}, shared


def _require_covered(
    structures: Structures, calculator: CalculatorConfig, model: ResolvedFoundation | None
) -> None:
    """Refuses structures with elements that the calculator is known to lack.

    What a user's own factory covers is known only when it runs.
    """
    if model is not None:
        known = set(model.reference.elements)
    elif calculator.is_eam:
        known = set(EAM_PARAMETERS)
    else:
        return
    missing = structures.elements - known
    if not missing:
        return
    dopants = {each for structure in structures.structures for each in structure.dopants}
    remedy = "Choose another calculator, with calculator.factory=… or calculator.model=…"
    if missing <= dopants and (left := sorted(dopants - missing)):
        remedy += f", or label what it covers: label.dopants=[{','.join(left)}]"
    raise UserError(
        f"{calculator.labels} has no parameters for {', '.join(sorted(missing))}.",
        where="calculator, label.dopants",
        valid=sorted(known),
        remedy=f"{remedy}.",
    )

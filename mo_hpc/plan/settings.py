"""The settings of one task: presets, stage, adjustments, axes and command line merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from mo_hpc.core.config import foundation_config, model_config, names
from mo_hpc.core.errors import UserError, unknown_name
from mo_hpc.core.execution import Resources
from mo_hpc.core.schema import (
    Adjustment,
    ModelConfig,
    NewElementsConfig,
    Paradigm,
    RunConfig,
    SplitConfig,
    StageConfig,
    TrainConfig,
    validated,
)
from mo_hpc.core.strict import Scalar
from mo_hpc.core.validation import AnyModel
from mo_hpc.grid.axes import AXES, Cell
from mo_hpc.plan.earlier_runs import PREFIX
from mo_hpc.plan.made_models import MadeModels


@dataclass(frozen=True, slots=True)
class CellSettings:
    """What one cell of a stage means."""

    paradigm: Paradigm
    size: str
    split: SplitConfig
    train: TrainConfig
    model: ModelConfig
    foundation: str | None
    new_elements: NewElementsConfig
    resources: Resources


@dataclass(frozen=True, slots=True)
class SettingsMerger:
    """Merges the sources of settings, the later winning.

    The order is: preset or defaults; the stage; the preset's adjustments; the axes; the
    command line. A command-line key that an axis sweeps is an error, because one of the two
    would have to lose silently.

    Attributes:
        config: The composed configuration.
        explicit: The values set on the command line, by dotted key.
        made_models: The models of earlier runs.
    """

    config: RunConfig
    explicit: Mapping[str, Any]
    made_models: MadeModels

    def merge(self, stage_name: str, stage: StageConfig, cell: Cell) -> CellSettings:
        """The settings of one cell.

        Raises:
            UserError: If a value is of the wrong type or set twice.
        """
        paradigm = self._paradigm(stage, cell)
        size = cell.get("size")
        model = model_config(str(size)) if size is not None else self.config.model
        sections: dict[str, dict[str, Any]] = {
            "split": {**self.config.split.model_dump(mode="json"), **stage.split},
            "train": {**self.config.train.model_dump(mode="json"), **stage.train},
            "model": {**model.model_dump(mode="json"), **stage.model},
            "new_elements": {
                **self.config.new_elements.model_dump(mode="json"),
                **stage.new_elements,
            },
            "resources": {**self.config.resources.model_dump(mode="json"), **stage.resources},
        }
        where = f"grid.stages.{stage_name}"
        foundation = self._foundation(stage, {"size": model.name, **cell}, where)
        facts = {
            "stage": stage_name,
            "dataset": stage.dataset or self.config.dataset.name,
            **cell,
            "paradigm": paradigm,
            "size": model.name
            if paradigm == "scratch"
            else self._size(foundation, cell, model.name),
        }
        for adjustment in self.config.train.adjust:
            if _applies(adjustment, facts):
                for key, value in adjustment.set.items():
                    _set(sections, key, value)
        for axis, value in cell.items():
            self._set_axis(sections, axis, value)
        for key, value in self.explicit.items():
            if "." in key and key.partition(".")[0] in sections:
                _set(sections, key, value)
        sections["train"]["adjust"] = []
        return CellSettings(
            paradigm=paradigm,
            size=str(facts["size"]),
            split=_acting(sections["split"], paradigm, where=f"{where}.split"),
            train=validated(TrainConfig, sections["train"], where=f"{where}.train"),
            model=validated(ModelConfig, sections["model"], where=f"{where}.model"),
            resources=validated(Resources, sections["resources"], where=f"{where}.resources"),
            foundation=foundation,
            new_elements=validated(
                NewElementsConfig, sections["new_elements"], where=f"{where}.new_elements"
            ),
        )

    def section(self, model: type[AnyModel], name: str, stage_name: str) -> AnyModel:
        """One section of settings, such as ``resources``, for a whole stage.

        The stage's own values win over the configuration's, the command line's over both.

        Args:
            model: What the section is validated as.
            name: The section, of the same name in the configuration and in the stage.
            stage_name: Name of the stage.

        Raises:
            UserError: If a value is of the wrong type.
        """
        stage = self.config.grid.stages[stage_name]
        configured = getattr(self.config, name).model_dump(mode="json")
        sections = {name: {**configured, **getattr(stage, name)}}
        for key, value in self.explicit.items():
            if key.startswith(f"{name}."):
                _set(sections, key, value)
        return validated(model, sections[name], where=f"grid.stages.{stage_name}.{name}")

    def _set_axis(self, sections: dict[str, dict[str, Any]], axis: str, value: Any) -> None:
        key = AXES.get(axis, axis)
        if key in self.explicit:
            raise UserError(
                f"'{key}' is set on the command line, but the grid sweeps it.",
                where=key,
                remedy=f"Narrow the sweep instead: axes.{axis}=[{self.explicit.get(key)}].",
            )
        if "." in key:
            _set(sections, key, value)

    def _foundation(self, stage: StageConfig, facts: Cell, where: str) -> str | None:
        name = stage.foundation
        if name is None or "{" not in name:
            return name
        try:
            return name.format(**facts)
        except (KeyError, IndexError, ValueError):
            raise UserError(
                f"The foundation '{name}' names an axis that this stage does not have.",
                where=f"{where}.foundation",
                valid=facts,
            ) from None

    def _size(self, foundation: str | None, cell: Cell, otherwise: str) -> str:
        """The size of a foundation: its own where it has one, of a file its name."""
        if foundation is None or foundation.startswith("stage:"):
            return otherwise
        if foundation.startswith(PREFIX):
            return self.made_models.find(foundation, cell, otherwise).spec.size or otherwise
        if foundation in names("foundation"):
            return foundation_config(foundation).size
        return PurePath(foundation).stem

    def _paradigm(self, stage: StageConfig, cell: Cell) -> Paradigm:
        swept = cell.get("paradigm", stage.paradigm)
        known: tuple[Paradigm, ...] = ("zero_shot", "scratch", "fine_tune")
        for paradigm in known:
            if swept == paradigm:
                return paradigm
        raise unknown_name("paradigm", swept, known)


def _acting(section: Mapping[str, Any], paradigm: Paradigm, *, where: str) -> SplitConfig:
    """The split's settings, without a selection that selects nothing."""
    split = validated(SplitConfig, section, where=where)
    if split.chooses and paradigm != "zero_shot":
        return split
    return split.model_copy(update={"selection": "random"})


def _applies(adjustment: Adjustment, facts: Mapping[str, Scalar]) -> bool:
    """Whether an adjustment concerns a cell.

    Raises:
        UserError: If it names something that no cell has.
    """
    for key in adjustment.when:
        if key not in facts and key not in AXES:
            raise unknown_name("train.adjust.when", key, {*facts, *AXES})
    return all(
        facts.get(key) in (wanted if isinstance(wanted, tuple) else (wanted,))
        for key, wanted in adjustment.when.items()
    )


def _set(sections: dict[str, dict[str, Any]], key: str, value: Any) -> None:
    section, _, field = key.partition(".")
    if section not in sections:
        raise UserError(
            f"'{key}' cannot vary between the tasks of a grid.",
            where=key,
            valid=[f"{name}.…" for name in sections],
        )
    target = sections[section]
    *parents, last = field.split(".")
    for parent in parents:
        target[parent] = dict(target.get(parent) or {})
        target = target[parent]
    target[last] = value

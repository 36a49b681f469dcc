"""Checks of who chooses the structures of a new element: a start model, or a committee."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from mo_hpc.core.errors import UserError
from mo_hpc.core.schema import FEWEST_MEMBERS, StageConfig
from mo_hpc.plan.settings import CellSettings
from mo_hpc.plan.splitting import PlannedSplit


def check_chooser(settings: CellSettings, stage: StageConfig, stage_name: str) -> None:
    """Checks that a task whose shots are chosen by models has models to choose them.

    Raises:
        UserError: If it starts from no model, or its stage names no committee.
    """
    split = settings.split
    if not split.chooses:
        return
    if settings.paradigm == "scratch":
        raise UserError(
            f"selection={split.selection} chooses by models, and a scratch task starts from none.",
            where="axes.selection",
            valid=["random"],
            remedy="Leave scratch out: axes.paradigm=[fine_tune], or in the grid "
            f"exclude: [{{paradigm: scratch, selection: {split.selection}}}].",
        )
    if split.selection == "committee" and stage.committee is None:
        raise UserError(
            f"selection=committee needs models that disagree, and the stage '{stage_name}' names "
            "none.",
            where=f"grid.stages.{stage_name}.committee",
            remedy="Name a stage that trains without the structures to choose from (split: "
            f"{{protocol: few_shot}}) with an axis 'seed' of {FEWEST_MEMBERS} values or more.",
        )


def check_committee(stage: str, fitted: Sequence[AbstractSet[str]], split: PlannedSplit) -> None:
    """Checks that a committee can disagree, and about frames that none of it was fitted to.

    Args:
        stage: The stage that makes the committee.
        fitted: The frames that each of its models was fitted to or selected on, by id.
        split: The split whose shots are chosen.

    Raises:
        UserError: If they are too few or know the answers.
    """
    where = f"grid.stages.{stage}"
    if len(fitted) < FEWEST_MEMBERS:
        raise UserError(
            f"A committee of {len(fitted)} trained models is too small to disagree: it needs "
            f"{FEWEST_MEMBERS}.",
            where=f"{where}.axes.seed",
            remedy=f"Give the stage '{stage}' a paradigm that trains, the axes element and repeat "
            f"of the tasks it serves, and {FEWEST_MEMBERS} seeds or more.",
        )
    asked = {*split.split.test, *(name for unit in split.split.pool for name in unit)}
    known = max(len(asked & ids) for ids in fitted)
    if known:
        raise UserError(
            f"The committee was fitted to {known} of the frames that it is to choose from or that "
            "are tested.",
            where=f"{where}.split",
            remedy="Give it the subset and the split of the tasks it serves, without shots.",
        )

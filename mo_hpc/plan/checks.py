"""Checks of a plan that need no files: elements, reference energies, and effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mo_hpc.core.errors import UserError
from mo_hpc.core.schema import AxesConfig, EnergyReference
from mo_hpc.core.task import FoundationRef, NewElements, TaskSpec, TrainTask
from mo_hpc.plan.settings import CellSettings
from mo_hpc.plan.splitting import PlannedSplit

_SECTIONS = {
    "train": ("trains", ("dataset", "model", "train", "split", "new_elements")),
    "label": ("labels", ("calculator", "label")),
    "check": ("checks a model", ("calculator", "checks")),
}
"""Kind → what its tasks do, and the sections of settings that concern no other kind but those
that list them, too."""


def check_elements(
    settings: CellSettings,
    split: PlannedSplit,
    foundation: FoundationRef | None,
    new_elements: NewElements | None,
    *,
    place: str,
) -> None:
    """Checks that the foundation and the reference energies cover every element of a task.

    Raises:
        UserError: If an element is unknown to the foundation, or no policy gives it a
            reference energy and the grid did not ask for E0 = 0.
    """
    wanted = {*split.summary.train_elements, *split.summary.test_elements}
    if foundation is not None:
        known = {*foundation.elements, *(new_elements.elements if new_elements else ())}
        _check_foundation_covers(wanted - known, foundation, place)
    _check_reference_energies(wanted, settings, split, place)


def check_effects(specs: Sequence[TaskSpec], axes: AxesConfig, explicit: Mapping[str, Any]) -> None:
    """Checks that what was asked for makes a difference.

    A table whose rows differ in name only would be believed.

    Raises:
        UserError: If two tasks are the same, or an axis or a choice that the command line gave
            plays no part.
    """
    _check_distinct(specs)
    for axis, values in axes:
        if values is not None and not any(axis in spec.axes for spec in specs):
            raise UserError(
                f"The axis '{axis}' applies to no task of this plan.",
                where=f"axes.{axis}",
                remedy="Leave it out: 'element' is for LODO, 'shots' and 'selection' for few_shot, "
                "'energy_reference' for training.",
            )
    trainings = [spec for spec in specs if isinstance(spec, TrainTask)]
    kinds = {spec.kind for spec in specs}
    acting = {section for kind in kinds for section in _SECTIONS.get(kind, ("", ()))[1]}
    for does, sections in _SECTIONS.values():
        if words := _of_sections(explicit, *(set(sections) - acting)):
            raise UserError(
                f"'{words[0]}' changes nothing: no task of this plan {does}.", where=words[0]
            )
    words = _of_sections(explicit, "model")
    if words and not any(spec.model for spec in trainings):
        raise UserError(
            f"'{words[0]}' changes nothing: no task of this plan trains from scratch.",
            where=words[0],
            remedy="A foundation brings its own architecture; choose another with foundation=….",
        )


def _of_sections(explicit: Mapping[str, Any], *sections: str) -> list[str]:
    """The keys of the command line that choose a section or set something in it."""
    return [key for key in explicit if key.partition(".")[0] in sections]


def _check_distinct(specs: Sequence[TaskSpec]) -> None:
    by_digest: dict[str, TaskSpec] = {}
    for spec in specs:
        twin = by_digest.setdefault(spec.digest, spec)
        if twin is spec:
            continue
        axes = [axis for axis, value in spec.axes.items() if twin.axes.get(axis) != value]
        names = ", ".join(axes) or "stage"
        raise UserError(
            f"{twin.id} and {spec.id} are the same task: {names} changes nothing in them.",
            where=f"axes.{axes[0]}" if axes else "grid.stages",
            remedy="Drop the axis, or let it change something: a size needs a foundation for "
            "each, as in foundation=mace_mp_0_{size}.",
        )


def _check_foundation_covers(unknown: set[str], foundation: FoundationRef, place: str) -> None:
    if unknown:
        raise UserError(
            f"The foundation {foundation.name or foundation.task_id} does not know "
            f"{', '.join(sorted(unknown))}.",
            where=place,
            valid=foundation.elements,
            remedy="Take a foundation that covers these elements, leave their frames out, or give "
            "them weights of known ones: new_elements.weights=proxy_group (docs/new-elements.md).",
        )


def _check_reference_energies(
    wanted: set[str], settings: CellSettings, split: PlannedSplit, place: str
) -> None:
    policy = settings.train.energy_reference
    covered = {
        "average": set(split.summary.train_elements),
        "isolated": split.single_atom_elements,
        "explicit": set(settings.train.energy_reference_ev),
        "foundation": wanted,
        "estimated": wanted,
    }[policy]
    missing = sorted(wanted - covered)
    tolerated = policy == "average" and settings.train.allow_missing_energy_reference
    if settings.paradigm == "zero_shot" or not missing or tolerated:
        return
    names = ", ".join(missing)
    reach = {"explicit": "it lists", "isolated": "that stand alone in a training frame"}
    raise UserError(
        f"No reference energy for {names}: train.energy_reference={policy} covers only the "
        f"elements {reach.get(policy, 'of the training frames')}.",
        where=place,
        valid=["foundation", "estimated"],
        remedy=_remedy(policy, missing),
    )


def _remedy(policy: EnergyReference, missing: Sequence[str]) -> str:
    remedy = "Use axes.energy_reference=[estimated] (or foundation)"
    if policy == "explicit":
        values = ", ".join(f"{element}: …" for element in missing)
        return f"{remedy}, or add train.energy_reference_ev={{{values}}} in eV."
    if policy == "average":
        remedy += ", or ask for the paper's E0 = 0: train.allow_missing_energy_reference=true"
    return f"{remedy}."

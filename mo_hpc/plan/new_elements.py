"""What a task's model takes for elements that its foundation lacks, decided while planning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mo_hpc.core.errors import UserError
from mo_hpc.core.schema import NewElementsConfig
from mo_hpc.core.task import FoundationRef, NewElements
from mo_hpc.plan.proxies import RULES, nearest
from mo_hpc.plan.settings import CellSettings

_ENERGIES = "new_elements.energy_reference"


@dataclass(frozen=True, slots=True)
class Donor:
    """A model that knows the new elements.

    Attributes:
        reference: What enters the task.
        path: The file; None where an earlier stage makes it, or it is not staged.
        counts_as: Its part in the task's identity.
        needs: The task of an earlier stage that makes it, if one does.
    """

    reference: FoundationRef
    path: Path | None
    counts_as: str | None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedNewElements:
    """What a task says of its new elements, and the model that knows them."""

    spec: NewElements
    donor: Donor | None


def plan_new_elements(
    settings: CellSettings,
    foundation: FoundationRef,
    wanted: set[str],
    host: str,
    find_donor: Callable[[], Donor | None],
    *,
    place: str,
) -> PlannedNewElements | None:
    """Where the weights and reference energies of new elements come from.

    Args:
        settings: The task's settings.
        foundation: The model that the task takes.
        wanted: The elements of its data.
        host: The host element, which no rule chooses for a proxy.
        find_donor: Looks up a model that may know the new elements.
        place: The task in words.

    Returns:
        None where the model lacks no element, or nothing is said of new ones.

    Raises:
        UserError: If a proxy, a reference energy or a model that knows the elements is missing.
    """
    config = settings.new_elements
    new = sorted(wanted.difference(foundation.elements))
    if not new or config.weights is None or settings.paradigm == "scratch":
        return None
    energies_act = settings.paradigm == "zero_shot" or settings.train.energy_reference in (
        "foundation",
        "estimated",
    )
    if energies_act:
        _check_energies(config, new, place)
    energies = config.energy_reference if energies_act else None
    donor = None
    if config.weights == "slice" or energies in ("foundation", "estimated"):
        donor = _knowing(find_donor(), new, place)
    explicit_ev = config.energy_reference_ev if energies == "explicit" else {}
    spec = NewElements(
        weights=config.weights,
        elements=tuple(new),
        proxies=_proxies(config, new, foundation, host),
        energy_reference=energies,
        energy_reference_ev={element: explicit_ev[element] for element in new if explicit_ev},
        donor=donor.reference if donor else None,
    )
    return PlannedNewElements(spec, donor)


def _proxies(
    config: NewElementsConfig, new: list[str], foundation: FoundationRef, host: str
) -> dict[str, str]:
    if config.weights == "slice":
        return {}
    known = set(foundation.elements)
    if config.weights in RULES:
        candidates = known - {host}
        if not candidates:
            raise UserError(
                f"The model knows nothing but the host {host}: no rule chooses a proxy for "
                f"{', '.join(new)}.",
                where="new_elements.weights",
                valid=["proxy_given", "slice"],
                remedy="Name the host itself, as in new_elements.weights=proxy_given "
                f"new_elements.proxy={{{new[0]}: {host}}}, or take another foundation.",
            )
        return {element: nearest(config.weights, element, candidates) for element in new}
    wrong = [element for element in new if config.proxy.get(element) not in known]
    if wrong:
        raise UserError(
            f"No proxy that the model knows is given for {', '.join(wrong)}.",
            where="new_elements.proxy",
            valid=sorted(known),
            remedy="Give each an element of these, as in new_elements.proxy={Al: V}.",
        )
    return {element: config.proxy[element] for element in new}


def _check_energies(config: NewElementsConfig, new: list[str], place: str) -> None:
    """Refuses new elements whose reference energy nobody has chosen.

    An unsound one looks like a physics error, so that even the paper's must be asked for.
    """
    missing = [element for element in new if element not in config.energy_reference_ev]
    impossible = config.weights == "slice" and config.energy_reference == "borrowed"
    if config.energy_reference is None or impossible:
        what = f"No reference energy for the new elements {', '.join(new)}"
        why = "a slice has no proxy to borrow it from" if impossible else f"{_ENERGIES} is not set"
        raise UserError(
            f"{what}: {why}.",
            where=place,
            valid=["estimated", "foundation", "explicit"]
            + ([] if config.weights == "slice" else ["borrowed"]),
            remedy=_remedy(config),
        )
    if config.energy_reference == "explicit" and missing:
        raise UserError(
            f"No reference energy is given for the new elements {', '.join(missing)}.",
            where=place,
            remedy="Add them, in eV: new_elements.energy_reference_ev={Al: …}.",
        )


def _remedy(config: NewElementsConfig) -> str:
    sound = (
        f"Sound: {_ENERGIES}=estimated (or foundation), or explicit with "
        "new_elements.energy_reference_ev={…} in eV."
    )
    if config.weights == "slice":
        return sound
    return f"{sound} The proxy's, as the paper has it as far as is known: borrowed."


def _knowing(donor: Donor | None, new: list[str], place: str) -> Donor:
    lacking = new if donor is None else sorted(set(new).difference(donor.reference.elements))
    if donor is None or lacking:
        which = "No model" if donor is None else "The model it was made from does not know, so none"
        raise UserError(
            f"{which} gives weights or reference energies of {', '.join(lacking)}.",
            where=place,
            remedy="Name a foundation that knows them: new_elements.foundation=NAME or PATH. Or "
            f"take a proxy and {_ENERGIES}=explicit or borrowed.",
        )
    return donor

"""Figures of domain checks: equations of state, and dopant energies beside their reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mo_hpc.analysis.check_tables import check_records
from mo_hpc.analysis.figure_files import FigureFile
from mo_hpc.analysis.notes import caption
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.style import DOUBLE_COLUMN_IN, ELEMENT_COLOURS, SINGLE_COLUMN_IN
from mo_hpc.core.check_task import CheckedCurve, CheckedValue, CheckRecord

_LONGEST_LABEL = 50
_LINES = {"bcc": "-", "fcc": "--"}
_VOLUME, _ENERGY = "volume_ang3_per_atom", "energy_ev_per_atom"
_DOPANT_FIGURES = {
    "substitution": ("substitution_energy_ev", "substitution energy (eV)"),
    "binding": ("binding_energy_ev", "binding energy (eV)"),
}


def check_figures(records: RunRecords) -> Iterator[FigureFile]:
    """The figures of the checks of a run; none where it has none."""
    found = check_records(records)
    states = [each for each in found if each.check == "equation_of_state" and each.curves]
    if states:
        yield _figure(
            records,
            "equation_of_state",
            "Energy against volume, from the least energy of BCC (solid BCC, dashed FCC, dotted "
            f"reference volumes of BCC): {_names(states)}",
            partial(_draw_states, states),
        )
    for check, (name, label) in _DOPANT_FIGURES.items():
        chosen = [each for each in found if each.check == check]
        if any(value.name == name and value.value is not None for value in _values(chosen)):
            yield _figure(
                records,
                f"{check}_energies",
                f"{label.partition(' (')[0].capitalize()} by dopant, of pairs those of like "
                f"dopants: {_names(chosen)}. "
                f"Crosses: {_labels(chosen, name)}",
                partial(_draw_dopants, chosen, name, label),
            )


def _figure(records: RunRecords, name: str, text: str, draw: partial[Figure]) -> FigureFile:
    whole = f"{caption(records, text)}."
    return FigureFile(folder=records.run.figures, name=name, caption=whole, tasks=(), draw=draw)


def _draw_states(found: Sequence[CheckRecord]) -> Figure:
    figure = Figure(figsize=(SINGLE_COLUMN_IN, 2.8))
    axes = figure.subplots()
    for place, record in enumerate(found):
        colour = _colour(place)
        least = min(
            (e for curve in _curves(record, "bcc") for e in curve.columns[_ENERGY]), default=0.0
        )
        for lattice, line in _LINES.items():
            for curve in _curves(record, lattice):
                energies = [1e3 * (energy - least) for energy in curve.columns[_ENERGY]]
                axes.plot(
                    curve.columns[_VOLUME],
                    energies,
                    line,
                    color=colour,
                    label=_shown_name(record) if lattice == "bcc" else None,
                )
    for value in _values(found[:1]):
        if value.name == "equilibrium_volume_ang3_per_atom":
            for reference in value.references:
                axes.axvline(reference.value, color="0.5", linestyle=":", linewidth=0.8)
    axes.set_xlabel("volume (Å³/atom)")
    axes.set_ylabel("energy above BCC (meV/atom)")
    figure.legend(loc="outside upper center", ncols=1)
    return figure


def _draw_dopants(found: Sequence[CheckRecord], name: str, label: str) -> Figure:
    values = _drawn(found, name)
    subjects = list(dict.fromkeys(value.subject for value in values if _is_known(value)))
    places = {subject: place for place, subject in enumerate(_ordered(subjects, values))}
    width = max(SINGLE_COLUMN_IN, min(DOUBLE_COLUMN_IN, 0.17 * len(places) + 1))
    figure = Figure(figsize=(width, 2.6))
    axes = figure.subplots()
    axes.axhline(0, color="0.8", linewidth=0.6)
    references = {
        value.subject: reference.value for value in values for reference in value.references
    }
    drawn = {places[each]: value for each, value in references.items() if each in places}
    axes.plot(list(drawn), list(drawn.values()), "x", color="0.2", label=_labels(found, name))
    for place, record in enumerate(found):
        _draw_model(axes, record, name, places, _colour(place))
    axes.set_xticks(range(len(places)), list(places), rotation=90)
    axes.set_ylabel(label)
    figure.legend(loc="outside upper center", ncols=1)
    return figure


def _draw_model(
    axes: Axes, record: CheckRecord, name: str, places: dict[str, int], colour: str
) -> None:
    points = [
        (places[value.subject], value.value)
        for value in _drawn([record], name)
        if value.value is not None
    ]
    if points:
        axes.plot(
            *zip(*points, strict=True), "o", color=colour, markersize=3, label=_shown_name(record)
        )


def _drawn(found: Sequence[CheckRecord], name: str) -> list[CheckedValue]:
    """The values of a figure: of pairs only those of like dopants, as a table has room for all."""
    values = [value for value in _values(found) if value.name == name]
    return [value for value in values if _is_single_or_like(value.subject)]


def _is_single_or_like(subject: str) -> bool:
    return len(set(subject.partition(" ")[0].split("-"))) == 1


def _is_known(value: CheckedValue) -> bool:
    return value.value is not None or bool(value.references)


def _ordered(subjects: Sequence[str], values: Sequence[CheckedValue]) -> list[str]:
    """Dopants by their reference, pairs as they are: their shells belong together."""
    reference = {each.subject: each.references[0].value for each in values if each.references}
    if any(" " in subject for subject in subjects):
        return list(subjects)
    return sorted(subjects, key=lambda each: (each not in reference, reference.get(each, 0.0)))


def _curves(record: CheckRecord, lattice: str) -> list[CheckedCurve]:
    return [curve for curve in record.curves if curve.subject == lattice]


def _values(found: Sequence[CheckRecord]) -> list[CheckedValue]:
    return [value for record in found for value in record.values]


def _names(found: Sequence[CheckRecord]) -> str:
    return ", ".join(dict.fromkeys(record.potential for record in found))


def _shown_name(record: CheckRecord) -> str:
    """A model's name in lines that fit into a figure of one column."""
    return fill(record.potential, _LONGEST_LABEL)


def _labels(found: Sequence[CheckRecord], name: str) -> str:
    labels = {
        reference.labels
        for value in _values(found)
        if value.name == name
        for reference in value.references
    }
    return ", ".join(sorted(labels)) or "no reference"


def _colour(place: int) -> str:
    return ELEMENT_COLOURS[place % len(ELEMENT_COLOURS)]

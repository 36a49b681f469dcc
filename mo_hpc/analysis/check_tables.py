"""Tables of domain checks: value, reference and difference, for each model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mo_hpc.analysis.notes import caption, named_labels
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.table import Column, Table
from mo_hpc.core.check_task import CheckedValue, CheckRecord
from mo_hpc.core.checks import ACTING

CRYSTAL = "checks_crystal"
SUMMARY = "checks_dopants_summary"
_BY_DOPANT = ("substitution", "binding")

_UNITS = {
    "_mev_per_atom_per_ps": "meV/atom/ps",
    "_mev_per_atom": "meV/atom",
    "_ev_per_atom": "eV/atom",
    "_ang3_per_atom": "Å³/atom",
    "_j_per_m2": "J/m²",
    "_ang": "Å",
    "_gpa": "GPa",
    "_ev": "eV",
    "_k": "K",
}
"""Ending of a name → unit, longer endings before those that they end in."""

_COLUMNS = (
    Column("potential", "model"),
    Column("quantity", "quantity"),
    Column("subject", "of"),
    Column("unit", "unit"),
    Column("value", "value", 3),
    Column("reference", "reference", 3),
    Column("difference", "difference", 3),
    Column("labels", "reference from"),
    Column("problem", "why there is no value"),
)
_SUMMARY_COLUMNS = (
    Column("potential", "model"),
    Column("quantity", "quantity"),
    Column("unit", "unit"),
    Column("n_values", "values", 0),
    Column("n_missing", "none", 0),
    Column("n_compared", "compared", 0),
    Column("mean_absolute_difference", "mean |difference|", 3),
    Column("mean_absolute_reference", "mean |reference|", 3),
    Column("largest_difference", "largest", 3),
    Column("largest_of", "of"),
    Column("labels", "reference from"),
)


_SHOWN = {
    CRYSTAL: ("quantity", "subject", "value", "reference", "difference", "labels"),
    SUMMARY: (
        *("quantity", "n_values", "n_missing", "mean_absolute_difference"),
        *("mean_absolute_reference", "largest_difference", "largest_of"),
    ),
}
"""Table → its columns that fit into a terminal."""


def check_records(records: RunRecords) -> list[CheckRecord]:
    """The checks that are done, by check and then in the order of the run."""
    found = [records.others.get(task.id) for task in records.manifest.tasks]
    checks = [record for record in found if isinstance(record, CheckRecord)]
    order = list(ACTING)
    return sorted(checks, key=lambda record: order.index(record.check))


def check_tables(records: RunRecords) -> list[Table]:
    """What the checks of a run found; nothing where it has none."""
    found = check_records(records)
    crystal = [record for record in found if record.check not in _BY_DOPANT]
    dopants = [record for record in found if record.check in _BY_DOPANT]
    notes = _notes(found)
    tables = []
    if crystal:
        title = caption(records, "Domain checks of the crystal")
        verdicts = [f"{each.potential}: {each.verdict}" for each in crystal if each.verdict]
        tables.append(Table(CRYSTAL, title, _COLUMNS, tuple(_rows(crystal)), (*verdicts, *notes)))
    if dopants:
        rows = tuple(_rows(dopants))
        title = caption(records, "Domain checks of dopants")
        summary = caption(records, "Domain checks of dopants, over all of them")
        trivial = "Mean |reference| is the error of a model that answers 0."
        tables.append(
            Table(SUMMARY, summary, _SUMMARY_COLUMNS, tuple(_summed(rows)), (trivial, *notes))
        )
        tables.append(Table("checks_dopants", title, _COLUMNS, rows, notes))
    return tables


def parts_for_terminal(table: Table) -> list[Table]:
    """What of a table of checks fits into a terminal, in one part for each model.

    That is what has a reference, or no value; empty for any other table.
    """
    if table.name not in _SHOWN:
        return []
    rows = [
        {**row, "quantity": f"{row['quantity']}, {row['unit']}".removesuffix(", ")}
        for row in table.rows
        if row["labels"] is not None or row.get("problem")
    ]
    return [
        replace(
            table,
            title=f"{table.title}: {potential}",
            columns=tuple(each for each in table.columns if each.key in _SHOWN[table.name]),
            rows=tuple(row for row in rows if row["potential"] == potential),
        )
        for potential in dict.fromkeys(row["potential"] for row in rows)
    ]


def quantity_and_unit(name: str) -> tuple[str, str]:
    """A value's name in print, without its unit, and the unit."""
    for ending, unit in _UNITS.items():
        if name.endswith(ending):
            return name.removesuffix(ending).replace("_", " "), unit
    return name.replace("_", " "), ""


def _rows(found: Sequence[CheckRecord]) -> Iterator[dict[str, Any]]:
    """A row for each value and each reference that it has; those of a model together."""
    for potential in dict.fromkeys(record.potential for record in found):
        for record in found:
            if record.potential == potential:
                for value in record.values:
                    yield from _rows_of(record, value)


def _rows_of(record: CheckRecord, value: CheckedValue) -> Iterator[dict[str, Any]]:
    quantity, unit = quantity_and_unit(value.name)
    row = {
        "potential": record.potential,
        "check": record.check,
        "name": value.name,
        "quantity": quantity,
        "subject": value.subject,
        "unit": unit,
        "value": value.value,
        "reference": None,
        "difference": None,
        "labels": None,
        "citation": None,
        "problem": value.problem,
        "task_id": record.task_id,
    }
    for reference in value.references:
        yield row | {
            "reference": reference.value,
            "difference": None if value.value is None else value.value - reference.value,
            "labels": reference.labels,
            "citation": reference.citation,
        }
    if not value.references:
        yield row


def _summed(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row for each model and quantity; a value has at most one reference here."""
    keys = ("potential", "name", "quantity", "unit")
    for key in dict.fromkeys(tuple(row[name] for name in keys) for row in rows):
        chosen = [row for row in rows if tuple(row[name] for name in keys) == key]
        compared = [row for row in chosen if row["difference"] is not None]
        largest = max(compared, key=lambda row: abs(row["difference"]), default=None)
        differences = [abs(row["difference"]) for row in compared]
        sizes = [abs(row["reference"]) for row in compared]
        yield dict(zip(keys, key, strict=True)) | {
            "n_values": sum(row["value"] is not None for row in chosen),
            "n_missing": sum(row["value"] is None for row in chosen),
            "n_compared": len(compared),
            "mean_absolute_difference": sum(differences) / len(differences) if compared else None,
            "mean_absolute_reference": sum(sizes) / len(sizes) if compared else None,
            "largest_difference": largest["difference"] if largest else None,
            "largest_of": largest["subject"] if largest else None,
            "labels": largest["labels"] if largest else None,
        }


def _notes(found: Sequence[CheckRecord]) -> tuple[str, ...]:
    """What the models learnt from, how large the cells were, and where references come from."""
    trained = {
        record.potential: f"{record.potential} was trained on labels of "
        f"{named_labels(record.labels, synthetic=record.synthetic)}."
        for record in found
        if record.labels
    }
    values = [value for record in found for value in record.values]
    sources = {
        reference.labels: f"Reference {reference.labels}: {reference.citation}."
        for value in values
        for reference in value.references
    }
    return (
        (
            "No value is accepted or refused: the difference is the result. Settings of each check "
            "are in its record."
        ),
        *trained.values(),
        *sources.values(),
    )

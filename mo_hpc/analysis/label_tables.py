"""The table of labelled structures: how many there are, and whether they are relaxed."""

from __future__ import annotations

from typing import Any

from mo_hpc.analysis.notes import caption
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.table import Column, Table
from mo_hpc.core.labelling import LabelledStructure, LabelRecord

LABELLED = "labelled"
"""Name of the table."""

_NOTE = (
    "Cells are fixed; frames: all steps of all relaxations. Largest force: on any atom of any last "
    "frame, in eV/Å."
)
_Key = tuple[str, str, str, int]


def label_tables(records: RunRecords) -> list[Table]:
    """One row for each host and number of dopants; no table where nothing is labelled."""
    found: dict[_Key, list[LabelledStructure]] = {}
    for record in records.others.values():
        if isinstance(record, LabelRecord):
            for structure in record.structures:
                key = (record.stage, record.labels, structure.host, len(structure.dopants))
                found.setdefault(key, []).append(structure)
    if not found:
        return []
    return [
        Table(
            name=LABELLED,
            title=caption(records, "Labelled structures"),
            columns=(
                Column("labels", "labels"),
                Column("host", "host"),
                Column("n_dopants", "dopants"),
                Column("n_structures", "structures"),
                Column("n_converged", "converged"),
                Column("n_frames", "frames"),
                Column("max_force_ev_per_ang", "largest force", 3),
            ),
            rows=tuple(_row(key, structures) for key, structures in found.items()),
            notes=(_NOTE,),
        )
    ]


def _row(key: _Key, structures: list[LabelledStructure]) -> dict[str, Any]:
    stage, labels, host, n_dopants = key
    return {
        "stage": stage,
        "labels": labels,
        "host": host,
        "n_dopants": n_dopants,
        "n_structures": len(structures),
        "n_converged": sum(structure.converged for structure in structures),
        "n_frames": sum(structure.n_frames for structure in structures),
        "max_force_ev_per_ang": max(structure.max_force_ev_per_ang for structure in structures),
    }

"""What the errors of held-out elements follow: the energies of the elements themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mo_hpc.analysis.element_properties import SOURCE, element_properties
from mo_hpc.analysis.error_part_tables import Fold, averaged, mean_of
from mo_hpc.analysis.notes import caption, origin_and_missing
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.reference_values import table2_elements, table2_value
from mo_hpc.analysis.settings import LODO, described, groups, order, shown, varying
from mo_hpc.analysis.table import Column, Table
from mo_hpc.metrics.correlations import FEWEST_POINTS, LinearRelation, linear_relation

PAPER = "paper (VASP PBE)"
"""What a row of the published table is called."""

_ENERGY = "energy_mae_mev_per_atom"
_FORCE = "force_mae_mev_per_ang_component"
_ERRORS = {
    _ENERGY: "E MAE (meV/atom)",
    f"{_ENERGY}_offset_removed": "E MAE, offset removed (meV/atom)",
    "held_out_offset_ev": "offset of held-out (eV per atom of it)",
    _FORCE: "F MAE (meV/Å)",
}
_ENERGIES = {"pbe_ev_per_atom": "PBE crystal", "label_energy_ev": "labels"}
_FOLLOWS = (
    "Pearson's r over the n held-out elements, with a bootstrap 95 % interval over elements and "
    "p, the two-sided share of permutations with as large a correlation; slope and intercept of "
    "the least-squares line against minus the element's energy in eV, which is positive and grows "
    "with the cohesion. PBE crystal: energy of the elemental crystal; labels: the energy of the "
    "element in the run's own labels, by a linear fit of all frames of the fold. A model that "
    "gives the element no reference energy and learns nothing of it has an offset of slope 1 "
    "against the labels."
)
_COLUMNS = (
    Column("study", "study"),
    Column("protocol", "LODO"),
    Column("error", "error"),
    Column("against", "against minus the energy of"),
    Column("n", "n"),
    Column("r", "r", 2),
    Column("r_low", "from", 2),
    Column("r_high", "to", 2),
    Column("p_value", "p", 4),
    Column("slope", "slope", 2),
    Column("intercept", "intercept", 2),
)


def energy_relation_tables(
    records: RunRecords, frame: pd.DataFrame, settings: Sequence[str], folds: Mapping[str, Fold]
) -> list[Table]:
    """One table of all studies with enough elements, the paper's below them; else none.

    Args:
        records: The run.
        frame: Its leave-one-element-out tasks, one row each.
        settings: Settings that tell studies apart.
        folds: The tasks that are done, by id.
    """
    naming = varying(frame, settings) or ["paradigm"]
    rows = [
        row
        for values, tasks in groups(frame, settings)
        for row in _relations(
            [folds[name] for name in tasks["task_id"] if name in folds],
            described({name: values[name] for name in naming}),
        )
    ]
    if not rows:
        return []
    title = caption(records, "Errors of held-out elements against the elements' energies")
    return [
        _relation_table(title, [*rows, *_paper_relations()], origin_and_missing(records, frame))
    ]


def paper_relation_table() -> Table:
    """The errors of the paper's Table 2 against the elements' energies."""
    title = "Errors of the paper's Table 2 against the elements' energies"
    return _relation_table(title, _paper_relations())


def _relation_table(title: str, rows: Sequence[dict[str, Any]], notes: Sequence[str] = ()) -> Table:
    return Table(
        name="elemental_energies",
        title=title,
        columns=_COLUMNS,
        rows=tuple(rows),
        notes=(_FOLLOWS, SOURCE, *notes),
    )


def _paper_relations() -> list[dict[str, Any]]:
    """What the errors of the paper's Table 2 follow: it has raw energies and forces."""
    pbe = element_properties()
    elements = table2_elements()
    energies = np.array([-pbe[element].energy_ev_per_atom for element in elements])
    rows = []
    for protocol in LODO:
        for error in (_ENERGY, _FORCE):
            values = [table2_value(element, protocol, error) for element in elements]
            rows.append(
                {"study": PAPER, "protocol": shown(protocol), "error": _ERRORS[error]}
                | {"against": _ENERGIES["pbe_ev_per_atom"]}
                | _line(linear_relation(energies, np.array(values, dtype=np.float64)))
            )
    return rows


def _relations(folds: Sequence[Fold], study: str) -> list[dict[str, Any]]:
    """What the errors of one study follow, by protocol."""
    rows: list[dict[str, Any]] = []
    for protocol in sorted({str(fold.row["protocol"]) for fold in folds}, key=order):
        table = _by_element([fold for fold in folds if fold.row["protocol"] == protocol])
        rows.extend(
            {"study": study, "protocol": shown(protocol)}
            | {"error": heading, "against": against}
            | _line(linear_relation(-known[energy].to_numpy(), known[error].to_numpy()))
            for energy, against in _ENERGIES.items()
            for error, heading in _ERRORS.items()
            if len(known := table[[energy, error]].dropna().astype(float)) >= FEWEST_POINTS
        )
    return rows


def _by_element(folds: Sequence[Fold]) -> pd.DataFrame:
    """One row per element: mean errors, offset and energies."""
    pbe = element_properties()
    rows = []
    for element in sorted({fold.element for fold in folds}):
        of_element = [fold for fold in folds if fold.element == element]
        rows.append(
            {name: mean_of([fold.row.get(name) for fold in of_element]) for name in _ERRORS}
            | averaged(of_element)
            | {"pbe_ev_per_atom": pbe[element].energy_ev_per_atom if element in pbe else None}
        )
    return pd.DataFrame(rows)


def _line(relation: LinearRelation | None) -> dict[str, Any]:
    if relation is None:
        return {}
    low, high = relation.r_interval_95 or (None, None)
    return {
        "n": relation.n,
        "r": relation.r,
        "r_low": low,
        "r_high": high,
        "p_value": relation.p_value,
        "slope": relation.slope,
        "intercept": relation.intercept,
    }

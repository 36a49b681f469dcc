"""What the energy errors of held-out elements are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mo_hpc.analysis.aggregate import span
from mo_hpc.analysis.notes import caption, origin_and_missing
from mo_hpc.analysis.predicted import predictions_of
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.settings import (
    FOLD,
    MOST_OF_A_FOLD,
    described,
    groups,
    order,
    shown,
    slug,
    varying,
)
from mo_hpc.analysis.table import Column, Table
from mo_hpc.metrics.energies import root_mean_square
from mo_hpc.metrics.error_parts import ErrorParts, error_parts, label_energy_ev

_PARTS = {
    "error": "E RMSE",
    "references": "references",
    "hosts": "by host",
    "rest": "rest",
}
_WHAT = (
    "Root mean squares over test frames in meV/atom; the squares of the three parts of a row add "
    "up to that of E RMSE. References: what one energy for each element explains: changing E0 of "
    "the trained model changes this part and no other; training with another policy may change "
    "all; by host: what one energy for each element in each "
    "host explains beyond that, zero where there is one host; rest: what neither explains, E RMSE "
    "with offsets removed. Frames of hosts with no more frames than coefficients p are left out. "
    "Offset: the energy of the held-out element, and of the host's, in the second of these fits, "
    "mean over hosts: predicted minus label, in eV per atom of the element. Label energy: that of "
    "the held-out element in a linear fit of the labels of all frames. All: squares averaged over "
    "the elements. "
    f"Of more than {MOST_OF_A_FOLD} repeats and seeds of a fold these are of the first ones."
)


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One task of a held-out element.

    Attributes:
        row: Its settings and metrics.
        parts: Its energy error in parts, None where they are undefined.
        label_energy_ev: Energy of the element in the labels, None where undetermined.
        host_element: The element that hosts it.
    """

    row: dict[str, Any]
    parts: ErrorParts | None
    label_energy_ev: float | None
    host_element: str

    @property
    def element(self) -> str:
        """The held-out element."""
        return str(self.row["element"])

    def offset_ev(self, element: str) -> float | None:
        """Error of an element's reference energy, None where undetermined."""
        return self.parts.offsets_ev.get(element) if self.parts else None


def read_folds(
    records: RunRecords, frame: pd.DataFrame, settings: Sequence[str]
) -> dict[str, Fold]:
    """The folds of tasks that are done, by task id; of many repeats and seeds the first ones.

    Args:
        records: The run.
        frame: Its leave-one-element-out tasks, one row each.
        settings: Settings that tell studies apart.

    Raises:
        UserError: If the predictions of a task are missing or not those of its record.
    """
    found = {}
    done = frame[frame["state"] == "done"]
    first = done.groupby([*settings, *FOLD], sort=False).head(MOST_OF_A_FOLD)
    for row in first.to_dict("records"):
        task_id = str(row["task_id"])
        predictions = predictions_of(records, task_id)
        found[task_id] = Fold(
            row={str(key): value for key, value in row.items()},
            parts=error_parts(predictions.only("test")),
            label_energy_ev=label_energy_ev(predictions, str(row["element"])),
            host_element=str(row["host_element"]),
        )
    return found


def error_part_tables(
    records: RunRecords, frame: pd.DataFrame, settings: Sequence[str], folds: Mapping[str, Fold]
) -> Iterator[Table]:
    """The parts for each combination of settings.

    Args:
        records: The run.
        frame: Its leave-one-element-out tasks, one row each.
        settings: Settings that tell studies apart.
        folds: The tasks that are done, by id.
    """
    naming = varying(frame, settings) or ["paradigm"]
    for values, tasks in groups(frame, settings):
        chosen = [folds[name] for name in tasks["task_id"] if name in folds]
        if chosen:
            yield _part_table(records, tasks, chosen, {name: values[name] for name in naming})


def averaged(folds: Sequence[Fold]) -> dict[str, Any]:
    """One row of several tasks: the parts with squares averaged, so that they still add up.

    Returns:
        Parts, counts, ``held_out_offset_ev``, ``host_offset_ev`` and ``label_energy_ev``; None
        where undefined.
    """
    parts = [fold.parts for fold in folds if fold.parts is not None]
    return {
        "n_frames": span(pd.Series([each.n_frames for each in parts], dtype=float)),
        "n_coefficients": span(pd.Series([each.n_coefficients for each in parts], dtype=float)),
        **{name: _rms([getattr(each, name) for each in parts]) for name in _PARTS},
        "held_out_offset_ev": mean_of([fold.offset_ev(fold.element) for fold in folds]),
        "host_offset_ev": mean_of([fold.offset_ev(fold.host_element) for fold in folds]),
        "label_energy_ev": mean_of([fold.label_energy_ev for fold in folds]),
    }


def mean_of(values: Sequence[Any]) -> float | None:
    """The mean of the values that are defined, None where none is."""
    known = pd.to_numeric(pd.Series(values, dtype=object)).dropna()
    return float(known.mean()) if len(known) else None


def _part_table(
    records: RunRecords, frame: pd.DataFrame, folds: Sequence[Fold], naming: dict[str, Any]
) -> Table:
    rows: list[dict[str, Any]] = []
    rules = set()
    for protocol in sorted({str(fold.row["protocol"]) for fold in folds}, key=order):
        rules.add(len(rows))
        rows.extend(_part_rows([fold for fold in folds if fold.row["protocol"] == protocol]))
    return Table(
        name=f"error_parts_{slug(naming)}",
        title=caption(records, f"Parts of the energy error: {described(naming)}"),
        columns=(
            Column("protocol", "LODO"),
            Column("element", "held out"),
            Column("n_frames", "frames"),
            Column("n_coefficients", "p"),
            *(Column(part, heading, 2) for part, heading in _PARTS.items()),
            Column("held_out_offset_ev", "offset (eV)", 2),
            Column("host_offset_ev", "offset of host's (eV)", 4),
            Column("label_energy_ev", "label energy (eV)", 2),
        ),
        rows=tuple(rows),
        notes=(_WHAT, *origin_and_missing(records, frame)),
        rules=frozenset(rules),
    )


def _part_rows(folds: Sequence[Fold]) -> list[dict[str, Any]]:
    """A row for each element, repeats and seeds in one, and one for all elements."""
    elements = sorted({fold.element for fold in folds})
    protocol = {"protocol": shown(folds[0].row["protocol"])}
    rows = [
        protocol
        | {"element": element}
        | averaged([fold for fold in folds if fold.element == element])
        for element in elements
    ]
    known = [row for row in rows if row["error"] is not None]
    over_all = {part: _rms([row[part] for row in known]) for part in _PARTS}
    return [*rows, protocol | {"element": f"All (n={len(known)})"} | over_all]


def _rms(values: Sequence[float]) -> float | None:
    return root_mean_square(np.array(values, dtype=np.float64))

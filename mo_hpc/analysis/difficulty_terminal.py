"""Expected difficulty as a terminal of 80 columns shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mo_hpc.analysis.difficulty import PREDICTORS
from mo_hpc.analysis.table import EMPTY, Column, Table, printed

_SHORT = dict(zip(PREDICTORS, ("size", "energy", "Pettifor", "all"), strict=True))
_ERRORS = {"E MAE": "E", "E MAE, offset removed": "E removed", "F MAE": "F"}


def rank_test_rows(table: Table) -> list[list[str]]:
    """Correlation of each predictor, with its p-value where one study leaves the room."""
    studies = dict.fromkeys(str(row["study"]) for row in table.rows)
    if len(studies) == 1:
        headings = ["LODO", "error", "n", *(f"{name}\nρ, p" for name in _SHORT.values())]
        return [headings, *(_rank_test(row) for row in table.rows)]
    rows = [["LODO", "error", "n", *(f"{name}\nρ" for name in _SHORT.values())]]
    for study in studies:
        rows.append([study, *[""] * (len(_SHORT) + 2)])
        of_study = (row for row in table.rows if row["study"] == study)
        rows.extend(_rank_test(row, with_p=False) for row in of_study)
    return rows


def relation_rows(table: Table) -> list[list[str]]:
    """The lines without what all rows share, which is in the title."""
    kept = [column for column in table.columns if column.key not in ("study", "against")]
    rows = ([printed(row, column) for column in kept] for row in table.rows)
    return [[column.title for column in kept], *rows]


def _rank_test(row: Mapping[str, Any], *, with_p: bool = True) -> list[str]:
    leading = [row["protocol"], _ERRORS[row["error"]], str(row["n"])]
    return [*leading, *(_cell(row, key, with_p=with_p) for key in _SHORT)]


def _cell(row: Mapping[str, Any], key: str, *, with_p: bool) -> str:
    rho = printed(row, Column(f"{key}_rho", "", 2))
    if not with_p:
        return rho
    p_value = printed(row, Column(f"{key}_p", "", 3)).removeprefix("0").replace(".000", "<.001")
    return rho if rho == EMPTY else f"{rho} {p_value}"

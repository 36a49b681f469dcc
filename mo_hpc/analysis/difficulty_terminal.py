"""Expected difficulty as a terminal of 80 columns shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mo_hpc.analysis.difficulty import PREDICTORS
from mo_hpc.analysis.table import EMPTY, Column, Table, printed

_SHORT = dict(zip(PREDICTORS, ("size", "energy", "Pettifor", "all"), strict=True))
_ERRORS = {"E MAE": "E", "E MAE, offset removed": "E removed", "F MAE": "F"}


def rank_test_rows(table: Table) -> list[list[str]]:
    """Correlation and p-value of each predictor in one cell; the study where there are several."""
    studies = [str(row["study"]) for row in table.rows]
    named = len(set(studies)) > 1
    headings = ["LODO", "error", "n", *(f"{name}\nρ, p" for name in _SHORT.values())]
    rows = [["study", *headings] if named else headings]
    for study, row in zip(studies, table.rows, strict=True):
        rows.append([study, *_rank_test(row)] if named else _rank_test(row))
    return rows


def relation_rows(table: Table) -> list[list[str]]:
    """The lines without what all rows share, which is in the title."""
    kept = [column for column in table.columns if column.key not in ("study", "against")]
    rows = ([printed(row, column) for column in kept] for row in table.rows)
    return [[column.title for column in kept], *rows]


def _rank_test(row: Mapping[str, Any]) -> list[str]:
    leading = [row["protocol"], _ERRORS[row["error"]], str(row["n"])]
    return [*leading, *(_cell(row, key) for key in _SHORT)]


def _cell(row: Mapping[str, Any], key: str) -> str:
    rho = printed(row, Column(f"{key}_rho", "", 2))
    p_value = printed(row, Column(f"{key}_p", "", 3)).removeprefix("0")
    return rho if rho == EMPTY else f"{rho} {p_value}"

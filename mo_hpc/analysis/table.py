"""A table: raw values in rows, and how its columns are printed in each format."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from tabulate import SEPARATING_LINE, tabulate

EMPTY = "–"
CSV_FLOATS = "%.10g"
_LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
}
_LATEX_SYMBOLS = {
    "±": r"$\pm$",
    "×": r"$\times$",
    "Å": r"\AA{}",
    "–": "--",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One printed column.

    Attributes:
        key: Key of the value in a row.
        title: Heading.
        digits: Decimals of a number; None prints the value as it is.
        with_std: Whether ``<key>_std`` is printed behind the value, as ``± std``.
    """

    key: str
    title: str
    digits: int | None = None
    with_std: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    Attributes:
        name: File name without ending.
        title: Caption.
        columns: What is printed, in order.
        rows: Raw values; keys that no column prints appear in CSV and JSON alone.
        notes: Sentences below the table.
        rules: Numbers of the rows before which a line is drawn.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()
    rules: frozenset[int] = frozenset()

    @property
    def titles(self) -> list[str]:
        """Headings of the printed columns."""
        return [column.title for column in self.columns]

    def cells(self) -> list[list[str]]:
        """Printed values, row by row."""
        return [[printed(row, column) for column in self.columns] for row in self.rows]


def printed(row: Mapping[str, Any], column: Column) -> str:
    """One value as text."""
    value = row.get(column.key)
    if _is_missing(value):
        return EMPTY
    if column.digits is None or isinstance(value, str):
        return str(value)
    text = f"{value:.{column.digits}f}"
    deviation = row.get(f"{column.key}_std") if column.with_std else None
    return text if _is_missing(deviation) else f"{text} ± {deviation:.{column.digits}f}"


def to_markdown(table: Table) -> str:
    """Caption, table and notes in GitHub's Markdown."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in table.cells()]
    body = tabulate(
        cells,
        headers=[title.replace("|", r"\|") for title in table.titles],
        tablefmt="github",
        disable_numparse=True,
        colalign=_alignment(table),
    )
    notes = "".join(f"\n{note}\n" for note in table.notes)
    return f"**{table.title}**\n\n{body}\n{notes}"


def to_latex(table: Table) -> str:
    """A LaTeX ``table`` with booktabs lines, scaled to the text width."""
    rows: list[Any] = []
    for number, row in enumerate(table.cells()):
        if number in table.rules and number:
            rows.append(SEPARATING_LINE)
        rows.append(row)
    body = tabulate(
        rows,
        headers=table.titles,
        tablefmt="latex_booktabs",
        disable_numparse=True,
        colalign=_alignment(table),
    )
    notes = "\n\n".join(latex_escaped(note) for note in table.notes)
    return (
        "% Needs \\usepackage{booktabs,graphicx}\n"
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{latex_escaped(table.title)}}}\n\\label{{tab:{table.name}}}\n"
        f"\\resizebox{{\\textwidth}}{{!}}{{%\n{_with_symbols(body)}}}\n"
        f"\\par\\medskip\n\\begin{{minipage}}{{\\textwidth}}\\footnotesize\n{notes}\n"
        "\\end{minipage}\n\\end{table}\n"
    )


def to_html(table: Table) -> str:
    """Caption, table and notes as HTML; everything that comes from files is escaped."""
    head = "".join(f"<th>{html.escape(title)}</th>" for title in table.titles)
    lines = []
    for number, row in enumerate(table.cells()):
        style = ' class="rule"' if number in table.rules and number else ""
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        lines.append(f"<tr{style}>{cells}</tr>")
    notes = "".join(f"<p class='note'>{html.escape(note)}</p>" for note in table.notes)
    return (
        f"<h3>{html.escape(table.title)}</h3>\n<div class='wide'><table>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(lines) + "\n"
        f"</tbody></table></div>\n{notes}\n"
    )


def to_csv(table: Table) -> str:
    """All raw values, with the metric keys (and so the units) as headings."""
    return pd.DataFrame([dict(row) for row in table.rows]).to_csv(
        index=False, float_format=CSV_FLOATS, lineterminator="\n"
    )


def to_rows(table: Table) -> list[dict[str, Any]]:
    """All raw values as plain JSON data; what is undefined is None."""
    return [
        {key: None if _is_missing(value) else value for key, value in row.items()}
        for row in table.rows
    ]


def latex_escaped(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return _with_symbols("".join(_LATEX_ESCAPES.get(character, character) for character in text))


def _with_symbols(text: str) -> str:
    return "".join(_LATEX_SYMBOLS.get(character, character) for character in text)


def _alignment(table: Table) -> Sequence[str]:
    return ["left" if column.digits is None else "right" for column in table.columns]


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))

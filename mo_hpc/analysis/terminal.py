"""The tables as a terminal of 80 columns shows them: fewer columns, the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from mo_hpc.analysis.aggregate import ENERGY_MAES, ZERO_FORCES
from mo_hpc.analysis.beside_paper import PAPER_NOTES
from mo_hpc.analysis.check_tables import parts_for_terminal
from mo_hpc.analysis.difficulty_tables import TESTS
from mo_hpc.analysis.difficulty_terminal import rank_test_rows, relation_rows
from mo_hpc.analysis.error_columns import short_title
from mo_hpc.analysis.images import mixed_images
from mo_hpc.analysis.label_tables import LABELLED
from mo_hpc.analysis.lodo_tables import TABLE2
from mo_hpc.analysis.new_element_tables import VARIANTS
from mo_hpc.analysis.notes import origin
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.reference_values import PAPER_KEYS
from mo_hpc.analysis.settings import SETTINGS, described, shown, title
from mo_hpc.analysis.table import Column, Table, printed

_WIDTH = 80
_WITHOUT_DECIMALS_FROM = 100
_FORCE = "force_mae_mev_per_ang_component"
_LEFT_OUT = ("_spread", "_rmse", "largest_shots", "n_at_rest")
_COUNTS = ("n_done", "n_folds")
_ROOM_FOR_SETTINGS = 24
_HEADINGS = ("E MAE", "offset\nremoved", "linear", "F MAE")
_NUMERIC = (*_HEADINGS, "n", "ours", "paper", "ratio")


def print_tables(records: RunRecords, tables: Sequence[Table]) -> None:
    """Prints the comparison of all settings, and says where everything else is."""
    console = Console(width=_WIDTH, highlight=False)
    shown_tables: dict[str, Callable[[Table], list[list[str]]]] = {
        "table1_iid": _iid_rows,
        "table1_ratios": _narrower_rows,
        "lodo_comparison": _lodo_rows,
        VARIANTS: _iid_rows,
        "few_shot": _iid_rows,
        "few_shot_thresholds": _narrower_rows,
        "committee": _narrower_rows,
        TESTS: rank_test_rows,
        LABELLED: lambda table: [table.titles, *table.cells()],
    }
    for table in tables:
        if table.name in shown_tables:
            _print(console, table, shown_tables[table.name](table))
        for part in parts_for_terminal(table):
            _print(console, part, [part.titles, *part.cells()])
        _print_beside_paper(console, table)
    if len(records.frame):
        _print_meaning(console, records)
    for line in mixed_images(records):
        console.print(line, markup=False)
    for task in records.missing:
        console.print(f"Missing: {task}", markup=False)
    for name, path in (
        ("Tables", records.run.tables),
        ("Figures", records.run.figures),
        ("Report", records.run.report),
    ):
        console.print(f"{name + ':':8} {path}", markup=False, soft_wrap=True)


def _print_meaning(console: Console, records: RunRecords) -> None:
    """What the errors of trainings mean, and what they were computed from."""
    console.print(
        "E in meV/atom, F in meV/Å by component, mean ± std. Offset removed: after one\n"
        "coefficient per element and host fitted to the test errors themselves. Linear\n"
        "baseline: the same fitted to the training energies, no network.",
        markup=False,
    )
    results = records.frame[~records.frame["is_foundation"]]
    if ZERO_FORCES in results and results[ZERO_FORCES].notna().any():
        ends = (results[ZERO_FORCES].min(), results[ZERO_FORCES].max())
        text = " to ".join(dict.fromkeys(f"{end:.1f}" for end in ends))
        console.print(f"Predicting no force at all: F MAE {text} on the test sets.", markup=False)
    for line in origin(results):
        console.print(line, markup=False)


def print_expectation(expected: Table, ranks: Table, relations: Table) -> None:
    """Prints what is expected of dopants, and what the paper's errors say of it."""
    console = Console(width=_WIDTH, highlight=False)
    _print(console, expected, [expected.titles, *expected.cells()])
    _print(console, ranks, rank_test_rows(ranks))
    _print(console, relations, relation_rows(relations))
    for note in dict.fromkeys((*expected.notes, *ranks.notes, *relations.notes)):
        console.print(f"\n{note}", markup=False)


def _print_beside_paper(console: Console, table: Table) -> None:
    """Prints what has a ratio to the paper's numbers, and the sentences that belong to it."""
    if not any(row.get(f"{name}_ratio") is not None for row in table.rows for name in PAPER_KEYS):
        return
    headings = {column.key: column.title for column in table.columns}
    beside = next(headings[f"{name}_paper"] for name in PAPER_KEYS if f"{name}_paper" in headings)
    whose = beside.partition(", ")[2]
    if table.name.startswith(TABLE2):
        for protocol in dict.fromkeys(str(row["protocol"]) for row in table.rows):
            text = f"{table.title}: {protocol}, beside {whose}"
            _print(console, replace(table, title=text), _folds_beside_paper(table, protocol))
    else:
        text = f"{table.title}, beside {whose}"
        _print(console, replace(table, title=text), _means_beside_paper(table))
    for note in table.notes:
        if note.startswith(PAPER_NOTES):
            console.print(note, markup=False)
    console.print()


def _means_beside_paper(table: Table) -> list[list[str]]:
    """A line for each error of each row that the paper has."""
    headings, leading = _leading(table)
    lines = [[*headings, "n", "error", "ours", "paper", "ratio"]]
    for cells, row in zip(leading, table.rows, strict=True):
        named = [*cells, str(row["n_done"])]
        for name in PAPER_KEYS:
            if row.get(f"{name}_paper") is not None:
                lines.append([*named, short_title(name), *_compared(row, name, digits=2)])
                named = [""] * len(named)
    return lines


def _folds_beside_paper(table: Table, protocol: str) -> list[list[str]]:
    """A line for each held-out element and for the means, MAE only: 80 columns hold no more."""
    names = [name for name in PAPER_KEYS if "_mae_" in name]
    headings = [text for name in names for text in (short_title(name), "paper", "ratio")]
    lines = [["held out", *headings]]
    for row in table.rows:
        if row["protocol"] == protocol:
            element = str(row["element"]).replace(", without Cr", "")
            lines.append([element, *(text for name in names for text in _compared(row, name))])
    return lines


def _compared(row: Mapping[str, Any], name: str, *, digits: int | None = None) -> list[str]:
    """Ours, the paper's, and the ratio; without digits, as many as the size of a value needs."""
    texts = []
    for key in (name, f"{name}_paper"):
        column = Column(key, "", digits or 1, with_std=True)
        texts.append(printed(row, column if digits else _shortened(column, row.get(key))))
    return [*texts, printed(row, Column(f"{name}_ratio", "", 2))]


def _iid_rows(table: Table) -> list[list[str]]:
    headings, leading = _leading(table)
    return [
        [*headings, "n", *_HEADINGS],
        *(
            [*cells, str(row["n_done"]), *_errors(row, "")]
            for cells, row in zip(leading, table.rows, strict=True)
        ),
    ]


def _lodo_rows(table: Table) -> list[list[str]]:
    headings, leading = _leading(table)
    protocols = [name for name in ("lodo_strict", "lodo_relaxed") if _has(table, name)]
    rows = [[*headings, "LODO", "n", *_HEADINGS]]
    for cells, row in zip(leading, table.rows, strict=True):
        for protocol in protocols:
            count = str(row[f"{protocol}_n_folds"])
            rows.append([*cells, shown(protocol), count, *_errors(row, f"{protocol}_")])
    return rows


def _narrower_rows(table: Table) -> list[list[str]]:
    """All rows without what there is no room for: magnitudes, and what is the same in each."""
    kept = [
        place
        for place, column in enumerate(table.columns)
        if not column.key.endswith(_LEFT_OUT) and _is_needed(table, column.key)
    ]
    return [[row[place] for place in kept] for row in [table.titles, *table.cells()]]


def _is_needed(table: Table, name: str) -> bool:
    return name not in SETTINGS or _differs(table, name)


def _leading(table: Table) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the settings that tell the rows apart.

    They are the table's own; where they are too wide for columns, they share one.
    """
    settings = takewhile(lambda column: not column.key.endswith(_COUNTS), table.columns)
    names = [column.key for column in settings if _tells_apart(table, column.key)]
    rows = [{name: str(row[name]) for name in names} for row in table.rows]
    widths = [max(len(row[name]) + 1 for row in rows) for name in names]
    if sum(widths) <= _ROOM_FOR_SETTINGS:
        return [title(name) for name in names], [list(row.values()) for row in rows]
    return ["settings"], [[described(row)] for row in rows]


def _tells_apart(table: Table, name: str) -> bool:
    """Whether the rows differ in a setting; the paradigm is named in any case."""
    return name == "paradigm" or _differs(table, name)


def _differs(table: Table, name: str) -> bool:
    return len({str(row[name]) for row in table.rows}) > 1


def _has(table: Table, protocol: str) -> bool:
    return any(f"{protocol}_n_folds" in row for row in table.rows)


def _errors(row: Mapping[str, Any], prefix: str) -> list[str]:
    """Energy MAE with its deviation, the two beside it, and the force MAE with its deviation."""
    raw, removed, linear = (f"{prefix}{name}" for name in ENERGY_MAES)
    columns = (
        Column(raw, "", 1, with_std=True),
        Column(removed, "", 2),
        Column(linear, "", 2),
        Column(f"{prefix}{_FORCE}", "", 1, with_std=True),
    )
    return [printed(row, _shortened(column, row.get(column.key))) for column in columns]


def _shortened(column: Column, value: float | None) -> Column:
    """The column without decimals, for a value that is large enough to do without."""
    large = value is not None and value >= _WITHOUT_DECIMALS_FROM
    return replace(column, digits=0) if large else column


def _print(console: Console, table: Table, rows: list[list[str]]) -> None:
    headings, *body = rows
    shown_table = RichTable(
        title=table.title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for heading in headings:
        numeric = heading in _NUMERIC or heading.endswith(", paper")
        shown_table.add_column(
            heading, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric
        )
    for row in body:
        shown_table.add_row(*row)
    console.print(shown_table)

"""Expected against measured difficulty of held-out elements, of runs and of the paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from mo_hpc.analysis.difficulty import (
    PREDICTORS,
    PREDICTORS_TEXT,
    TESTS_TEXT,
    expected_difficulty,
    rank_tests,
)
from mo_hpc.analysis.element_properties import SOURCE
from mo_hpc.analysis.energy_relation_tables import PAPER
from mo_hpc.analysis.error_part_tables import mean_of
from mo_hpc.analysis.notes import UNITS, caption, origin_and_missing
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.reference_values import table2_elements, table2_value
from mo_hpc.analysis.settings import LODO, described, groups, shown, slug, varying
from mo_hpc.analysis.table import Column, Table
from mo_hpc.metrics.correlations import FEWEST_POINTS

ERRORS = {
    "energy_mae_mev_per_atom": "E MAE",
    "energy_mae_mev_per_atom_offset_removed": "E MAE, offset removed",
    "force_mae_mev_per_ang_component": "F MAE",
}
"""Measured errors that the expectation is tested against."""
TESTS = "difficulty_tests"
"""Name of the table of tests."""


def difficulty_tables(
    records: RunRecords, frame: pd.DataFrame, settings: Sequence[str]
) -> Iterator[Table]:
    """Predictors beside errors for each study, and the tests of all; none with few elements.

    Args:
        records: The run.
        frame: Its leave-one-element-out tasks, one row each.
        settings: Settings that tell studies apart.
    """
    naming = varying(frame, settings) or ["paradigm"]
    tests: list[dict[str, Any]] = []
    for values, tasks in groups(frame, settings):
        study = {name: values[name] for name in naming}
        rows: list[dict[str, Any]] = []
        rules = set()
        for protocol, block in groups(with_enough_elements(tasks), ["protocol"]):
            table = measured_difficulty(records, block)
            shown_protocol = {"protocol": shown(protocol["protocol"])}
            rules.add(len(rows))
            rows.extend(shown_protocol | row for row in _plain(table))
            tests.extend(
                {"study": described(study)} | shown_protocol | row
                for row in rank_tests(table, ERRORS)
            )
        if rows:
            yield _ranking(records, tasks, rows, rules, study)
    if tests:
        heading = caption(records, "Expected against measured difficulty of held-out elements")
        yield _rank_test_table(
            heading, [*tests, *_paper_rank_tests()], origin_and_missing(records, frame)
        )


def with_enough_elements(frame: pd.DataFrame) -> pd.DataFrame:
    """The tasks that are done, of the protocols that have enough elements to correlate."""
    done = frame[frame["state"] == "done"]
    n_elements = done.groupby("protocol")["element"].transform("nunique")
    return done[n_elements >= FEWEST_POINTS]


def measured_difficulty(records: RunRecords, frame: pd.DataFrame) -> pd.DataFrame:
    """Predictors and errors of the elements of one study under one protocol.

    Args:
        records: The run.
        frame: The tasks that are done, one row each; repeats and seeds are averaged.
    """
    trained = {
        str(row["element"]): records.records[str(row["task_id"])].split.train_elements
        for row in frame.to_dict("records")
    }
    table = expected_difficulty(str(frame["host_element"].iloc[0]), trained)
    for metric in ERRORS:
        of_element = {
            str(fold["element"]): mean_of(list(tasks[metric]) if metric in tasks else [])
            for fold, tasks in groups(frame, ["element"])
        }
        table[metric] = [of_element[str(element)] for element in table["element"]]
    return table


def expectation_table(host: str, elements: Sequence[str], trained: Sequence[str]) -> Table:
    """The predictors of elements that a model has not seen, the easiest first.

    Args:
        host: The element that hosts them.
        elements: The unseen elements; one that is among the trained ones counts as held out.
        trained: The elements of the training frames.
    """
    table = expected_difficulty(host, dict.fromkeys(elements, trained))
    return Table(
        name="difficulty",
        title=f"Expected difficulty of dopants in {host}, the easiest first",
        columns=(Column("element", "element"), *_predictor_columns()),
        rows=tuple(_plain(table)),
        notes=(PREDICTORS_TEXT, SOURCE),
    )


def paper_rank_table() -> Table:
    """The expectation tested against the errors of the paper's Table 2."""
    title = "Expected difficulty against the errors of the paper's Table 2"
    return _rank_test_table(title, _paper_rank_tests())


def _paper_rank_tests() -> list[dict[str, Any]]:
    """The paper has raw energies and forces."""
    elements = table2_elements()
    rows: list[dict[str, Any]] = []
    for protocol in LODO:
        table = expected_difficulty("Mo", dict.fromkeys(elements, elements))
        errors = {key: ERRORS[key] for key in ERRORS if not key.endswith("_offset_removed")}
        for metric in errors:
            table[metric] = [
                table2_value(str(element), protocol, metric) for element in table["element"]
            ]
        leading = {"study": PAPER, "protocol": shown(protocol)}
        rows.extend(leading | row for row in rank_tests(table, errors))
    return rows


def _rank_test_table(
    heading: str, rows: Sequence[Mapping[str, Any]], notes: Sequence[str] = ()
) -> Table:
    columns = [Column("study", "study"), Column("protocol", "LODO")]
    columns += [Column("error", "error"), Column("n", "n")]
    for key, name in PREDICTORS.items():
        columns += [Column(f"{key}_rho", f"{name}: ρ", 2), Column(f"{key}_p", "p", 3)]
    return Table(
        name=TESTS,
        title=heading,
        columns=tuple(columns),
        rows=tuple(rows),
        notes=(PREDICTORS_TEXT, TESTS_TEXT, SOURCE, *notes),
    )


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _predictor_columns() -> tuple[Column, ...]:
    return tuple(Column(key, heading, 1) for key, heading in PREDICTORS.items())


def _ranking(
    records: RunRecords,
    frame: pd.DataFrame,
    rows: Sequence[Mapping[str, Any]],
    rules: set[int],
    study: Mapping[str, Any],
) -> Table:
    return Table(
        name=f"difficulty_{slug(study)}",
        title=caption(records, f"Expected difficulty beside the errors: {described(study)}"),
        columns=(
            Column("protocol", "LODO"),
            Column("element", "held out"),
            *_predictor_columns(),
            *(Column(key, heading, 2) for key, heading in ERRORS.items()),
        ),
        rows=tuple(rows),
        notes=(UNITS, PREDICTORS_TEXT, SOURCE, *origin_and_missing(records, frame)),
        rules=frozenset(rules),
    )

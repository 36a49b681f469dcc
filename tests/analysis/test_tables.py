"""Numbers in the tables are the means they claim to be."""

from __future__ import annotations

import io
import statistics

import pandas as pd
import pytest

from mo_hpc.analysis import reference_values
from mo_hpc.analysis.aggregate import mean_and_std
from mo_hpc.analysis.leakage import audit_columns, n_with_findings, seen_by_foundation
from mo_hpc.analysis.long_form import long_form
from mo_hpc.analysis.records import RunRecords, read_run
from mo_hpc.analysis.settings import described, ordered, slug, varying
from mo_hpc.analysis.style import number
from mo_hpc.analysis.table import Column, Table, latex_escaped, to_csv, to_markdown, to_rows
from mo_hpc.analysis.tables import make_tables
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.task import LeakageAudit
from mo_hpc.executors.failures.diagnosis import Diagnostician

ENERGY = "energy_mae_mev_per_atom"


def read(run: RunPaths, active: dict[str, str]) -> RunRecords:
    return read_run(run, active, Diagnostician(run))


@pytest.fixture(scope="module")
def records(make_run, tmp_path_factory) -> RunRecords:
    return read(make_run(tmp_path_factory.mktemp("run")), {})


@pytest.fixture(scope="module")
def tables(records: RunRecords) -> dict[str, Table]:
    return {table.name: table for table in make_tables(records)}


def values(records: RunRecords, metric: str, **wanted: str) -> list[float]:
    return [
        record.metrics[metric]
        for record in records.records.values()
        if record.stage == "transfer"
        and all(record.axes.get(axis) == value for axis, value in wanted.items())
    ]


def test_table1_is_mean_and_sample_deviation_over_repeats(records, tables) -> None:
    expected = values(records, ENERGY, protocol="iid", paradigm="scratch")
    assert len(expected) == 2
    row = next(row for row in tables["table1_iid"].rows if row["paradigm"] == "scratch")
    assert row["n_done"] == 2
    assert row[ENERGY] == pytest.approx(statistics.mean(expected))
    assert row[f"{ENERGY}_std"] == pytest.approx(statistics.stdev(expected))


def test_table2_has_a_row_per_fold_and_their_means(records, tables) -> None:
    wanted = {"paradigm": "fine_tune", "energy_reference": "average"}
    table = tables["table2_lodo_fine_tune_average"]
    for element in ("Cr", "Nb", "W"):
        row = next(
            row for row in table.rows if (row["protocol"], row["element"]) == ("strict", element)
        )
        assert [row[ENERGY]] == values(
            records, ENERGY, protocol="lodo_strict", element=element, **wanted
        )
    folds = values(records, ENERGY, protocol="lodo_relaxed", **wanted)
    mean = next(
        row
        for row in table.rows
        if (row["protocol"], row["element"]) == ("relaxed", "MeanAll (n=3)")
    )
    assert mean[ENERGY] == pytest.approx(statistics.mean(folds))
    assert mean[f"{ENERGY}_std"] == pytest.approx(statistics.stdev(folds))


def test_comparison_has_a_row_per_paradigm_and_policy(records, tables) -> None:
    table = tables["lodo_comparison"]
    assert [(row["paradigm"], row["energy_reference"]) for row in table.rows] == [
        ("zero-shot", "-"),
        ("scratch", "average"),
        ("fine-tune", "average"),
        ("fine-tune", "foundation"),
    ]
    folds = values(records, ENERGY, protocol="lodo_strict", paradigm="zero_shot")
    assert table.rows[0][f"lodo_strict_{ENERGY}"] == pytest.approx(statistics.mean(folds))
    assert table.rows[0]["lodo_strict_n_folds"] == 3


def test_foundations_stand_apart_from_the_study(tables) -> None:
    assert [row["stage"] for row in tables["foundations"].rows] == ["pretrain"]
    assert {row["stage"] for row in tables["table1_iid"].rows} == {"transfer"}


def test_offset_removed_and_baseline_stand_beside_each_raw_energy_error(tables) -> None:
    for name in ("table1_iid", "table2_lodo_fine_tune_average"):
        titles = tables[name].titles
        for raw in ("E MAE", "E RMSE"):
            place = titles.index(raw)
            assert titles[place + 1 : place + 3] == [f"{raw}, offset removed", f"{raw}, linear"]


def test_forces_stand_beside_no_forces_and_their_slope(records, tables) -> None:
    zero = "force_mae_mev_per_ang_component_zero_baseline"
    for name in ("table1_iid", "table2_lodo_fine_tune_average"):
        assert tables[name].titles[-2:] == ["F MAE of zero forces", "F slope"]
    table = tables["lodo_comparison"]
    assert table.titles[-2:] == ["relaxed: F MAE of zero forces", "relaxed: F slope"]
    folds = values(records, zero, protocol="lodo_strict", paradigm="zero_shot")
    assert table.rows[0][f"lodo_strict_{zero}"] == pytest.approx(statistics.mean(folds))


def test_long_form_has_every_metric_of_every_task(records) -> None:
    frame = pd.read_csv(io.StringIO(long_form(records)))
    assert frame["task_id"].nunique() == records.n_tasks
    one = frame[(frame["task_id"] == frame["task_id"].iloc[0]) & (frame["scope"] == "all")]
    assert {ENERGY, f"{ENERGY}_offset_train", "force_rmse_mev_per_ang_vector"} <= set(one["metric"])
    assert set(frame["scope"]) == {"all", "element", "host"}
    assert not frame.duplicated(["task_id", "scope", "of", "metric"]).any()


def test_mean_over_nothing_is_undefined_and_over_one_has_no_deviation() -> None:
    empty = mean_and_std(pd.DataFrame({"x": [None, None]}), ["x"])
    assert empty == {"x": None, "x_std": None, "x_n": 0}
    assert mean_and_std(pd.DataFrame({"x": [2.0, None]}), ["x"]) == {
        "x": 2.0,
        "x_std": None,
        "x_n": 1,
    }


def test_reference_values_are_those_of_the_paper() -> None:
    assert reference_values.table1_value("mo420", "fine_tune", "medium", ENERGY) == (8.10, 1.40)
    assert reference_values.table1_value("demo", "fine_tune", "medium", ENERGY) == (None, None)
    force = "force_rmse_mev_per_ang_component"
    assert reference_values.table2_value("W", "lodo_strict", force) == 118.9
    assert reference_values.table2_value("Cr", "lodo_relaxed", ENERGY) == 136.15
    assert reference_values.table2_value("Hf", "lodo_relaxed", ENERGY) is None


@pytest.mark.parametrize(
    ("dataset", "size", "heading"),
    [
        ("mo420", "medium", "paper"),
        ("mo420", "small", "paper (Eq, medium)"),
        ("mo6970", "medium", "paper (Eq, medium)"),
        ("mo420/bcc", "medium", "paper (Eq, medium)"),
        ("mo420_replica", "medium", "paper, other labels"),
        ("mo420_replica", "-", "paper (Eq, medium), other labels"),
        ("nbmotaw/substituted", "mini", "paper (Eq, medium), other data and labels"),
    ],
)
def test_published_folds_are_named_by_what_differs(dataset, size, heading) -> None:
    assert reference_values.table2_heading(dataset, size) == heading


@pytest.mark.parametrize(
    ("results", "heading"),
    [
        ([("mo420", "small"), ("mo6970", "large")], "paper"),
        ([("mo420_replica", "small")], "paper, other labels"),
        (
            [("mo420", "small"), ("mo420_replica", "small")],
            "paper, other labels (mo420_replica)",
        ),
        ([("mo420_replica", "reduced_small")], "paper (full size), other labels"),
    ],
)
def test_published_means_are_named_by_what_differs(results, heading) -> None:
    assert reference_values.table1_heading(results) == heading


def test_table1_has_the_papers_deviation(make_run, tmp_path) -> None:
    run = make_run(tmp_path / "run", paradigm="fine_tune", dataset="mo420", size="medium")
    table = make_tables(read(run, {}))[0]
    assert "E MAE, paper" in table.titles
    place = table.titles.index("E MAE, paper")
    assert [cells[place] for cells in table.cells()] == ["8.10 ± 1.40"] * 2


def test_partial_means_and_the_papers_run_over_the_same_elements(make_run, tmp_path) -> None:
    """Of the strict folds Cr, Nb, W of fine-tuning with average references, Nb is missing."""
    run = make_run(tmp_path / "run", paradigm="fine_tune", unfinished=(4,))
    records = read(run, {})
    assert [task.id for task in records.missing] == [records.manifest.tasks[4].id]
    table = next(each for each in make_tables(records) if each.name == "table2_lodo_average")
    row = next(row for row in table.rows if row["element"] == "MeanAll (n=2)")
    assert row["protocol"] == "strict"
    paper = [
        reference_values.table2_value(element, "lodo_strict", ENERGY) for element in ("Cr", "W")
    ]
    assert row[f"{ENERGY}_paper"] == pytest.approx(statistics.mean(paper))
    folds = values(
        records, ENERGY, protocol="lodo_strict", paradigm="fine_tune", energy_reference="average"
    )
    assert row[ENERGY] == pytest.approx(statistics.mean(folds))


def test_findings_are_leaks_and_not_the_held_out_element() -> None:
    audit = LeakageAudit(
        n_duplicates=0,
        n_near_duplicates=2,
        n_shared_groups=0,
        held_out_element_in_train=True,
        n_train_with_held_out_element=9,
        n_seen_by_foundation=3,
        held_out_element_in_foundation=True,
        findings=("Training frames that contain the held-out element W: 9.",),
    )
    columns = audit_columns(audit)
    assert columns["n_leakage_findings"] == 2
    frame = pd.DataFrame([columns | {"state": "done"}, {"state": "missing"}])
    assert n_with_findings(frame) == 1
    seen, element = seen_by_foundation(frame)
    assert "in 1 of 1 tasks (up to 3 test frames)" in seen
    assert "contain the held-out element in 1 of 1 tasks" in element
    unknown = {"n_seen_by_foundation": None, "held_out_element_in_foundation": None}
    assert seen_by_foundation(pd.DataFrame([{"state": "done", **unknown}])) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (0.00001234, "1.23e-05"),
        (0.004, "0.00400"),
        (0.0123, "0.0123"),
        (0.346, "0.346"),
        (9.999, "10.0"),
        (99.96, "100"),
        (1234.4, "1234"),
        (None, "–"),
    ],
)
def test_numbers_in_figures_have_three_significant_digits(value, text) -> None:
    assert number(value) == text


def test_the_papers_means_follow_from_its_rows() -> None:
    """The strict energy MAE has the sample deviation 36.05 over the elements of Table 2."""
    elements = ["Fe", "Mn", "Nb", "Re", "Ta", "Ti", "V", "W", "Y", "Zr", "Cr"]
    strict = [reference_values.table2_value(each, "lodo_strict", ENERGY) for each in elements]
    assert statistics.stdev(strict) == pytest.approx(36.05, abs=0.005)


def test_rendering_of_undefined_values_and_bars() -> None:
    table = Table(
        "t",
        "Title",
        (Column("a", "name"), Column("b", "value", 2, with_std=True)),
        ({"a": "x|y", "b": 1.0, "b_std": 0.5}, {"a": "z", "b": float("nan")}),
    )
    assert "x\\|y" in to_markdown(table)
    assert table.cells() == [["x|y", "1.00 ± 0.50"], ["z", "–"]]
    assert to_rows(table)[1]["b"] is None
    assert to_csv(table).splitlines()[0] == "a,b,b_std"
    assert latex_escaped("50 % of a_b\\") == r"50 \% of a\_b\textbackslash{}"


def test_settings_are_ordered_named_and_reduced_to_what_is_needed() -> None:
    assert ordered(["large", "fine_tune", "W", "small", "zero_shot", "Al"]) == [
        "zero_shot",
        "fine_tune",
        "small",
        "large",
        "Al",
        "W",
    ]
    assert slug({"paradigm": "fine_tune", "dataset": "a/b", "size": "-"}) == "fine_tune_a_b"
    assert described({"paradigm": "zero_shot", "energy_reference": "average"}) == (
        "zero-shot, E0 average"
    )
    frame = pd.DataFrame({"stage": ["a", "b"], "dataset": ["x", "y"], "size": ["s", "s"]})
    assert varying(frame, ["stage", "dataset", "size"]) == ["stage"]

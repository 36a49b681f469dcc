"""Few-shot tables and figure: means over choices, and where they meet thresholds."""

from __future__ import annotations

import itertools
import statistics

import pytest

from mo_hpc.analysis.few_shot_curves import few_shot_curves
from mo_hpc.analysis.figures import drawn_from, figures_of
from mo_hpc.analysis.records import RunRecords, read_run
from mo_hpc.analysis.table import Table, to_csv, to_markdown
from mo_hpc.analysis.tables import make_tables
from mo_hpc.analysis.terminal import print_tables
from mo_hpc.core.files import write_json
from mo_hpc.core.schema import Thresholds
from mo_hpc.plan.manifest import read_manifest

FORCE = "force_mae_mev_per_ang_component"
SHOTS = (0, 2, 10)


def few_shot_axes() -> tuple[dict[str, object], ...]:
    cells: list[dict[str, object]] = []
    for element, repeat in itertools.product(("Nb", "W"), (0, 1)):
        fold = {"protocol": "few_shot", "element": element, "repeat": repeat}
        cells.append(fold | {"paradigm": "zero_shot"})
        cells.extend(fold | {"paradigm": "fine_tune", "shots": shots} for shots in SHOTS)
    return tuple(cells)


@pytest.fixture(scope="module")
def records(make_run, tmp_path_factory) -> RunRecords:
    limit = Thresholds(energy_mae_mev_per_atom=1000.0, force_mae_mev_per_ang_component=1.0)
    folder = tmp_path_factory.mktemp("few_shot")
    run = make_run(folder, axes_of_tasks=few_shot_axes(), thresholds=limit)
    return read_run(run, {}, lambda _: None)


@pytest.fixture(scope="module")
def tables(records: RunRecords) -> dict[str, Table]:
    return {table.name: table for table in make_tables(records)}


def test_a_row_for_each_element_and_number_is_the_mean_over_choices(records, tables):
    assert set(tables) == {"few_shot", "few_shot_thresholds", "foundations"}
    rows = tables["few_shot"].rows
    assert [(row["paradigm"], row["element"], row["shots"]) for row in rows] == [
        *(("zero-shot", element, 0) for element in ("Nb", "W")),
        *(("fine-tune", element, shots) for element in ("Nb", "W") for shots in SHOTS),
    ]
    expected = [
        record.metrics[FORCE]
        for record in records.records.values()
        if record.axes.get("shots") == 10 and record.axes["element"] == "W"
    ]
    row = rows[-1]
    assert row["n_done"] == len(expected) == 2
    assert row[FORCE] == pytest.approx(statistics.mean(expected))
    assert row[f"{FORCE}_std"] == pytest.approx(statistics.stdev(expected))
    assert row["n_shot_frames"] == 20
    assert "another random choice of the N structures" in to_markdown(tables["few_shot"])


def test_thresholds_are_met_by_numbers_or_said_to_lie_above(tables):
    rows = tables["few_shot_thresholds"].rows
    assert [(row["element"], row["error"]) for row in rows] == [
        (element, error) for element in ("Nb", "W") for error in ("E MAE", "F MAE")
    ]
    energy, force = rows[:2]
    assert (energy["shots_of_mean"], energy["n_meeting"]) == (0, "2 of 2")
    assert energy["shots_of_choices"] == 0
    assert (force["shots_of_mean"], force["n_meeting"]) == ("above 10", "0 of 2")
    assert force["shots_of_choices"] is None
    assert "1 meV/Å" in to_csv(tables["few_shot_thresholds"])


def test_without_thresholds_there_is_no_table_of_them(make_run, tmp_path):
    run = make_run(tmp_path, axes_of_tasks=few_shot_axes(), unfinished=(2, 3))
    records = read_run(run, {}, lambda _: None)
    tables = {table.name: table for table in make_tables(records)}
    assert "few_shot_thresholds" not in tables
    row = next(row for row in tables["few_shot"].rows if row["paradigm"] == "fine-tune")
    assert (row["n_done"], row["n_tasks"]) == (1, 2)
    assert "Missing, 2 of 16 tasks" in to_markdown(tables["few_shot"])


def test_one_curve_figure_is_drawn_with_levels_and_thresholds(records):
    figures = {figure.name: figure for figure in figures_of(records)}
    assert set(figures) == {
        "few_shot_fine_tune",
        "learning_curves_transfer",
        "learning_curves_pretrain",
    }
    figure = figures["few_shot_fine_tune"]
    drawn = figure.draw()
    raw, _, force = drawn.axes
    assert "threshold" in [text.get_text() for text in drawn.legends[0].get_texts()]
    levels = {tuple(line.get_ydata()) for line in force.lines if line.get_linestyle() == ":"}
    assert levels == {(1.0, 1.0)}
    means = [container.lines[0] for container in raw.containers]
    of_tasks = [line for line in raw.lines if line.get_markersize() == 2]
    assert [list(line.get_xdata()) for line in means] == [list(SHOTS)] * 2
    assert [len(line.get_xdata()) for line in of_tasks] == [2 * len(SHOTS)] * 2
    figure.write()
    assert all(path.stat().st_size > 1000 for path in figure.paths)


def test_another_threshold_draws_the_figures_again(records):
    figures = figures_of(records)
    before = drawn_from(records, figures)
    manifest = read_manifest(records.run).model_copy(update={"thresholds": Thresholds()})
    changed = RunRecords(records.run, manifest, records.frame, records.records, records.missing)
    assert drawn_from(changed, figures) != before


def test_the_terminal_shows_both_tables(records, tables, capsys):
    print_tables(records, list(tables.values()))
    shown = capsys.readouterr().out
    assert "Errors on a new element" in shown
    assert "above 10" in shown
    assert max(map(len, shown.splitlines()[:-3])) <= 80


def test_curves_need_no_zero_shot_tasks(make_run, tmp_path):
    trained = tuple(axes for axes in few_shot_axes() if axes["paradigm"] == "fine_tune")
    records = read_run(make_run(tmp_path, axes_of_tasks=trained), {}, lambda _: None)
    figure = next(each for each in figures_of(records) if each.name.startswith("few_shot"))
    assert [text.get_text() for text in figure.draw().legends[0].get_texts()] == [
        "Nb",
        "W",
        "linear baseline (raw)",
    ]


def test_the_baseline_is_drawn_beside_the_raw_energy_where_it_has_a_coefficient(records):
    baseline = "energy_mae_mev_per_atom_linear_baseline"
    trained = records.frame[records.frame["paradigm"] == "fine_tune"].copy()
    trained.loc[trained["shots"] == 0, "n_frames_uncovered_by_train"] = 1
    drawn = few_shot_curves(trained, trained.iloc[:0], {})
    lines = [[line for line in axes.lines if line.get_linestyle() == "-."] for axes in drawn.axes]
    assert [len(each) for each in lines] == [2, 0, 0]
    of_niobium = trained[(trained["element"] == "Nb") & (trained["shots"] > 0)]
    assert list(lines[0][0].get_xdata()) == [2, 10]
    assert list(lines[0][0].get_ydata()) == pytest.approx(
        list(of_niobium.groupby("shots")[baseline].mean())
    )


def crossings(records: RunRecords) -> dict[tuple[str, str], dict[str, object]]:
    table = next(each for each in make_tables(records) if each.name == "few_shot_thresholds")
    return {(row["element"], row["error"]): dict(row) for row in table.rows}


def test_the_mean_takes_only_numbers_that_all_choices_have(make_run, tmp_path):
    limit = Thresholds(energy_mae_mev_per_atom=1000.0, force_mae_mev_per_ang_component=1.0)
    missing = next(
        place
        for place, axes in enumerate(few_shot_axes(), start=1)
        if axes.get("shots") == SHOTS[-1] and axes["element"] == "Nb"
    )
    run = make_run(tmp_path, axes_of_tasks=few_shot_axes(), thresholds=limit, unfinished=(missing,))
    found = crossings(read_run(run, {}, lambda _: None))
    assert found["Nb", "F MAE"]["shots_of_mean"] == "above 2"
    assert found["Nb", "F MAE"]["largest_shots"] == 10
    assert found["Nb", "F MAE"]["n_meeting"] == "0 of 2"
    assert found["Nb", "E MAE"]["shots_of_mean"] == 0
    assert found["W", "F MAE"]["shots_of_mean"] == "above 10"


def test_an_error_that_no_task_defines_has_no_number(records):
    frame = records.frame.assign(**{FORCE: None})
    undefined = RunRecords(records.run, records.manifest, frame, records.records, records.missing)
    table = next(each for each in make_tables(undefined) if each.name == "few_shot_thresholds")
    shown = [cells for cells in table.cells() if "F MAE" in cells]
    assert len(shown) == 2
    assert [cells[-4:] for cells in shown] == [["–"] * 4] * 2


# -- ways to choose the structures ----------------------------------------------------

RULES = ("random", "descriptor", "committee")


def axes_of_selections() -> tuple[dict[str, object], ...]:
    cells: list[dict[str, object]] = []
    for element, repeat in itertools.product(("Nb", "W"), (0, 1)):
        fold = {"protocol": "few_shot", "element": element, "repeat": repeat}
        cells.append(fold | {"paradigm": "zero_shot"})
        trained = fold | {"paradigm": "fine_tune"}
        cells.append(trained | {"shots": 0})
        cells.extend(
            trained | {"shots": shots, "selection": rule}
            for shots, rule in itertools.product(SHOTS[1:], RULES)
        )
    return tuple(cells)


@pytest.fixture(scope="module")
def of_selections(make_run, tmp_path_factory) -> RunRecords:
    limit = Thresholds(force_mae_mev_per_ang_component=1000.0)
    folder = tmp_path_factory.mktemp("selections")
    run = make_run(folder, axes_of_tasks=axes_of_selections(), thresholds=limit, unfinished=(2,))
    return read_run(run, {}, lambda _: None)


def test_each_selection_has_a_curve_from_the_shared_start(of_selections):
    tables = {table.name: table for table in make_tables(of_selections)}
    rows = [row for row in tables["few_shot"].rows if row["element"] == "Nb"]
    assert [(row["selection"], row["shots"]) for row in rows] == [
        ("-", 0),
        *itertools.product(RULES, SHOTS),
    ]
    starts = [row for row in rows if row["shots"] == 0 and row["selection"] != "-"]
    assert len({row[FORCE] for row in starts}) == 1
    by_committee = [
        record.metrics[FORCE]
        for record in of_selections.records.values()
        if record.axes.get("selection") == "committee"
        and (record.axes["element"], record.axes["shots"]) == ("Nb", 10)
    ]
    assert rows[-1][FORCE] == pytest.approx(statistics.mean(by_committee))
    text = to_markdown(tables["few_shot"])
    assert "another set of structures to choose from" in text
    assert "on whose force models without the element disagree most" in text
    # The start that is missing is one task, although three curves lack it.
    assert f"Missing, 1 of {len(axes_of_selections())} tasks" in text


def test_the_threshold_table_says_how_many_each_selection_needs(of_selections):
    table = next(each for each in make_tables(of_selections) if each.name == "few_shot_thresholds")
    assert [(row["selection"], row["element"]) for row in table.rows] == list(
        itertools.product(RULES, ("Nb", "W"))
    )
    # Of the element with a start that is missing, the mean begins where both choices have one.
    assert [row["shots_of_mean"] for row in table.rows] == [2, 0] * 3


def test_selections_are_drawn_side_by_side_with_their_ranges(of_selections):
    figures = [each for each in figures_of(of_selections) if each.name.startswith("few_shot")]
    assert [figure.name for figure in figures] == ["few_shot_fine_tune"]
    drawn = figures[0].draw()
    assert [axes.get_title() for axes in drawn.axes[:2]] == ["Nb", "W"]
    for axes in drawn.axes:
        assert len(axes.containers) == len(RULES)
        ranges = [each for each in axes.collections if each.get_alpha() is not None]
        assert len(ranges) == len(RULES)
    named = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert named[: len(RULES)] == list(RULES)


def test_one_selection_that_is_not_random_is_named(make_run, tmp_path):
    trained = [
        axes
        for axes in axes_of_selections()
        if axes.get("selection") == "descriptor" or axes.get("shots") == 0
    ]
    records = read_run(make_run(tmp_path, axes_of_tasks=tuple(trained)), {}, lambda _: None)
    table = next(each for each in make_tables(records) if each.name == "few_shot")
    assert {row["selection"] for row in table.rows} == {"descriptor"}
    assert "selection" in [column.key for column in table.columns]


def test_a_run_that_trains_nothing_has_neither_tables_nor_figures(make_run, tmp_path):
    run = make_run(tmp_path, axes_of_tasks=few_shot_axes()[:1])
    manifest = read_manifest(run).model_copy(update={"tasks": ()})
    write_json(run.manifest, manifest.model_dump(mode="json"))
    records = read_run(run, {}, lambda _: None)
    assert make_tables(records) == []
    assert figures_of(records) == []

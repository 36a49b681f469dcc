"""Committees of seeds: which tasks they are, their tables and their figure."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from mo_hpc.analysis import committees
from mo_hpc.analysis.figures import figures_of
from mo_hpc.analysis.records import RunRecords, read_run
from mo_hpc.analysis.table import Table
from mo_hpc.analysis.tables import make_tables
from mo_hpc.analysis.terminal import print_tables
from mo_hpc.core.errors import UserError
from mo_hpc.metrics.committee import force_uncertainty, zero_force_errors
from mo_hpc.metrics.energies import root_mean_square
from mo_hpc.metrics.predictions import Predictions

ELEMENTS = ("Cr", "Nb", "W")


def axes_with_seeds(n_seeds: int) -> tuple[dict[str, object], ...]:
    study = {"protocol": "lodo_strict", "paradigm": "fine_tune", "energy_reference": "foundation"}
    return (
        {"protocol": "lodo_strict", "paradigm": "zero_shot", "element": "W"},
        *(
            study | {"element": element, "seed": seed}
            for element, seed in itertools.product(ELEMENTS, range(n_seeds))
        ),
    )


@pytest.fixture(scope="module")
def records(make_run, tmp_path_factory) -> RunRecords:
    folder = tmp_path_factory.mktemp("committee")
    return read_run(make_run(folder, axes_of_tasks=axes_with_seeds(3)), {}, lambda _: None)


@pytest.fixture(scope="module")
def tables(records: RunRecords) -> dict[str, Table]:
    return {table.name: table for table in make_tables(records)}


def members(records: RunRecords, element: str) -> list[Predictions]:
    return [
        Predictions.load(records.run.task(task_id).predictions).only("test")
        for task_id, record in records.records.items()
        if record.axes.get("element") == element and "seed" in record.axes
    ]


def test_every_fold_has_its_correlation_and_the_study_their_median(records, tables):
    *folds, median = tables["committee"].rows
    assert [row["element"] for row in folds] == list(ELEMENTS)
    found = [force_uncertainty(members(records, element)) for element in ELEMENTS]
    expected = [each.rank_correlation for each in found]
    assert [row["force_rank_correlation"] for row in folds] == pytest.approx(expected)
    assert median["element"] == "median (n=3)"
    assert median["force_rank_correlation"] == pytest.approx(np.median(expected))
    assert {row["n_members"] for row in folds} == {3}
    assert [row["n_force_atoms"] for row in folds] == [each.error.size for each in found]


def test_calibration_counts_every_atom_and_frame_once(records, tables):
    rows = tables["committee_calibration"].rows
    force = [row for row in rows if row["quantity"].startswith("force")]
    energy = [row for row in rows if row["quantity"].startswith("energy")]
    assert len(force) == len(energy) == 10
    assert sum(row["n"] for row in energy) == 3 * 18
    every = [force_uncertainty(members(records, element)) for element in ELEMENTS]
    assert sum(row["n"] for row in force) == sum(each.error.size for each in every)
    squares = sum(row["n"] * row["rmse"] ** 2 for row in force)
    assert squares == pytest.approx(sum(float((each.error**2).sum()) for each in every))


def test_the_figure_is_made_from_all_members(records):
    figure = next(each for each in figures_of(records) if each.name.startswith("committee"))
    assert figure.name == "committee_fine_tune"
    assert len(figure.tasks) == 9
    force, energy = figure.draw().axes
    assert all("over 3 folds" in axes.texts[0].get_text() for axes in (force, energy))
    figure.write()
    assert all(path.stat().st_size > 1000 for path in figure.paths)


def test_the_terminal_shows_the_correlations(records, tables, capsys):
    print_tables(records, list(tables.values()))
    shown = capsys.readouterr().out
    assert "Committees of seeds" in shown
    assert "median (n=3)" in shown


def test_two_seeds_are_no_committee(make_run, tmp_path):
    run = make_run(tmp_path, axes_of_tasks=axes_with_seeds(2))
    records = read_run(run, {}, lambda _: None)
    assert not [table for table in make_tables(records) if "committee" in table.name]
    assert not [figure for figure in figures_of(records) if "committee" in figure.name]


def test_a_fold_with_a_seed_missing_is_left_out(make_run, tmp_path):
    run = make_run(tmp_path, axes_of_tasks=axes_with_seeds(3), unfinished=(2,))
    records = read_run(run, {}, lambda _: None)
    table = next(table for table in make_tables(records) if table.name == "committee")
    assert [row["element"] for row in table.rows] == ["Nb", "W", "median (n=2)"]


def test_changed_predictions_are_refused(make_run, tmp_path):
    run = make_run(tmp_path, axes_of_tasks=axes_with_seeds(3))
    records = read_run(run, {}, lambda _: None)
    task = run.task(
        next(name for name in records.records if name.startswith("transfer-lodo_strict-fine"))
    )
    task.predictions.write_bytes(b"")
    with pytest.raises(UserError, match="not the file"):
        make_tables(records)


def test_predicting_no_force_stands_beside_the_error(records, tables):
    *folds, median = tables["committee"].rows
    expected = [
        root_mean_square(zero_force_errors(members(records, element))) for element in ELEMENTS
    ]
    assert [row["zero_force_rmse"] for row in folds] == pytest.approx(expected)
    assert median["zero_force_rmse"] == pytest.approx(np.median(expected))
    assert "zero force" in tables["committee"].titles


@pytest.mark.parametrize(
    ("alike", "named"),
    [
        (["energy_pred_ev"], "median (n=3 F, 2 E)"),
        (["energy_pred_ev", "forces_pred_ev_per_ang"], "median (n=2)"),
    ],
)
def test_the_median_counts_the_folds_with_a_correlation(records, monkeypatch, alike, named):
    read = committees.test_predictions

    def alike_for_niobium(run, tasks):
        found = read(run, tasks)
        if set(tasks["element"]) != {"Nb"}:
            return found
        same = {name: getattr(found[0], name) for name in alike}
        return [replace(each, **same) for each in found]

    monkeypatch.setattr(committees, "test_predictions", alike_for_niobium)
    table = next(table for table in make_tables(records) if table.name == "committee")
    *folds, median = table.rows
    assert median["element"] == named
    known = [row["energy_rank_correlation"] for row in folds if row["element"] != "Nb"]
    assert folds[1]["energy_rank_correlation"] is None
    assert median["energy_rank_correlation"] == pytest.approx(np.median(known))


def test_no_correlation_at_all_is_a_dash(records, monkeypatch):
    read = committees.test_predictions
    monkeypatch.setattr(
        committees, "test_predictions", lambda run, tasks: read(run, tasks)[:1] * len(tasks)
    )
    table = next(table for table in make_tables(records) if table.name == "committee")
    median = dict(zip(table.titles, table.cells()[-1], strict=True))
    assert median["element"] == "median (n=0)"
    assert (median["F ρ"], median["E ρ"]) == ("–", "–")


def test_the_linear_baseline_stands_beside_the_energy_error(records, tables):
    *folds, median = tables["committee"].rows
    baselines = [
        [
            record.metrics["energy_rmse_mev_per_atom_linear_baseline"]
            for record in records.records.values()
            if record.axes.get("element") == element and "seed" in record.axes
        ]
        for element in ELEMENTS
    ]
    expected = [np.mean(each) for each in baselines]
    assert [row["linear_rmse"] for row in folds] == pytest.approx(expected)
    assert median["linear_rmse"] == pytest.approx(np.median(expected))
    assert "linear" in tables["committee"].titles

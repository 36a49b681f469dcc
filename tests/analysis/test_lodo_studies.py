"""Policies side by side, parts of the error, what errors follow, and expected difficulty."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mo_hpc.analysis.difficulty import PREDICTORS, TESTS_TEXT, expected_difficulty, rank_tests
from mo_hpc.analysis.difficulty_tables import ERRORS, TESTS, paper_rank_table
from mo_hpc.analysis.element_properties import element_properties
from mo_hpc.analysis.energy_relation_tables import (
    PAPER,
    energy_relation_tables,
    paper_relation_table,
)
from mo_hpc.analysis.error_part_tables import Fold, read_folds
from mo_hpc.analysis.figures import figures_of
from mo_hpc.analysis.records import RunRecords, read_run
from mo_hpc.analysis.settings import LODO, MOST_OF_A_FOLD, settings_of
from mo_hpc.analysis.table import Table
from mo_hpc.analysis.tables import make_tables
from mo_hpc.analysis.terminal import print_tables
from mo_hpc.metrics.error_parts import ErrorParts

ENERGY = "energy_mae_mev_per_atom"
ELEMENTS = ("Cr", "Nb", "Ta", "V", "W")


def read(make_run, folder, **options) -> RunRecords:
    return read_run(make_run(folder, **options), {}, lambda _: None)


def named_tables(records: RunRecords) -> dict[str, Table]:
    return {table.name: table for table in make_tables(records)}


@pytest.fixture(scope="module")
def records(make_run, tmp_path_factory) -> RunRecords:
    """Three elements, strict and relaxed, every paradigm and policy."""
    return read(make_run, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def tables(records: RunRecords) -> dict[str, Table]:
    return named_tables(records)


@pytest.fixture(scope="module")
def many(make_run, tmp_path_factory) -> RunRecords:
    """Five elements of one study."""
    axes = [
        {"protocol": protocol, "element": element, "paradigm": "fine_tune"}
        for protocol, element in itertools.product(LODO, ELEMENTS)
    ]
    return read(make_run, tmp_path_factory.mktemp("run"), axes_of_tasks=tuple(axes))


def lodo(records: RunRecords):
    frame = records.frame[records.frame["protocol"].isin(LODO)]
    return frame, settings_of(frame, [task.axes for task in records.manifest.tasks])


# -- policies side by side ----------------------------------------------------------------


def test_policies_of_a_fold_stand_in_one_row(records, tables) -> None:
    table = tables["energy_references_lodo_strict"]
    row = next(row for row in table.rows if row["element"] == "W")
    strict = {"protocol": "lodo_strict", "element": "W"}
    for paradigm, policy in (
        ("zero_shot", ""),
        ("scratch", "average"),
        ("fine_tune", "foundation"),
    ):
        axes = strict | {"paradigm": paradigm} | ({"energy_reference": policy} if policy else {})
        (record,) = (each for each in records.records.values() if each.axes == axes)
        key = f"{paradigm}_{policy}" if policy else paradigm
        for ending in ("", "_offset_removed", "_offset_train"):
            assert row[f"{key}_{ENERGY}{ending}"] == record.metrics[f"{ENERGY}{ending}"]


def test_the_last_row_is_the_mean_over_elements(tables) -> None:
    *folds, last = tables["energy_references_lodo_relaxed"].rows
    key = f"fine_tune_average_{ENERGY}"
    assert len(folds) == 3
    assert last[key] == pytest.approx(np.mean([row[key] for row in folds]))
    assert last[f"{key}_std"] == pytest.approx(np.std([row[key] for row in folds], ddof=1))


def test_each_energy_has_the_baseline_in_its_row(tables) -> None:
    energies = {f"{ENERGY}{ending}" for ending in ("", "_offset_removed")}
    for name in ("foundations", "lodo_comparison", "table1_iid", "table2_lodo_zero_shot"):
        keys = " ".join(column.key for column in tables[name].columns)
        assert all(key in keys for key in energies | {f"{ENERGY}_linear_baseline"}), name


# -- parts of the error -------------------------------------------------------------------


def test_parts_are_those_of_the_predictions(records, tables) -> None:
    rows = tables["error_parts_fine_tune_average"].rows
    strict = [row for row in rows if row["protocol"] == "strict"]
    assert [row["element"] for row in strict] == ["Cr", "Nb", "W", "All (n=3)"]
    for row in rows:
        pieces = [row[part] for part in ("references", "hosts", "rest")]
        assert sum(piece**2 for piece in pieces) == pytest.approx(row["error"] ** 2)
    wanted = {"protocol": "lodo_strict", "element": "Nb", "paradigm": "fine_tune"}
    wanted["energy_reference"] = "average"
    (record,) = (each for each in records.records.values() if each.axes == wanted)
    assert strict[1]["rest"] == pytest.approx(
        record.metrics["energy_rmse_mev_per_atom_offset_removed"]
    )


def test_what_the_parts_mean_holds_of_a_trained_model_only(tables) -> None:
    """`references` is invariant under a new E0 of one model, not under another training."""
    (what, *_) = tables["error_parts_fine_tune_average"].notes
    assert "changing E0 of the trained model changes this part and no other" in what
    assert "training with another policy may change all" in what


def test_the_made_up_shift_is_a_matter_of_references(tables) -> None:
    """The run's predictions are off by 0.104 eV for every atom."""
    rows = tables["error_parts_fine_tune_average"].rows
    for row in (
        each for each in rows if each["protocol"] == "strict" and "All" not in each["element"]
    ):
        assert row["references"] > 50 * max(row["hosts"], row["rest"])
        assert row["host_offset_ev"] == pytest.approx(0.104, abs=0.01)
        assert row["held_out_offset_ev"] == pytest.approx(0.104, abs=0.15)
    (tungsten,) = (row for row in rows if (row["protocol"], row["element"]) == ("strict", "W"))
    # Its level, and the mean of the two hosts' shifts.
    assert tungsten["label_energy_ev"] == pytest.approx(-13.0 + 0.2, abs=0.1)


def test_of_many_seeds_the_first_are_read(make_run, tmp_path) -> None:
    fold = {"protocol": "lodo_strict", "element": "W", "paradigm": "fine_tune"}
    axes = tuple(fold | {"seed": seed} for seed in range(MOST_OF_A_FOLD + 3))
    records = read(make_run, tmp_path, axes_of_tasks=axes)
    frame, settings = lodo(records)
    found = read_folds(records, frame, settings)
    assert sorted(each.row["seed"] for each in found.values()) == list(range(MOST_OF_A_FOLD))


# -- what errors follow -------------------------------------------------------------------


def test_three_elements_make_no_correlation(tables) -> None:
    assert "elemental_energies" not in tables
    assert TESTS not in tables


def test_a_missing_reference_energy_follows_the_labels(many) -> None:
    frame, settings = lodo(many)
    parts = ErrorParts(18, 8, 1.0, 1.0, 0.0, 0.0, {})
    folds = {
        name: replace(
            fold,
            parts=replace(parts, offsets_ev={fold.element: 0.3 - 0.5 * fold.label_energy_ev}),
        )
        for name, fold in read_folds(many, frame, settings).items()
    }
    (table,) = energy_relation_tables(many, frame, settings, folds)
    (row,) = (
        row
        for row in table.rows
        if row["error"].startswith("offset of held-out")
        and (row["protocol"], row["against"]) == ("strict", "labels")
    )
    assert (row["n"], row["r"]) == (5, pytest.approx(1))
    assert (row["slope"], row["intercept"]) == pytest.approx((0.5, 0.3))
    assert row["p_value"] == pytest.approx(1 / 120)
    assert table.rows[-1]["study"] == PAPER


def test_folds_without_parts_are_left_out(many) -> None:
    frame, settings = lodo(many)
    folds: dict[str, Fold] = {
        name: replace(fold, parts=None, label_energy_ev=None)
        for name, fold in read_folds(many, frame, settings).items()
    }
    (table,) = energy_relation_tables(many, frame, settings, folds)
    of_run = [row for row in table.rows if row["study"] != PAPER]
    assert {row["against"] for row in of_run} == {"PBE crystal"}
    assert not any(row["error"].startswith("offset of held-out") for row in of_run)


def test_the_papers_strict_energies_follow_the_elements_energies() -> None:
    """Forces do not: what grows is a reference energy, and not the difficulty of the element."""
    rows = {(row["protocol"], row["error"][0]): row for row in paper_relation_table().rows}
    strict = rows["strict", "E"]
    assert strict["n"] == 11
    assert strict["r"] == pytest.approx(0.93, abs=0.005)
    assert strict["slope"] == pytest.approx(16.7, abs=0.05)
    assert strict["intercept"] == pytest.approx(-85.0, abs=0.05)
    assert strict["p_value"] < 0.001
    assert rows["strict", "F"]["r"] == pytest.approx(0, abs=0.01)
    assert strict["r_low"] > rows["strict", "F"]["r_high"]


def test_elements_have_plausible_properties() -> None:
    known = element_properties()
    assert known["Mo"].energy_ev_per_atom == pytest.approx(-10.85, abs=0.01)
    # Two atoms in a cube of 3.17 Å.
    assert known["Mo"].volume_ang3_per_atom == pytest.approx(3.17**3 / 2, rel=0.01)
    assert len({each.pettifor for each in known.values()}) == len(known) == 88


# -- expected difficulty ------------------------------------------------------------------


def test_predictors_are_what_they_are_defined_to_be() -> None:
    known = element_properties()
    table = expected_difficulty("Mo", dict.fromkeys(("W", "Y"), ("Mo", "W", "Ta", "Y")))
    row = table.set_index("element").loc["Y"]
    radii = [
        (3 * known[name].volume_ang3_per_atom / (4 * np.pi)) ** (1 / 3) for name in ("Y", "Mo")
    ]
    assert row["size_misfit_percent"] == pytest.approx(100 * (radii[0] / radii[1] - 1))
    assert row["energy_difference_ev"] == pytest.approx(
        known["Y"].energy_ev_per_atom - known["Mo"].energy_ev_per_atom
    )
    away = [abs(known["Y"].pettifor - known[name].pettifor) for name in ("Mo", "W", "Ta")]
    assert row["pettifor_distance"] == pytest.approx(np.mean(away))
    assert list(table["element"]) == ["W", "Y"]
    assert list(table["mean_rank"]) == [1, 2]


def test_an_unknown_host_leaves_nothing_to_expect() -> None:
    assert expected_difficulty("Rn", {"W": ("W",)}).empty


def test_tests_are_spearmans_and_adjusted_for_their_number() -> None:
    table = expected_difficulty("Mo", dict.fromkeys(ELEMENTS, ELEMENTS))
    table["error"] = table["size_misfit_percent"] ** 2
    (row,) = rank_tests(table, {"error": "made up"})
    assert row["size_misfit_percent_rho"] == pytest.approx(1)
    assert row["size_misfit_percent_p"] == pytest.approx(1 / 60)
    assert row["size_misfit_percent_p_adjusted"] == pytest.approx(len(PREDICTORS) / 60)
    for key in PREDICTORS:
        expected = stats.spearmanr(table[key], table["error"]).statistic
        assert row[f"{key}_rho"] == pytest.approx(expected)


def test_errors_that_few_elements_have_are_not_tested() -> None:
    table = expected_difficulty("Mo", dict.fromkeys(ELEMENTS, ELEMENTS))
    table["error"] = [1.0, 2.0, 3.0, None, None]
    assert rank_tests(table, {"error": "made up"}) == []


def test_the_note_says_how_strong_a_correlation_chance_gives() -> None:
    assert "chance alone exceeds |ρ| of about 0.6 in one of twenty tests" in TESTS_TEXT
    ranks, generator = np.arange(11), np.random.default_rng(7)
    by_chance = [np.corrcoef(ranks, generator.permutation(ranks))[0, 1] for _ in range(5000)]
    assert np.mean(np.abs(by_chance) > 0.6) == pytest.approx(1 / 20, abs=0.015)


def test_a_run_is_tested_and_the_paper_beside_it(many) -> None:
    tables = named_tables(many)
    measured = tables["difficulty_fine_tune"].rows
    assert [row["protocol"] for row in measured] == ["strict"] * 5 + ["relaxed"] * 5
    strict = measured[:5]
    row = next(row for row in tables[TESTS].rows if row["error"] == "F MAE")
    force = "force_mae_mev_per_ang_component"
    assert (row["study"], row["protocol"], row["n"]) == ("fine-tune", "strict", 5)
    assert row["mean_rank_rho"] == pytest.approx(
        stats.spearmanr([each["mean_rank"] for each in strict], [each[force] for each in strict])[0]
    )
    record = next(each for each in many.records.values() if each.axes.get("element") == "Ta")
    tantalum = next(each for each in strict if each["element"] == "Ta")
    assert [tantalum[key] for key in ERRORS] == [record.metrics[key] for key in ERRORS]
    assert sum(row["study"] == PAPER for row in tables[TESTS].rows) == 4


def test_the_terminal_shows_the_tests(many, capsys) -> None:
    print_tables(many, make_tables(many))
    printed = capsys.readouterr().out
    assert "Expected against measured difficulty" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_difficulty_is_drawn_from_four_elements_on(many, records) -> None:
    (figure,) = (each for each in figures_of(many) if each.name.startswith("difficulty"))
    figure.write()
    assert all(path.stat().st_size > 1000 for path in figure.paths)
    assert not any(each.name.startswith("difficulty") for each in figures_of(records))


def test_in_the_paper_what_should_be_easy_has_the_larger_strict_energy_error() -> None:
    rows = {(row["protocol"], row["error"]): row for row in paper_rank_table().rows}
    strict, relaxed = rows["strict", "E MAE"], rows["relaxed", "F MAE"]
    assert strict["mean_rank_rho"] < -0.7
    assert strict["mean_rank_p"] < 0.02
    assert relaxed["size_misfit_percent_rho"] == pytest.approx(0.745, abs=0.001)
    assert relaxed["size_misfit_percent_p_adjusted"] > 0.05


# -- splits by trajectory and by frame ----------------------------------------------------


def test_splits_of_both_kinds_are_compared(make_run, tmp_path) -> None:
    axes = tuple(
        {"protocol": "iid", "repeat": repeat, "paradigm": "scratch", "grouped": grouped}
        for repeat, grouped in itertools.product((0, 1), (True, False))
    )
    records = read(make_run, tmp_path, axes_of_tasks=axes)
    by_trajectory, by_frame, ratio = named_tables(records)["split_comparison"].rows
    for row, grouped in ((by_trajectory, True), (by_frame, False)):
        of_kind = [
            each.metrics[ENERGY]
            for each in records.records.values()
            if each.axes.get("grouped") is grouped
        ]
        assert (row["n_done"], len(of_kind)) == (2, 2)
        assert row[ENERGY] == pytest.approx(np.mean(of_kind))
    assert ratio[ENERGY] == pytest.approx(by_trajectory[ENERGY] / by_frame[ENERGY])
    assert by_trajectory["n_shared_groups"] == 0


def test_splits_are_compared_at_each_number_of_shots(make_run, tmp_path) -> None:
    fold = {"protocol": "few_shot", "element": "W", "paradigm": "fine_tune"}
    axes = tuple(
        fold | {"shots": shots, "grouped": grouped}
        for shots, grouped in itertools.product((0, 10), (True, False))
    )
    records = read(make_run, tmp_path, axes_of_tasks=axes)
    table = named_tables(records)["split_comparison"]
    assert "shots" in [column.key for column in table.columns]
    assert [(row["shots"], row["split"]) for row in table.rows] == [
        (shots, split) for shots in ("0", "10") for split in ("by trajectory", "by frame", "ratio")
    ]
    (of_ten,) = (
        each.metrics[ENERGY]
        for each in records.records.values()
        if (each.axes.get("shots"), each.axes.get("grouped")) == (10, True)
    )
    assert (table.rows[3]["n_done"], table.rows[3][ENERGY]) == (1, of_ten)


def test_one_kind_of_split_has_nothing_to_be_compared_with(tables) -> None:
    assert "split_comparison" not in tables

"""The paper's numbers beside ours: the right ones, their ratios, and what is not alike."""

from __future__ import annotations

import statistics

import pytest

from mo_hpc.analysis import reference_values
from mo_hpc.analysis.records import RunRecords, read_run
from mo_hpc.analysis.table import Table, to_csv, to_markdown
from mo_hpc.analysis.tables import make_tables
from mo_hpc.analysis.terminal import print_tables
from mo_hpc.core.paths import RunPaths
from mo_hpc.executors.failures.diagnosis import Diagnostician

ENERGY = "energy_mae_mev_per_atom"
FORCE_RMSE = "force_rmse_mev_per_ang_component"
SIZES = ("small", "large")
PARADIGMS = ("zero_shot", "scratch", "fine_tune")


def read(run: RunPaths) -> RunRecords:
    return read_run(run, {}, Diagnostician(run))


def named(records: RunRecords) -> dict[str, Table]:
    return {table.name: table for table in make_tables(records)}


@pytest.fixture(scope="module")
def random_splits(make_run, tmp_path_factory) -> RunRecords:
    """Three paradigms, two sizes and two repeats on the structures of the paper."""
    axes = tuple(
        {"protocol": "iid", "paradigm": paradigm, "size": size, "repeat": repeat}
        for paradigm in PARADIGMS
        for size in SIZES
        for repeat in (0, 1)
    )
    folder = tmp_path_factory.mktemp("iid")
    return read(make_run(folder, dataset="mo420_replica", axes_of_tasks=axes))


@pytest.fixture(scope="module")
def folds(make_run, tmp_path_factory) -> RunRecords:
    """Strict and relaxed folds of Cr, Nb and W on the structures of the paper."""
    axes = tuple(
        {
            "protocol": protocol,
            "element": element,
            "paradigm": "fine_tune",
            "energy_reference": "foundation",
        }
        for protocol in ("lodo_strict", "lodo_relaxed")
        for element in ("Cr", "Nb", "W")
    )
    folder = tmp_path_factory.mktemp("lodo")
    return read(make_run(folder, dataset="mo420_replica", size="medium", axes_of_tasks=axes))


@pytest.fixture(scope="module")
def table1(random_splits: RunRecords) -> Table:
    return named(random_splits)["table1_iid"]


@pytest.fixture(scope="module")
def table2(folds: RunRecords) -> Table:
    return named(folds)["table2_lodo_fine_tune"]


@pytest.fixture(scope="module")
def other_structures(make_run, tmp_path_factory) -> dict[str, Table]:
    """The tables of a run whose structures the paper does not have, with two E0 policies."""
    models = (
        {"paradigm": "zero_shot"},
        {"paradigm": "scratch", "energy_reference": "average"},
        {"paradigm": "fine_tune", "energy_reference": "average"},
        {"paradigm": "fine_tune", "energy_reference": "foundation"},
    )
    splits = ({"protocol": "iid"}, {"protocol": "lodo_strict", "element": "W"})
    axes = tuple(split | model for model in models for split in splits)
    return named(read(make_run(tmp_path_factory.mktemp("other"), axes_of_tasks=axes)))


def mean(records: RunRecords, metric: str, **wanted: str) -> float:
    return statistics.mean(
        record.metrics[metric]
        for record in records.records.values()
        if record.stage == "transfer"
        and all(record.axes.get(axis) == value for axis, value in wanted.items())
    )


def test_table1_divides_our_mean_by_the_papers(random_splits, table1) -> None:
    rows = {(row["paradigm"], row["size"]): row for row in table1.rows}
    assert len(rows) == len(PARADIGMS) * len(SIZES)
    row = rows["fine-tune", "large"]
    ours = mean(random_splits, ENERGY, paradigm="fine_tune", size="large")
    assert (row[f"{ENERGY}_paper"], row[f"{ENERGY}_paper_std"]) == (7.34, 1.71)
    assert row[f"{ENERGY}_ratio"] == pytest.approx(ours / 7.34)
    forces = mean(random_splits, FORCE_RMSE, paradigm="zero_shot", size="small")
    assert rows["zero-shot", "small"][f"{FORCE_RMSE}_ratio"] == pytest.approx(forces / 146.13)
    assert {row["structures"] for row in table1.rows} == {"Eq"}
    place = table1.titles.index("E MAE, paper, other labels")
    assert table1.titles[place + 1] == "E MAE, ratio"
    assert f"{ENERGY}_ratio" in to_csv(table1).splitlines()[0]


def test_a_ratio_never_stands_without_what_is_not_alike(table1, table2) -> None:
    for table in (table1, table2):
        text = to_markdown(table)
        assert "Other labels: errors here are on synthetic test labels" in text
        assert "the paper's on VASP PBE" in text
        assert "frames of a trajectory kept together (paper: random over frames)" in text
        assert "a stand-in as foundation (paper: MACE-MP-0)" in text
    text = to_markdown(table1)
    assert "small: parameters 1,234 (paper 3,847,696)" in text
    assert "scratch: epochs 12 (paper 30–60)" in text
    assert "zero-shot: epochs" not in text
    assert "E0 foundation (paper average)" not in text
    text = to_markdown(table2)
    assert "E0 foundation (paper average)" in text
    assert "medium: parameters 1,234 (paper 4,688,656)" in text


def test_ratios_of_paradigms_are_size_by_size(random_splits) -> None:
    table = named(random_splits)["table1_ratios"]
    rows = {(row["size"], row["of"]): row for row in table.rows}
    assert len(rows) == 4
    row = rows["large", "zero-shot / fine-tune"]
    ours = [
        mean(random_splits, ENERGY, paradigm=paradigm, size="large")
        for paradigm in ("zero_shot", "fine_tune")
    ]
    assert row["ratio_of_energy_mae"] == pytest.approx(ours[0] / ours[1])
    published = {
        size: [
            round(rows[size, f"{paradigm} / fine-tune"]["paper_ratio_of_energy_mae"], 1)
            for paradigm in ("scratch", "zero-shot")
        ]
        for size in SIZES
    }
    assert published == {"small": [4.4, 9.3], "large": [16.6, 19.6]}
    notes = " ".join(table.notes)
    assert "scratch / fine-tune 7.1–10.2, zero-shot / fine-tune 10.8–19.6" in notes
    assert "ours on ours, the paper's on its own" in notes


def test_a_scratch_model_of_another_policy_is_named_so(other_structures) -> None:
    """Scratch models have no foundation whose E0 they could take."""
    table = other_structures["table1_ratios"]
    assert [(row["energy_reference"], row["of"]) for row in table.rows] == [
        ("average", "scratch / fine-tune"),
        ("average", "zero-shot / fine-tune"),
        ("foundation", "scratch, E0 average, / fine-tune"),
        ("foundation", "zero-shot / fine-tune"),
    ]
    assert all(row["paper_ratio_of_energy_mae"] is None for row in table.rows)
    assert not any("paper" in heading for heading in table.titles)
    assert not any(note.startswith("Paper:") for note in table.notes)


def test_table2_divides_folds_and_their_means(folds, table2) -> None:
    rows = {(row["protocol"], row["element"]): row for row in table2.rows}
    ours = mean(folds, ENERGY, protocol="lodo_strict", element="W")
    assert rows["strict", "W"][f"{ENERGY}_ratio"] == pytest.approx(ours / 117.84)
    without_cr = rows["relaxed", "MeanNC, without Cr (n=2)"]
    ours = statistics.mean(
        mean(folds, ENERGY, protocol="lodo_relaxed", element=element) for element in ("Nb", "W")
    )
    assert without_cr[f"{ENERGY}_ratio"] == pytest.approx(ours / ((8.56 + 8.01) / 2))
    assert without_cr[f"{ENERGY}_paper_std"] == pytest.approx(statistics.stdev([8.56, 8.01]))


def test_other_structures_have_the_papers_values_and_no_ratio(other_structures) -> None:
    table = other_structures["table2_lodo_fine_tune_average"]
    assert "E MAE, paper (Eq, medium), other data and labels" in table.titles
    assert not any("ratio" in heading for heading in table.titles)
    assert any("No ratio: the structures here are others." in note for note in table.notes)


def test_the_terminal_shows_the_paper_within_80_columns(
    random_splits, table1, folds, table2, capsys
) -> None:
    print_tables(random_splits, [table1])
    print_tables(folds, [table2])
    output = capsys.readouterr().out
    lines = [line for line in output.splitlines() if not line.startswith(("Tables:", "Figures:"))]
    assert max(len(line) for line in lines if not line.startswith("Report:")) <= 80
    text = " ".join(output.split())
    assert "beside paper, other labels" in text
    assert "7.34 ± 1.71" in text
    assert "Other labels: errors here are on" in text
    strict = output.split("strict, beside paper, other labels")[1].split("relaxed, beside")[0]
    row = next(line.split() for line in strict.splitlines() if line.startswith(" W "))
    ours = mean(folds, ENERGY, protocol="lodo_strict", element="W")
    assert row[2:4] == ["118", f"{ours / 117.84:.2f}"]


def test_the_papers_protocol_is_found_for_its_sizes_and_their_reductions() -> None:
    expected = {"epochs": 80, "n_parameters": 5725072}
    assert reference_values.protocol("fine_tune", "NonEq", "large") == expected
    assert reference_values.protocol("fine_tune", "NonEq", "reduced_large") == expected
    assert reference_values.protocol("scratch", "NonEq", "large") is None
    assert reference_values.protocol("fine_tune", None, "large") is None
    assert reference_values.paper_set("mo6970_replica/equilibrium") == "Eq"
    assert reference_values.paper_set("nbmotaw/substituted") is None

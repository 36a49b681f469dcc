"""Tables on new elements: each variant as means over repeats, and each element by itself."""

from __future__ import annotations

import statistics

import pytest

from mo_hpc.analysis.records import RunRecords, read_run
from mo_hpc.analysis.table import Table, to_markdown
from mo_hpc.analysis.tables import make_tables
from mo_hpc.analysis.terminal import print_tables

NEW = ("Nb", "W")
ENERGY = "energy_mae_mev_per_atom"


def variants() -> tuple[dict[str, object], ...]:
    direct = [
        {
            "protocol": "new_elements",
            "paradigm": "zero_shot",
            "new_elements": weights,
            "new_element_energy": energy,
        }
        for weights, energy in (("slice", "estimated"), ("proxy_group", "borrowed"))
    ]
    refined = [
        {"protocol": protocol, "paradigm": "fine_tune", "repeat": repeat}
        for protocol in ("joint", "new_only")
        for repeat in (0, 1)
    ]
    return (*direct, *refined)


@pytest.fixture(scope="module")
def records(make_run, tmp_path_factory) -> RunRecords:
    run = make_run(tmp_path_factory.mktemp("new"), axes_of_tasks=variants(), unfinished=(6,))
    return read_run(run, {}, lambda _: None)


@pytest.fixture(scope="module")
def tables(records: RunRecords) -> dict[str, Table]:
    return {table.name: table for table in make_tables(records)}


def test_a_row_for_each_way_and_test_set(records, tables):
    assert set(tables) == {"new_elements", "new_elements_by_element", "foundations"}
    rows = tables["new_elements"].rows
    named = ("protocol", "new_elements", "new_element_energy", "n_done", "n_tasks")
    assert [tuple(row[key] for key in named) for row in rows] == [
        ("all new held out", "proxy by group", "borrowed", 1, 1),
        ("all new held out", "slice", "estimated", 1, 1),
        ("new only", "-", "-", 1, 2),
        ("joint", "-", "-", 2, 2),
    ]
    joint = [
        record.metrics[ENERGY]
        for record in records.records.values()
        if record.axes.get("protocol") == "joint"
    ]
    assert rows[-1][ENERGY] == pytest.approx(statistics.mean(joint))
    assert "test set" in to_markdown(tables["new_elements"])


def test_each_new_element_has_its_proxy_its_energy_and_its_errors(records, tables):
    rows = tables["new_elements_by_element"].rows
    assert [(row["protocol"], row["element"], row["proxy"]) for row in rows] == [
        *(("all new held out", "Nb", "Cr"), ("all new held out", "W", "Mo")),
        *(("all new held out", "Nb", "-"), ("all new held out", "W", "-")),
        *((protocol, element, "-") for protocol in ("new only", "joint") for element in NEW),
    ]
    assert [row["e0_ev"] for row in rows[:2]] == [-10.0, -12.0]
    tungsten = [
        record.metrics["by_element"]["W"]
        for record in records.records.values()
        if record.axes.get("protocol") == "joint"
    ]
    for metric in (ENERGY, f"{ENERGY}_offset_removed", "force_mae_mev_per_ang_component"):
        expected = statistics.mean(each[metric] for each in tungsten)
        assert rows[-1][metric] == pytest.approx(expected)
    assert rows[-1]["n_tasks"] == 2


def test_the_terminal_shows_the_variants(records, tables, capsys):
    print_tables(records, list(tables.values()))
    said = capsys.readouterr().out
    assert "proxy by group" in said
    assert max(len(line) for line in said.splitlines()[:12]) <= 80

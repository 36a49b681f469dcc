"""The paper's two ways to new elements: which tasks go them, and what stands beside ours."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from mo_hpc.analysis.figures import figures_of
from mo_hpc.analysis.new_element_parity import Variant, new_element_parity
from mo_hpc.analysis.records import RunRecords, read_run
from mo_hpc.analysis.strategies import published_errors, strategy_of
from mo_hpc.analysis.style import ELEMENT_COLOURS
from mo_hpc.analysis.tables import make_tables
from mo_hpc.core.elements import ATOMIC_NUMBERS
from mo_hpc.core.files import write_json
from mo_hpc.core.paths import RunPaths
from mo_hpc.executors.failures.diagnosis import Diagnostician
from mo_hpc.metrics.predictions import Predictions
from mo_hpc.plan.manifest import read_manifest

ENERGY = "energy_mae_mev_per_atom"
DATASET = "mo_with_new_elements_replica"
DIRECT = {"protocol": "new_elements", "paradigm": "zero_shot", "new_element_energy": "estimated"}
REFINED = {"protocol": "new_only", "paradigm": "fine_tune", "new_element_energy": "estimated"}
TASKS: tuple[dict[str, Any], ...] = (
    DIRECT | {"new_elements": "proxy_group"},
    DIRECT | {"new_elements": "slice"},
    *(REFINED | {"new_elements": "proxy_group", "repeat": repeat} for repeat in (0, 1, 2)),
)


def of_fine_tuned(run: RunPaths) -> RunRecords:
    """The run as if its first task, which the others start from, had fine-tuned a model."""
    maker = run.task(read_manifest(run).tasks[0].id)
    for path in (maker.task, maker.metrics):
        write_json(path, json.loads(path.read_text()) | {"paradigm": "fine_tune"})
    for path in (run.task(task.id).task for task in read_manifest(run).tasks):
        document = json.loads(path.read_text())
        document["dataset"]["subset"] = "equilibrium_and_new"
        write_json(path, document)
    return read_run(run, {}, Diagnostician(run))


@pytest.fixture(scope="module")
def records(make_run, tmp_path_factory) -> RunRecords:
    folder = tmp_path_factory.mktemp("run")
    return of_fine_tuned(make_run(folder, dataset=DATASET, size="medium", axes_of_tasks=TASKS))


def test_each_way_of_the_paper_is_told_from_others(records) -> None:
    rows = {str(row["task_id"]): row for row in records.frame.to_dict("records")}
    found = {
        (row["paradigm"], row["new_elements"]): strategy_of(records, row)
        for row in rows.values()
        if not row["is_foundation"]
    }
    assert found == {
        ("zero_shot", "proxy_group"): "dipi",
        ("zero_shot", "slice"): None,
        ("fine_tune", "proxy_group"): "refine_tune",
    }
    direct = next(row for row in rows.values() if row["new_elements"] == "proxy_group")
    assert published_errors(records, direct)[ENERGY] == (60.38, None)
    assert published_errors(records, direct | {"dataset": "nbmotaw"}) == {}
    # Without the record of its maker it is not known what the model was.
    assert strategy_of(records, direct | {"task_id": "absent"}) is None


def test_the_figure_has_a_panel_for_each_way_and_the_papers_errors(records) -> None:
    file = next(
        file for file in figures_of(records) if file.name.startswith("energy_parity_new_elements")
    )
    assert len(file.tasks) == 3
    assert "Drawn:" not in file.caption
    figure = file.draw()
    texts = [axes.texts[0].get_text().splitlines() for axes in figure.axes]
    errors = [f"MAE {records.records[task].metrics[ENERGY]:.3g}," for task in file.tasks]
    assert all(error in text[0] for error, text in zip(errors, texts, strict=True))
    assert [text[1:] for text in texts] == [
        ["paper, other labels:", "MAE 60.4, RMSE 69.4"],
        [],
        ["paper, other labels:", "MAE 16.1, RMSE 22.3"],
    ]
    titles = [axes.get_title().replace("\n", ", ") for axes in figure.axes]
    assert "proxy by group" in titles[0]
    assert "slice" in titles[1]
    assert "new only" in titles[2]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["Nb", "W"]


def test_frames_are_marked_by_their_new_element_and_others_recede() -> None:
    symbols = [["Mo", "Al"], ["Mo", "Nb"], ["Mo", "Hf"], ["Mo", "Al"]]
    predictions = Predictions(
        frame_ids=np.array(["a", "b", "c", "d"]),
        part=np.array(["test"] * 4),
        host=np.array(["bcc"] * 4),
        n_atoms=np.array([2] * 4),
        numbers=np.array([ATOMIC_NUMBERS[name] for frame in symbols for name in frame]),
        energy_ref_ev=np.array([-20.0, -21.0, -22.0, -20.2]),
        energy_pred_ev=np.array([-20.1, -21.0, -22.0, -20.2]),
        has_forces=np.array([False] * 4),
        forces_ref_ev_per_ang=np.zeros((0, 3)),
        forces_pred_ev_per_ang=np.zeros((0, 3)),
    )
    figure = new_element_parity([Variant("a way", predictions, ("Hf", "Al"), remark="a remark")])
    axes = figure.axes[0]
    drawn = {
        to_hex(line.get_color()).upper(): sorted(line.get_xdata().tolist())
        for line in axes.lines
        if line.get_linestyle() == "None"
    }
    assert drawn == {
        ELEMENT_COLOURS[0].upper(): [-10.1, -10.0],
        ELEMENT_COLOURS[1].upper(): [-11.0],
        "#BFBFBF": [-10.5],
    }
    assert axes.get_title() == "a way"
    assert axes.texts[0].get_text() == "MAE 12.5, RMSE 25.0, n = 4\na remark"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["Al", "Hf", "known elements only"]


def test_the_table_divides_by_the_papers_errors_of_each_way(records) -> None:
    table = next(table for table in make_tables(records) if table.name == "new_elements")
    rows = {(row["protocol"], row["new_elements"]): row for row in table.rows}
    direct = rows["all new held out", "proxy by group"]
    assert direct[f"{ENERGY}_ratio"] == pytest.approx(direct[ENERGY] / 60.38)
    refined = rows["new only", "proxy by group"]
    assert refined["n_done"] == 3
    assert refined[f"{ENERGY}_ratio"] == pytest.approx(refined[ENERGY] / 16.12)
    assert rows["all new held out", "slice"].get(f"{ENERGY}_ratio") is None
    assert "E MAE, paper, other labels" in table.titles
    assert not any(title.startswith("F") and "paper" in title for title in table.titles)
    notes = " ".join(table.notes)
    assert "Figure 7 (medium); labels VASP PBE. Ratio: ours / paper's" in notes
    assert "Other labels: errors here are on synthetic test labels" in notes
    assert "beside both test sets, since its text gives two" in notes

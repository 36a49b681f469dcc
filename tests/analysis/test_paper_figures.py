"""What the paper's figures show: panels, labels, points, and whose numbers stand in them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mo_hpc.analysis import reference_values
from mo_hpc.analysis.figure_files import FigureFile
from mo_hpc.analysis.figures import figures_of
from mo_hpc.analysis.lodo_bars import lodo_bars
from mo_hpc.analysis.records import RunRecords, read_run
from mo_hpc.analysis.representative import nearest_the_mean
from mo_hpc.executors.failures.diagnosis import Diagnostician
from mo_hpc.metrics.predictions import Predictions

SIZES = ("small", "large")
PARADIGMS = ("zero_shot", "scratch", "fine_tune")
ENERGIES = ("energy_mae_mev_per_atom", "energy_rmse_mev_per_atom")
FORCES = ("force_mae_mev_per_ang_component", "force_rmse_mev_per_ang_component")


@pytest.fixture(scope="module")
def records(make_run, tmp_path_factory) -> RunRecords:
    """Three paradigms, two sizes, two repeats."""
    axes = tuple(
        {"protocol": "iid", "paradigm": paradigm, "size": size, "repeat": repeat}
        for paradigm in PARADIGMS
        for size in SIZES
        for repeat in (0, 1)
    )
    run = make_run(tmp_path_factory.mktemp("run"), dataset="mo6970_replica", axes_of_tasks=axes)
    return read_run(run, {}, Diagnostician(run))


@pytest.fixture(scope="module")
def figures(records: RunRecords) -> dict[str, FigureFile]:
    return {figure.name: figure for figure in figures_of(records)}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def predictions(records: RunRecords, task_id: str) -> Predictions:
    return Predictions.load(records.run.task(task_id).predictions).only("test")


def test_the_task_nearest_the_mean_stands_for_its_repeats() -> None:
    """Means are 4 and 40: the second repeat is nearest in both, though equal to neither."""
    errors = {ENERGIES[0]: [1.0, 3.5, 7.5], FORCES[0]: [10.0, 41.0, 69.0]}
    constant = {ENERGIES[1]: 0.0, FORCES[1]: 1.0}
    frame = pd.DataFrame(errors | {"repeat": [0, 1, 2], "size": "small"}).assign(**constant)
    chosen = nearest_the_mean(frame, ["size"])
    assert chosen[["repeat", "n_alike"]].to_numpy().tolist() == [[1, 3]]
    assert nearest_the_mean(frame.iloc[:0], ["size"]).empty


def test_energies_have_a_panel_for_each_paradigm_and_size(records, figures) -> None:
    file = figures["energy_parity_iid_mo6970_replica_average"]
    assert "of the repeats of each panel the one nearest their mean errors" in file.caption
    assert "Labels: synthetic test labels" in file.caption
    assert len(file.tasks) == len(PARADIGMS) * len(SIZES)
    figure = file.draw()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        f"{paradigm}, {size}"
        for paradigm in ("zero-shot", "scratch", "fine-tune")
        for size in SIZES
    ]
    assert figure.get_supxlabel() == "reference energy (eV/atom)"
    assert figure.get_supylabel() == "predicted energy (eV/atom)"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["BCC", "FCC"]


def test_a_panel_shows_the_frames_and_errors_of_its_task(records, figures) -> None:
    file = figures["energy_parity_iid_mo6970_replica_average"]
    last, task_id = file.draw().axes[-1], file.tasks[-1]
    shown = predictions(records, task_id)
    drawn = np.concatenate([line.get_xydata() for line in last.lines[1:]])
    expected = np.column_stack([shown.energy_ref_ev, shown.energy_pred_ev]) / shown.n_atoms[:, None]
    assert np.sort(drawn, axis=0) == pytest.approx(np.sort(expected, axis=0))
    record = records.records[task_id]
    assert f"MAE {record.metrics[ENERGIES[0]]:.3g}" in last.texts[0].get_text()
    assert f"n = 18, repeat {record.axes['repeat']} (of 2)" in last.texts[0].get_text()
    low, high = last.get_xlim()
    assert (low, high) == last.get_ylim()
    assert low < expected.min()
    assert expected.max() < high


def test_forces_of_fine_tuned_models_have_a_row_for_each_size(records, figures) -> None:
    file = figures["force_parity_sizes_mo6970_replica"]
    assert [records.records[task].paradigm for task in file.tasks] == ["fine_tune"] * len(SIZES)
    figure = file.draw()
    panels = figure.axes[: 3 * len(SIZES)]
    assert [axes.get_title() for axes in panels[:3]] == ["$F_x$", "$F_y$", "$F_z$"]
    assert [axes.get_ylabel().splitlines() for axes in panels[::3]] == [
        [size, "predicted force (eV/Å)"] for size in SIZES
    ]
    of_x = predictions(records, file.tasks[0])
    error = 1000 * np.abs(of_x.forces_pred_ev_per_ang - of_x.forces_ref_ev_per_ang)[:, 0].mean()
    assert f"MAE {error:.3g} meV/Å" in panels[0].texts[0].get_text()


def test_one_size_has_its_paradigms_side_by_side_and_no_figure_of_sizes(make_run, tmp_path) -> None:
    axes = tuple({"protocol": "iid", "paradigm": paradigm} for paradigm in PARADIGMS)
    run = make_run(tmp_path / "run", axes_of_tasks=axes)
    files = {each.name: each for each in figures_of(read_run(run, {}, Diagnostician(run)))}
    assert not any(name.startswith("force_parity_sizes") for name in files)
    figure = files["energy_parity_iid_synthetic_transfer_average"].draw()
    assert [each.get_title() for each in figure.axes] == ["zero-shot", "scratch", "fine-tune"]
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == (1, 3)
    assert not any("repeat" in text for text in texts(figure))


def test_a_scratch_model_of_another_policy_joins_under_its_name(make_run, tmp_path) -> None:
    """It has no foundation to take energies from; the others share a policy or have none."""
    policies = {"zero_shot": {}, "scratch": {"energy_reference": "average"}}
    policies["fine_tune"] = {"energy_reference": "foundation"}
    axes = tuple({"protocol": "iid", "paradigm": name} | each for name, each in policies.items())
    run = make_run(tmp_path / "run", axes_of_tasks=axes)
    files = figures_of(read_run(run, {}, Diagnostician(run)))
    energies = [each for each in files if each.name.startswith("energy_parity_iid")]
    assert [each.name for each in energies] == ["energy_parity_iid_synthetic_transfer_foundation"]
    titles = [each.get_title() for each in energies[0].draw().axes]
    assert titles == ["zero-shot", "scratch (E0 average)", "fine-tune (E0 foundation)"]


def bars_of(dataset: str, paradigm: str = "fine_tune") -> Figure:
    metrics = (*ENERGIES, f"{ENERGIES[0]}_offset_removed", *FORCES)
    rows = [
        {"protocol": protocol, "element": element} | dict.fromkeys(metrics, 20.0)
        for protocol in ("lodo_strict", "lodo_relaxed")
        for element in ("Nb", "W")
    ]
    study = {"dataset": dataset, "size": "medium", "paradigm": paradigm}
    return lodo_bars(pd.DataFrame(rows).assign(**study))


def diamonds(figure: Figure) -> list[list[float]]:
    """The heights of the paper's marks, panel by panel, from left to right."""
    return [
        [
            line.get_ydata()[0]
            for line in sorted(axes.lines, key=lambda line: line.get_xdata()[0])
            if line.get_marker() == "D"
        ]
        for axes in figure.axes
    ]


def test_bars_have_the_papers_values_as_marks_of_their_own() -> None:
    figure = bars_of("mo420_replica")
    assert [axes.get_ylabel().replace("\n", " ") for axes in figure.axes] == [
        "energy MAE (meV/atom)",
        "energy RMSE (meV/atom)",
        "energy MAE, offset removed (meV/atom)",
        "force MAE by component (meV/Å)",
    ]
    expected = [
        [
            reference_values.table2_value(element, protocol, metric)
            for element in ("Nb", "W")
            for protocol in ("lodo_strict", "lodo_relaxed")
        ]
        for metric in (*ENERGIES, FORCES[0])
    ]
    energies, rmse, removed, forces = diamonds(figure)
    assert [energies, rmse, forces] == expected
    assert removed == []
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["strict", "relaxed", "linear baseline (raw)", "paper, other labels"]


@pytest.mark.parametrize(
    ("dataset", "paradigm"), [("nbmotaw/substituted", "fine_tune"), ("mo420_replica", "zero_shot")]
)
def test_bars_of_anything_else_have_none(dataset, paradigm) -> None:
    figure = bars_of(dataset, paradigm)
    assert diamonds(figure) == [[], [], [], []]
    assert not any("paper" in text.get_text() for text in figure.legends[0].get_texts())


def test_a_number_stands_above_the_mark_that_would_run_through_it() -> None:
    """Of Cr, relaxed, the paper's force MAE of 77.4 lies just above our 70; far above our 20."""
    metrics = (*ENERGIES, f"{ENERGIES[0]}_offset_removed", *FORCES)
    row = {"protocol": "lodo_relaxed", "element": "Cr", "dataset": "mo420", "size": "medium"}
    anchors = []
    for height in (70.0, 20.0):
        frame = pd.DataFrame([row | dict.fromkeys(metrics, height) | {"paradigm": "fine_tune"}])
        anchors.append(lodo_bars(frame).axes[-1].texts[0].xy[1])
    assert anchors == [77.4, 20.0]

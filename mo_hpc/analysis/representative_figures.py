"""The figures of random splits that show one repeat for all: the paper's Figures 3 and 4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from mo_hpc.analysis.figure_files import FigureFile, Study
from mo_hpc.analysis.paradigm_parity import Panel, paradigm_parity
from mo_hpc.analysis.parity import force_parity
from mo_hpc.analysis.predicted import test_predictions
from mo_hpc.analysis.records import NONE, RunRecords
from mo_hpc.analysis.representative import nearest_the_mean
from mo_hpc.analysis.settings import groups, ordered, varying, with_policy

_WHICH = "of the repeats of each panel the one nearest their mean errors"
_PANEL = ("paradigm", "size")


def representative_figures(
    records: RunRecords, frame: pd.DataFrame, settings: Sequence[str]
) -> Iterator[FigureFile]:
    """Energies by paradigm and size, and forces of fine-tuned models by size.

    Args:
        records: The run.
        frame: Its IID tasks, done or not, one row each.
        settings: What tells studies apart.
    """
    yield from _energy_figures(records, frame, settings)
    yield from _force_figures(records, frame[frame["paradigm"] == "fine_tune"], settings)


def _energy_figures(
    records: RunRecords, frame: pd.DataFrame, settings: Sequence[str]
) -> Iterator[FigureFile]:
    """One for each E0 policy of fine-tuned models, which others join as `with_policy` says."""
    across = [name for name in settings if name not in (*_PANEL, "energy_reference")]
    naming = [*(varying(frame, across) or ["dataset"]), "energy_reference"]
    text = f"Energies by paradigm and size, {_WHICH}"
    for values, tasks in groups(frame, across):
        for policy in _policies(tasks):
            alike = [with_policy(each, policy) for _, each in groups(tasks, ["paradigm"])]
            chosen = pd.concat(alike)
            shown_tasks = _representatives(chosen, _PANEL)
            study = Study(records, shown_tasks, values | {"energy_reference": policy}, naming)
            draw = partial(_draw_energies, records)
            yield from study.figure("energy_parity_iid", text, draw)


def _policies(tasks: pd.DataFrame) -> list[str]:
    """The E0 policies of the fine-tuned models; of all, where none is fine-tuned."""
    tuned = tasks[tasks["paradigm"] == "fine_tune"]
    policies = set((tasks if tuned.empty else tuned)["energy_reference"]) - {NONE}
    return ordered(list(policies)) or [NONE]


def _force_figures(
    records: RunRecords, frame: pd.DataFrame, settings: Sequence[str]
) -> Iterator[FigureFile]:
    """One for each combination of settings that has several sizes."""
    across = [name for name in settings if name != "size"]
    naming = varying(frame, across) or ["dataset"]
    text = f"Forces by component and size, {_WHICH}"
    for values, tasks in groups(frame, across):
        if len(set(tasks["size"])) > 1:
            study = Study(records, _representatives(tasks, ("size",)), values, naming)
            yield from study.figure("force_parity_sizes", text, partial(_draw_forces, records))


def _representatives(tasks: pd.DataFrame, panel: Sequence[str]) -> pd.DataFrame:
    return nearest_the_mean(tasks[tasks["state"] == "done"], panel)


def _draw_energies(records: RunRecords, frame: pd.DataFrame) -> Figure:
    rows = zip(frame.to_dict("records"), test_predictions(records, frame), strict=True)
    return paradigm_parity(
        [
            Panel(
                paradigm=str(row["paradigm"]),
                policy=str(row["energy_reference"]),
                size=str(row["size"]),
                predictions=predictions,
                repeat=int(row["repeat"]),
                n_alike=int(row["n_alike"]),
            )
            for row, predictions in rows
        ]
    )


def _draw_forces(records: RunRecords, frame: pd.DataFrame) -> Figure:
    return force_parity(
        [
            (str(values["size"]), test_predictions(records, tasks))
            for values, tasks in groups(frame, ["size"])
        ]
    )

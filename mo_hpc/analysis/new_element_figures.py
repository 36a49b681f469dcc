"""The figure of new elements, with the paper's Figure 7 as one of its panels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mo_hpc.analysis.figure_files import FigureFile, Study
from mo_hpc.analysis.new_element_parity import Variant, new_element_parity
from mo_hpc.analysis.predicted import test_predictions
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.representative import nearest_the_mean
from mo_hpc.analysis.settings import groups, shown, title, varying
from mo_hpc.analysis.strategies import heading_of, published_errors
from mo_hpc.analysis.style import number

_PANEL = (
    *("stage", "protocol", "paradigm", "energy_reference"),
    *("new_elements", "new_element_energy"),
)
_ENERGIES = ("energy_mae_mev_per_atom", "energy_rmse_mev_per_atom")
_WITHOUT_TITLE = ("stage", "protocol", "new_elements")


def new_element_figures(
    records: RunRecords, frame: pd.DataFrame, settings: Sequence[str]
) -> Iterator[FigureFile]:
    """Energy parity of every variant, for each combination of the other settings.

    Args:
        records: The run.
        frame: Its tasks on new elements, done or not, one row each.
        settings: What tells studies apart.
    """
    across = [name for name in settings if name not in _PANEL]
    naming = varying(frame, across) or ["dataset"]
    text = "Energies of new elements, of each panel's repeats the one nearest their mean errors"
    for values, tasks in groups(frame, across):
        chosen = nearest_the_mean(tasks[tasks["state"] == "done"], _PANEL)
        study = Study(records, chosen, values, naming)
        yield from study.figure("energy_parity_new_elements", text, partial(_draw, records))


def _draw(records: RunRecords, frame: pd.DataFrame) -> Figure:
    differing = varying(frame, _PANEL)
    variants = []
    for row, predictions in zip(
        frame.to_dict("records"), test_predictions(records, frame), strict=True
    ):
        named = {str(key): value for key, value in row.items()}
        split = records.records[named["task_id"]].split.config
        variants.append(
            Variant(
                title=_title(named, differing),
                predictions=predictions,
                elements=split.new_elements,
                remark=_remark(records, named),
            )
        )
    return new_element_parity(variants)


def _title(row: Mapping[str, Any], differing: Sequence[str]) -> str:
    """What tells the panel from the others, in two lines."""
    words = [
        shown(row[name]) if name in _WITHOUT_TITLE else f"{title(name)} {shown(row[name])}"
        for name in _PANEL
        if name in differing and row[name] != "-"
    ] or [shown(row["stage"])]
    half = -(-len(words) // 2)
    return "\n".join(", ".join(part) for part in (words[:half], words[half:]) if part)


def _remark(records: RunRecords, row: Mapping[str, Any]) -> str:
    """The paper's errors, marked as other labels where ours are."""
    published = published_errors(records, row)
    if not published:
        return ""
    whose = heading_of(pd.DataFrame([row]))
    mae, rmse = (number(published[name][0]) for name in _ENERGIES)
    # One line with the name of the paper's column would be wider than a panel.
    return f"{whose}:\nMAE {mae}, RMSE {rmse}"

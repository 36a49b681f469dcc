"""Measured errors of held-out elements against what was expected of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mo_hpc.analysis.difficulty import PREDICTORS
from mo_hpc.analysis.settings import order, shown
from mo_hpc.analysis.style import (
    DOUBLE_COLUMN_IN,
    PROTOCOL_COLOURS,
    PROTOCOL_MARKERS,
    logarithmic,
    panel_text,
)
from mo_hpc.metrics.correlations import rank_relation

_LOGARITHMIC_ABOVE = 30.0
_ROWS = {
    "energy_mae_mev_per_atom": "energy MAE\n(meV/atom)",
    "energy_mae_mev_per_atom_offset_removed": "energy MAE,\noffset removed\n(meV/atom)",
    "force_mae_mev_per_ang_component": "force MAE by\ncomponent (meV/Å)",
}


def difficulty_plot(measured: dict[str, pd.DataFrame]) -> Figure:
    """One row of panels for each error, one column for each predictor, a point for each element.

    Args:
        measured: Protocol → predictors and errors, a row for each element.
    """
    figure = Figure(figsize=(DOUBLE_COLUMN_IN, 5.4))
    panels = figure.subplots(len(_ROWS), len(PREDICTORS), sharex="col", sharey="row")
    protocols = sorted(measured, key=order)
    for row, (error, label) in zip(panels, _ROWS.items(), strict=True):
        for axes, predictor in zip(row, PREDICTORS, strict=True):
            for line, protocol in enumerate(protocols):
                _points(axes, measured[protocol], predictor, error, protocol=protocol, line=line)
            axes.grid(linewidth=0.3, color="0.9")
            axes.margins(x=0.12)
        row[0].set_ylabel(label)
        _scale(row[0], measured, error)
    for axes, heading in zip(panels[-1], PREDICTORS.values(), strict=True):
        axes.set_xlabel(heading)
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=PROTOCOL_MARKERS[name],
            color=PROTOCOL_COLOURS[name],
            label=shown(name),
        )
        for name in protocols
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _points(
    axes: Axes, table: pd.DataFrame, predictor: str, error: str, *, protocol: str, line: int
) -> None:
    known = table.assign(value=pd.to_numeric(table[error])).dropna(subset="value")
    colour = PROTOCOL_COLOURS[protocol]
    x, y = (known[name].to_numpy(dtype=np.float64) for name in (predictor, "value"))
    axes.plot(x, y, PROTOCOL_MARKERS[protocol], color=colour, markersize=2.5)
    for element, place in zip(known["element"], zip(x, y, strict=True), strict=True):
        axes.annotate(
            str(element),
            place,
            xytext=(2, 1),
            textcoords="offset points",
            fontsize=5,
            color=colour,
        )
    relation = rank_relation(x, y)
    text = "–" if relation is None else f"{relation.rho:.2f}, p {_p_value(relation.p_value)}"
    panel_text(axes, f"ρ {text}, n {len(x)}", colour=colour, lines_above=line)


def _scale(axes: Axes, measured: dict[str, pd.DataFrame], error: str) -> None:
    """Room for the correlations above the points; a logarithmic axis where these span much."""
    values = pd.concat([pd.to_numeric(table[error]) for table in measured.values()]).dropna()
    if not len(values) or values.max() <= 0:
        return
    if values.min() > 0 and values.max() > _LOGARITHMIC_ABOVE * values.min():
        lines = len(measured) * np.log10(values.max() / values.min())
        axes.set_ylim(values.min() / 1.5, values.max() * 10 ** (0.2 * lines))
        logarithmic(axes)
    else:
        axes.set_ylim(0, (1.1 + 0.2 * len(measured)) * float(values.max()))


def _p_value(p_value: float) -> str:
    """Three decimals; a p-value that they would show as zero is small, not zero."""
    text = f"{p_value:.3f}"
    return text if float(text) else "< 0.001"

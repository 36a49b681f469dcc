"""Bars of the errors by held-out element, strict against relaxed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mo_hpc.analysis.settings import order, shown
from mo_hpc.analysis.style import (
    DOUBLE_COLUMN_IN,
    PROTOCOL_COLOURS,
    SINGLE_COLUMN_IN,
    logarithmic,
    number,
)

_MOST_IN_SINGLE_COLUMN = 6
_LOGARITHMIC_ABOVE = 30.0
_BAR_SPAN = 0.8
_CLOSE_ABOVE = 1.4
"""A baseline up to so many times higher than a bar would run through the bar's number."""
_MOST_WITH_LARGE_VALUES = 12
_BASELINE = "energy_mae_mev_per_atom_linear_baseline"
_PANELS = (
    ("energy_mae_mev_per_atom", "energy MAE\n(meV/atom)"),
    ("energy_mae_mev_per_atom_offset_removed", "energy MAE,\noffset removed\n(meV/atom)"),
    ("force_mae_mev_per_ang_component", "force MAE by\ncomponent (meV/Å)"),
)


def lodo_bars(frame: pd.DataFrame) -> Figure:
    """Energy MAE, the same with offsets removed, and force MAE, for each held-out element.

    Args:
        frame: One row per task of one study; repeats and seeds are averaged. Whiskers are
            bootstrap 95 % intervals over the test structures, drawn where a bar is one task.
    """
    elements = sorted(frame["element"].unique())
    protocols = sorted(frame["protocol"].unique(), key=order)
    wide = len(elements) > _MOST_IN_SINGLE_COLUMN
    figure = Figure(figsize=(DOUBLE_COLUMN_IN if wide else SINGLE_COLUMN_IN, 4.6))
    panels = figure.subplots(len(_PANELS), 1, sharex=True)
    for axes, (metric, label) in zip(panels, _PANELS, strict=True):
        _bars(axes, frame, metric, elements, protocols)
        axes.set_ylabel(label)
    panels[-1].set_xticks(range(len(elements)), elements)
    panels[-1].set_xlabel("held-out element")
    panels[-1].set_xlim(-0.6, len(elements) - 0.4)
    handles = [
        Line2D([], [], marker="s", linestyle="", color=PROTOCOL_COLOURS[name], label=shown(name))
        for name in protocols
    ]
    handles.append(Line2D([], [], color="black", linewidth=1.2, label="linear baseline (raw)"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _bars(
    axes: Axes, frame: pd.DataFrame, metric: str, elements: list[str], protocols: list[str]
) -> None:
    width = _BAR_SPAN / len(protocols)
    size = 6.0 if len(elements) * len(protocols) <= _MOST_WITH_LARGE_VALUES else 5.0
    heights: list[float] = []
    for place, protocol in enumerate(protocols):
        for position, element in enumerate(elements):
            rows = frame[(frame["protocol"] == protocol) & (frame["element"] == element)]
            height = _mean(rows, metric)
            if height is None:
                continue
            middle = position + (place - (len(protocols) - 1) / 2) * width
            axes.bar(middle, height, 0.92 * width, color=PROTOCOL_COLOURS[protocol])
            top = _whisker(axes, rows, metric, middle, height)
            baseline = _mean(rows, _BASELINE)
            # It is a raw error, and belongs beside the raw one only.
            if metric == _PANELS[0][0] and baseline is not None:
                heights.append(baseline)
                edges = (middle - width / 2, middle + width / 2)
                axes.hlines(baseline, *edges, color="black", linewidth=1.2)
                top = max(top, baseline) if baseline < _CLOSE_ABOVE * top else top
            _value(axes, middle, top, height, size=size)
            heights.append(height)
    _scale(axes, heights)
    axes.tick_params(axis="x", length=0)


def _scale(axes: Axes, heights: list[float]) -> None:
    """A logarithmic axis where the values span more than what bars can show."""
    positive = [height for height in heights if height > 0]
    if positive and max(positive) / min(positive) > _LOGARITHMIC_ABOVE:
        axes.set_ylim(10 ** np.floor(np.log10(min(positive) * 0.8)), 4 * max(positive))
        logarithmic(axes)
    else:
        axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
    axes.grid(axis="y", linewidth=0.3, color="0.85")
    axes.set_axisbelow(True)


def _whisker(axes: Axes, rows: pd.DataFrame, metric: str, middle: float, height: float) -> float:
    """Draws the interval of a bar, and returns how high bar and interval reach."""
    if len(rows) != 1 or f"{metric}_low" not in rows or pd.isna(rows[f"{metric}_low"].iloc[0]):
        return height
    low, high = rows[f"{metric}_low"].iloc[0], rows[f"{metric}_high"].iloc[0]
    spans = [[max(height - low, 0.0)], [max(high - height, 0.0)]]
    axes.errorbar(middle, height, yerr=spans, color="0.2", linewidth=0.7, capsize=1.5)
    return max(height, float(high))


def _value(axes: Axes, middle: float, top: float, height: float, *, size: float) -> None:
    axes.annotate(
        number(height),
        (middle, top),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        fontsize=size,
    )


def _mean(rows: pd.DataFrame, metric: str) -> float | None:
    values = pd.to_numeric(rows[metric]).dropna() if metric in rows else pd.Series(dtype=float)
    return float(values.mean()) if len(values) else None

"""Bars of the errors by held-out element, strict against relaxed: the paper's Figure 5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mo_hpc.analysis import reference_values
from mo_hpc.analysis.settings import order, shown
from mo_hpc.analysis.style import (
    DOUBLE_COLUMN_IN,
    PROTOCOL_COLOURS,
    SINGLE_COLUMN_IN,
    logarithmic,
    number,
)

_MOST_IN_SINGLE_COLUMN = 6
_LEGEND_COLUMNS = 2
_PAPER_MARK: dict[str, Any] = {
    "marker": "D",
    "markersize": 3.2,
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "markeredgewidth": 0.7,
}
_LOGARITHMIC_ABOVE = 30.0
_BAR_SPAN = 0.8
_GAP_POINTS = 2.0
_MOST_WITH_LARGE_VALUES = 12
_BASELINE = "_linear_baseline"
_WITH_BASELINE = ("energy_mae_mev_per_atom", "energy_rmse_mev_per_atom")
"""Raw errors: the baseline is one, and belongs beside no other."""
_PANELS = (
    ("energy_mae_mev_per_atom", "energy MAE\n(meV/atom)"),
    ("energy_rmse_mev_per_atom", "energy RMSE\n(meV/atom)"),
    ("energy_mae_mev_per_atom_offset_removed", "energy MAE,\noffset removed\n(meV/atom)"),
    ("force_mae_mev_per_ang_component", "force MAE by\ncomponent (meV/Å)"),
)


@dataclass(frozen=True, slots=True)
class _Bar:
    """A bar, how high it and its interval reach, and half the thickness of marks beside it."""

    middle: float
    height: float
    top: float
    marks: dict[float, float]


def lodo_bars(frame: pd.DataFrame) -> Figure:
    """Energy MAE and RMSE, MAE with offsets removed, and force MAE, for each held-out element.

    Args:
        frame: One row per task of one study; repeats and seeds are averaged. Whiskers are
            bootstrap 95 % intervals over the test structures, drawn where a bar is one task.
            The paper's values are marked where the structures are those of its Table 2.
    """
    elements = sorted(frame["element"].unique())
    protocols = sorted(frame["protocol"].unique(), key=order)
    wide = len(elements) > _MOST_IN_SINGLE_COLUMN
    figure = Figure(figsize=(DOUBLE_COLUMN_IN if wide else SINGLE_COLUMN_IN, 6.0))
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
    if _is_of_table2(frame):
        dataset, size = (str(frame[name].iloc[0]) for name in ("dataset", "size"))
        heading = reference_values.table2_heading(dataset, size)
        handles.append(Line2D([], [], **_PAPER_MARK, linestyle="", label=heading))
    columns = len(handles) if wide else _LEGEND_COLUMNS
    figure.legend(handles=handles, loc="outside upper center", ncols=columns)
    return figure


def _bars(
    axes: Axes, frame: pd.DataFrame, metric: str, elements: list[str], protocols: list[str]
) -> None:
    width = _BAR_SPAN / len(protocols)
    bars = []
    for place, protocol in enumerate(protocols):
        for position, element in enumerate(elements):
            rows = frame[(frame["protocol"] == protocol) & (frame["element"] == element)]
            if (height := _mean(rows, metric)) is None:
                continue
            middle = position + (place - (len(protocols) - 1) / 2) * width
            axes.bar(middle, height, 0.92 * width, color=PROTOCOL_COLOURS[protocol])
            top = _whisker(axes, rows, metric, middle, height)
            marks = _marks(axes, rows, metric, middle, width)
            bars.append(_Bar(middle, height, top, marks))
    _scale(axes, [value for bar in bars for value in (bar.height, *bar.marks)])
    axes.tick_params(axis="x", length=0)
    size = 6.0 if len(bars) <= _MOST_WITH_LARGE_VALUES else 5.0
    for bar in bars:
        _value(axes, bar, size=size)


def _marks(
    axes: Axes, rows: pd.DataFrame, metric: str, middle: float, width: float
) -> dict[float, float]:
    """Draws the baseline and the paper's value; value → half its height on paper in points."""
    marks = {}
    baseline = _mean(rows, metric + _BASELINE) if metric in _WITH_BASELINE else None
    if baseline is not None:
        edges = (middle - width / 2, middle + width / 2)
        axes.hlines(baseline, *edges, color="black", linewidth=1.2)
        marks[baseline] = 0.6
    published = _published(rows, metric)
    if published is not None:
        axes.plot(middle, published, **_PAPER_MARK, zorder=3)
        marks[published] = _PAPER_MARK["markersize"] / 2 + 0.8
    return marks


def _is_of_table2(frame: pd.DataFrame) -> bool:
    """Whether these are fine-tuned models on the structures of the paper's Table 2."""
    structures = {reference_values.paper_set(str(name)) for name in frame["dataset"]}
    return structures == {reference_values.TABLE2_OF[0]} and set(frame["paradigm"]) == {"fine_tune"}


def _published(rows: pd.DataFrame, metric: str) -> float | None:
    """The paper's value of a fold, None where it has none."""
    if metric not in reference_values.PAPER_KEYS or not _is_of_table2(rows):
        return None
    element, protocol = (str(rows[name].iloc[0]) for name in ("element", "protocol"))
    return reference_values.table2_value(element, protocol, metric)


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


def _value(axes: Axes, bar: _Bar, *, size: float) -> None:
    """Writes the height of a bar above it, and above the marks that would run through it."""

    def points(value: float) -> float:
        return float(axes.transData.transform((bar.middle, value))[1]) * 72 / axes.figure.dpi

    anchor, gap = bar.top, _GAP_POINTS
    for mark, half in sorted(bar.marks.items()):
        foot = points(anchor) + gap
        if foot - half < points(mark) < foot + size + half:
            anchor, gap = mark, half + _GAP_POINTS
    axes.annotate(
        number(bar.height),
        (bar.middle, anchor),
        xytext=(0, gap),
        textcoords="offset points",
        ha="center",
        fontsize=size,
    )


def _mean(rows: pd.DataFrame, metric: str) -> float | None:
    values = pd.to_numeric(rows[metric]).dropna() if metric in rows else pd.Series(dtype=float)
    return float(values.mean()) if len(values) else None

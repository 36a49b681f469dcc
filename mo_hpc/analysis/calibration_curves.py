"""Calibration of committees: error against predicted spread, by fold and over all folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mo_hpc.analysis.committees import QUANTITIES, Committee
from mo_hpc.analysis.settings import ordered, shown
from mo_hpc.analysis.style import DOUBLE_COLUMN_IN, PROTOCOL_COLOURS, number, panel_text
from mo_hpc.metrics.committee import Uncertainty, calibration, pooled

_WIDE = 100
"""From this ratio of the largest to the smallest value on, ticks at powers of ten are enough."""


def calibration_curves(committees: Sequence[Committee]) -> Figure:
    """One panel for forces and one for energies: RMSE against spread in bins of equal number.

    Thin lines are folds, thick ones with dots all folds of a protocol pooled.
    """
    figure = Figure(figsize=(DOUBLE_COLUMN_IN, 3.4))
    panels = figure.subplots(1, len(QUANTITIES))
    protocols = ordered([str(each.fold["protocol"]) for each in committees])
    for axes, (quantity, unit) in zip(panels, QUANTITIES.items(), strict=True):
        axes.set_xscale("log")
        axes.set_yscale("log")
        for line, protocol in enumerate(protocols):
            of_protocol = [
                each.uncertainty[quantity]
                for each in committees
                if each.fold["protocol"] == protocol
            ]
            _draw(axes, of_protocol, PROTOCOL_COLOURS[protocol], line)
        _decorate(axes)
        axes.set_xlabel(f"{quantity}: spread of the committee ({unit})")
        axes.set_ylabel(f"RMSE of its mean ({unit})")
    handles = [
        Line2D([], [], marker="o", markersize=3, color=PROTOCOL_COLOURS[name], label=shown(name))
        for name in protocols
    ]
    handles.append(Line2D([], [], color="0.5", linestyle="--", label="calibrated"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _draw(axes: Axes, folds: Sequence[Uncertainty], colour: str, line: int) -> None:
    for fold in folds:
        _curve(axes, fold, color=colour, linewidth=0.5, alpha=0.5)
    whole = pooled(folds)
    _curve(axes, whole, color=colour, marker="o", markersize=3)
    known = [fold.rank_correlation for fold in folds if fold.rank_correlation is not None]
    median = number(float(np.median(known))) if known else "–"
    text = f"median ρ {median} over {len(known)} folds, n = {len(whole.error)}"
    panel_text(axes, text, colour=colour, lines_above=line)


def _curve(axes: Axes, values: Uncertainty, **look: object) -> None:
    bins = calibration(values)
    axes.plot([each.spread for each in bins], [each.rmse for each in bins], **look)  # type: ignore[arg-type]


def _decorate(axes: Axes) -> None:
    """The diagonal within what is drawn, equal decades, and plain numbers at the ticks."""
    low = min(axes.get_xlim()[0], axes.get_ylim()[0])
    high = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([low, high], [low, high], color="0.5", linewidth=0.6, linestyle="--", zorder=0)
    axes.set_xlim(low, high)
    # The correlations stand above the curves, in room that no point reaches.
    axes.set_ylim(low, 2 * high)
    axes.grid(linewidth=0.3, color="0.9")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < _WIDE * low else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())

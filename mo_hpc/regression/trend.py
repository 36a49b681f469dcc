"""The trend of a metric over the nights: a panel for each cell, with its tolerance band."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mo_hpc.core.files import write_atomic
from mo_hpc.regression.compare import Comparison, is_out
from mo_hpc.regression.folder import NightlyFolder
from mo_hpc.regression.history import Night, value_of
from mo_hpc.regression.reference import MetricReference, Reference
from mo_hpc.regression.tolerance import unit_of

_ALWAYS = (
    "energy_mae_mev_per_atom",
    "energy_mae_mev_per_atom_offset_removed",
    "force_mae_mev_per_ang_component",
)
_MOST_NIGHTS = 60
_MOST_TICKS = 6
_COLUMNS = 3
_PANEL_IN = (2.6, 1.8)
# Okabe and Ito's palette, which people with any colour vision can tell apart.
_BLUE, _VERMILLION, _GREEN = "#0072B2", "#D55E00", "#009E73"
_STYLE: dict[Any, Any] = {
    "font.size": 7,
    "axes.titlesize": 7,
    "figure.constrained_layout.use": True,
}


def write_trends(
    folder: NightlyFolder,
    nights: Sequence[Night],
    reference: Reference | None,
    comparison: Comparison | None,
) -> list[Path]:
    """Draws the main errors, whatever moved in the last night, and the throughput.

    Args:
        folder: Where the figures go.
        nights: The history, oldest first; the last of them are drawn.
        reference: Gives the bands; None before anything was accepted.
        comparison: Of the last night.

    Returns:
        The PNG files.
    """
    shown = list(nights[-_MOST_NIGHTS:])
    moves = (*comparison.regressions, *comparison.improvements) if comparison else ()
    metrics = dict.fromkeys((*_ALWAYS, *(move.metric for move in moves)))
    drawn = {metric: cells for metric in metrics if (cells := _cells(shown, metric))}
    paths = []
    with mpl.rc_context(_STYLE):
        for metric, cells in drawn.items():
            figure = _metric_figure(metric, cells, shown, reference)
            paths.append(_write(figure, folder.figures / f"{metric}.png"))
        paths.append(_write(_throughput_figure(shown), folder.figures / "throughput.png"))
    return paths


def _cells(nights: Iterable[Night], metric: str) -> list[str]:
    found = {cell for night in nights for cell in night.cells}
    return sorted(
        cell for cell in found if any(value_of(night, cell, metric) is not None for night in nights)
    )


def _metric_figure(
    metric: str, cells: Sequence[str], nights: Sequence[Night], reference: Reference | None
) -> Figure:
    rows, columns = math.ceil(len(cells) / _COLUMNS), min(_COLUMNS, len(cells))
    figure = Figure(figsize=(_PANEL_IN[0] * columns, _PANEL_IN[1] * rows + 0.5))
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes, cell in zip(panels.flat, cells, strict=False):
        known = reference.cells.get(cell) if reference else None
        _panel(axes, metric, cell, nights, known.metrics.get(metric) if known else None)
    for axes in panels.flat[len(cells) :]:
        axes.set_visible(False)
    figure.suptitle(f"{metric}, mean over seeds; band: reference ± tolerance", fontsize=8)
    figure.supylabel(unit_of(metric) or "number", fontsize=8)
    figure.supxlabel("night and commit", fontsize=8)
    return figure


def _panel(
    axes: Axes,
    metric: str,
    cell: str,
    nights: Sequence[Night],
    expected: MetricReference | None,
) -> None:
    values = [value_of(night, cell, metric) for night in nights]
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    places, heights = [place for place, _ in known], [value for _, value in known]
    axes.plot(places, heights, color=_BLUE, marker="o", markersize=3, linewidth=0.8)
    if expected is not None:
        low, high = expected.value - expected.tolerance, expected.value + expected.tolerance
        axes.axhspan(low, high, color=_GREEN, alpha=0.2, linewidth=0)
        axes.axhline(expected.value, color=_GREEN, linewidth=0.8)
        out = [(place, value) for place, value in known if is_out(value, expected)]
        axes.plot(
            [place for place, _ in out],
            [value for _, value in out],
            color=_VERMILLION,
            marker="s",
            markersize=4,
            linestyle="",
        )
    axes.set_title(cell)
    _night_axis(axes, nights)


def _throughput_figure(nights: Sequence[Night]) -> Figure:
    figure = Figure(figsize=(2 * _PANEL_IN[0], 2 * _PANEL_IN[1]))
    above, below = figure.subplots(2, 1, sharex=True)
    places = range(len(nights))
    rates = [night.throughput.train_frames_per_s for night in nights]
    above.plot(
        places,
        [float("nan") if rate is None else rate for rate in rates],
        color=_BLUE,
        marker="o",
        markersize=3,
    )
    above.set_ylabel("training\n(structures/s)")
    walls = [night.throughput.wall_time_s for night in nights]
    below.plot(places, walls, color=_BLUE, marker="o", markersize=3)
    below.set_ylabel("wall time of\nthe night (s)")
    for axes in (above, below):
        axes.set_ylim(bottom=0)
    _night_axis(below, nights)
    return figure


def _night_axis(axes: Axes, nights: Sequence[Night]) -> None:
    step = max(1, math.ceil(len(nights) / _MOST_TICKS))
    # Counted from the last night, which is the one that people look for.
    places = list(range(len(nights) - 1, -1, -step))[::-1]
    labels = [f"{nights[place].night[:10]} {nights[place].origin.short_commit}" for place in places]
    axes.set_xticks(places, labels, rotation=30, ha="right", fontsize=5)
    axes.set_xlim(-0.5, len(nights) - 0.5)


def _write(figure: Figure, path: Path) -> Path:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    write_atomic(path, buffer.getvalue())
    return path

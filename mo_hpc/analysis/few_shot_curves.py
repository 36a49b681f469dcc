"""Few-shot curves: errors on new elements against the number of their structures in training."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from mo_hpc.analysis.settings import SELECTION, SHOTS, ordered
from mo_hpc.analysis.style import (
    ELEMENT_COLOURS,
    SELECTION_COLOURS,
    SINGLE_COLUMN_IN,
    logarithmic,
)

_BASELINE = "energy_mae_mev_per_atom_linear_baseline"
_PANELS = (
    ("energy_mae_mev_per_atom", "energy MAE\n(meV/atom)"),
    ("energy_mae_mev_per_atom_offset_removed", "energy MAE,\noffset removed\n(meV/atom)"),
    ("force_mae_mev_per_ang_component", "force MAE by\ncomponent (meV/Å)"),
)


def few_shot_curves(
    trained: pd.DataFrame, zero_shot: pd.DataFrame, thresholds: Mapping[str, float]
) -> Figure:
    """One panel for each error, one line for each element.

    Args:
        trained: One row per task of one study that is done; dots are tasks, the line joins
            their means, and whiskers are sample standard deviations over choices and seeds.
        zero_shot: The same foundation untrained, drawn as a dashed level.
        thresholds: Metric → level drawn across its panel.
    """
    elements = sorted(trained["element"].unique())
    colours = {
        name: ELEMENT_COLOURS[place % len(ELEMENT_COLOURS)] for place, name in enumerate(elements)
    }
    figure = Figure(figsize=(SINGLE_COLUMN_IN, 5.2))
    panels = figure.subplots(len(_PANELS), 1, sharex=True)
    for axes, (metric, label) in zip(panels, _PANELS, strict=True):
        for element, colour in colours.items():
            _draw(axes, trained[trained["element"] == element], metric, colour)
            _level(axes, zero_shot[zero_shot["element"] == element], metric, colour)
            # It is a raw error, and belongs beside the raw one only.
            if metric == _PANELS[0][0]:
                _baseline(axes, trained[trained["element"] == element], colour)
        axes.set_ylabel(label)
        _finish(axes, metric, thresholds)
    _number_structures(panels[-1], trained)
    _explain(figure, colours, zero_shot, thresholds, most=4)
    return figure


def few_shot_selections(
    trained: pd.DataFrame, zero_shot: pd.DataFrame, thresholds: Mapping[str, float]
) -> Figure:
    """A column of panels for each element, one line for each way to choose its structures.

    Args:
        trained: As for `few_shot_curves`; shading reaches from the best to the worst task.
        zero_shot: The same foundation untrained, drawn as a dashed level.
        thresholds: Metric → level drawn across its panel.
    """
    elements = sorted(trained["element"].unique())
    colours = {name: SELECTION_COLOURS[name] for name in ordered(list(trained[SELECTION]))}
    width = 1.0 + (SINGLE_COLUMN_IN - 1.0) * len(elements)
    figure = Figure(figsize=(width, 5.2))
    grid = figure.subplots(len(_PANELS), len(elements), sharex=True, sharey="row", squeeze=False)
    for row, (metric, label) in zip(grid, _PANELS, strict=True):
        for axes, element in zip(row, elements, strict=True):
            rows = trained[trained["element"] == element]
            for selection, colour in colours.items():
                _draw(axes, rows[rows[SELECTION] == selection], metric, colour)
                _shade(axes, rows[rows[SELECTION] == selection], metric, colour)
                if metric == _PANELS[0][0]:
                    _baseline(axes, rows[rows[SELECTION] == selection], colour)
            _level(axes, zero_shot[zero_shot["element"] == element], metric, "0.3")
            _finish(axes, metric, thresholds)
        row[0].set_ylabel(label)
    for top, bottom, element in zip(grid[0], grid[-1], elements, strict=True):
        top.set_title(element)
        _number_structures(bottom, trained)
    _explain(figure, colours, zero_shot, thresholds, most=len(_PANELS))
    return figure


def _finish(axes: Axes, metric: str, thresholds: Mapping[str, float]) -> None:
    axes.grid(linewidth=0.3, color="0.9")
    if metric in thresholds:
        axes.axhline(thresholds[metric], color="0.3", linewidth=0.8, linestyle=":")
    logarithmic(axes)


def _number_structures(axes: Axes, trained: pd.DataFrame) -> None:
    numbers = sorted({int(shots) for shots in trained[SHOTS]})
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    axes.set_xticks(numbers, [str(shots) for shots in numbers])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(-0.3, 1.4 * max([1, *numbers]))
    axes.set_xlabel("structures of the element in training")


def _explain(
    figure: Figure,
    colours: Mapping[str, str],
    zero_shot: pd.DataFrame,
    thresholds: Mapping[str, float],
    *,
    most: int,
) -> None:
    handles = [
        Line2D([], [], marker="o", markersize=3, color=c, label=e) for e, c in colours.items()
    ]
    handles.append(Line2D([], [], color="0.3", linestyle="-.", label="linear baseline (raw)"))
    if len(zero_shot):
        handles.append(Line2D([], [], color="0.3", linestyle="--", label="zero-shot"))
    if thresholds:
        handles.append(Line2D([], [], color="0.3", linestyle=":", label="threshold"))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), most))


def _shade(axes: Axes, rows: pd.DataFrame, metric: str, colour: str) -> None:
    values = pd.to_numeric(rows[metric]).groupby(rows[SHOTS].astype(int))
    low, high = values.min(), values.max()
    axes.fill_between(
        low.index.to_numpy(), low.to_numpy(), high.to_numpy(), color=colour, alpha=0.12, linewidth=0
    )


def _draw(axes: Axes, rows: pd.DataFrame, metric: str, colour: str) -> None:
    known = rows.assign(value=pd.to_numeric(rows[metric])).dropna(subset="value")
    shots = known[SHOTS].astype(int)
    axes.plot(shots, known["value"], "o", color=colour, markersize=2, alpha=0.4)
    by_shots = known["value"].groupby(shots)
    mean, spread = by_shots.mean(), by_shots.std(ddof=1)
    axes.errorbar(
        mean.index.to_numpy(),
        mean.to_numpy(),
        yerr=spread.fillna(0.0).to_numpy(),
        color=colour,
        marker="o",
        markersize=3,
        capsize=1.5,
        elinewidth=0.7,
    )


def _level(axes: Axes, rows: pd.DataFrame, metric: str, colour: str) -> None:
    values = pd.to_numeric(rows[metric]).dropna() if metric in rows else pd.Series(dtype=float)
    if len(values):
        axes.axhline(float(values.mean()), color=colour, linewidth=0.8, linestyle="--")


def _baseline(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    """The mean error of the linear baseline, from where training gives the element an energy."""
    covered = rows[rows["n_frames_uncovered_by_train"] == 0]
    levels = pd.to_numeric(covered[_BASELINE]).groupby(covered[SHOTS].astype(int)).mean()
    axes.plot(
        levels.index.to_numpy(), levels.to_numpy(), color=colour, linewidth=0.8, linestyle="-."
    )

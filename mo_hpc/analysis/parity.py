"""Parity figures: predicted against reference forces and energies of the test frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from mo_hpc.analysis.settings import shown
from mo_hpc.analysis.style import (
    DOUBLE_COLUMN_IN,
    PROTOCOL_COLOURS,
    PROTOCOL_MARKERS,
    number,
    panel_text,
)
from mo_hpc.metrics.energies import MEV_PER_EV, mean_absolute, root_mean_square
from mo_hpc.metrics.predictions import Predictions

_MOST_PANELS_IN_A_ROW = 3
_HEXAGONS_ACROSS = 60
_ROOM_FOR_ERRORS = 0.32


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """The test frames of one held-out element, over all repeats and seeds."""

    protocol: str
    element: str
    predictions: tuple[Predictions, ...]
    offset_removed_mae_mev_per_atom: float | None


def force_parity(rows: Sequence[tuple[str, Sequence[Predictions]]]) -> Figure:
    """Force components x, y, z in columns, one row for each named set of predictions."""
    figure = Figure(figsize=(DOUBLE_COLUMN_IN, 0.5 + 1.97 * len(rows)))
    grid = figure.subplots(len(rows), 3, squeeze=False, sharex=True, sharey=True)
    largest = max(
        (np.abs(forces).max() for _, each in rows for forces in _all_forces(each) if forces.size),
        default=1.0,
    )
    limit = 1.05 * float(largest)
    drawn: list[PolyCollection] = []
    for row, (name, predictions) in enumerate(rows):
        reference, predicted = _all_forces(predictions)
        for component, label in enumerate("xyz"):
            axes = grid[row, component]
            drawn.append(
                _force_panel(axes, reference[:, component], predicted[:, component], limit)
            )
            if row == 0:
                axes.set_title(f"$F_{label}$")
            if row == len(rows) - 1:
                axes.set_xlabel(f"reference $F_{label}$ (eV/Å)")
        grid[row, 0].set_ylabel(f"{name}\npredicted force (eV/Å)")
    _share_colours(figure, grid, drawn)
    return figure


def energy_parity(folds: Sequence[Fold]) -> Figure:
    """Energies per atom, one panel for each held-out element, protocols by colour."""
    elements = sorted({fold.element for fold in folds})
    n_columns = min(len(elements), _MOST_PANELS_IN_A_ROW)
    n_rows = -(-len(elements) // n_columns)
    side = DOUBLE_COLUMN_IN / _MOST_PANELS_IN_A_ROW
    figure = Figure(figsize=(side * n_columns, 0.45 + side * n_rows))
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes, element in zip(grid.flat, elements, strict=False):
        _energy_panel(axes, element, [fold for fold in folds if fold.element == element])
    for axes in grid.flat[len(elements) :]:
        axes.set_visible(False)
    figure.supxlabel("reference energy (eV/atom)", fontsize=8)
    figure.supylabel("predicted energy (eV/atom)", fontsize=8)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    # Tables average over tasks; the RMSE of all their frames is another number.
    pooled = any(len(fold.predictions) > 1 for fold in folds)
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=len(labels),
        title="errors in meV/atom" + (", MAE and RMSE pooled over tasks" if pooled else ""),
        title_fontsize=7,
    )
    return figure


def _all_forces(
    predictions: Sequence[Predictions],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reference and predicted forces of several sets in eV/Å, each of shape (n_atoms, 3)."""
    if not predictions:
        return np.zeros((0, 3)), np.zeros((0, 3))
    return (
        np.concatenate([each.forces_ref_ev_per_ang for each in predictions]),
        np.concatenate([each.forces_pred_ev_per_ang for each in predictions]),
    )


def _force_panel(
    axes: Axes, reference: NDArray[np.float64], predicted: NDArray[np.float64], limit: float
) -> PolyCollection:
    axes.plot([-limit, limit], [-limit, limit], color="0.5", linewidth=0.6, zorder=0)
    drawn = axes.hexbin(
        reference,
        predicted,
        gridsize=_HEXAGONS_ACROSS,
        extent=(-limit, limit, -limit, limit),
        mincnt=1,
        cmap="viridis",
        linewidths=0.1,
    )
    errors = MEV_PER_EV * (predicted - reference)
    panel_text(
        axes,
        f"MAE {number(mean_absolute(errors))} meV/Å\n"
        f"RMSE {number(root_mean_square(errors))} meV/Å\n{len(errors)} atoms",
    )
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-limit, limit)
    axes.set_aspect("equal")
    axes.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, symmetric=True))
    return drawn


def _share_colours(
    figure: Figure, grid: NDArray[np.object_], drawn: Sequence[PolyCollection]
) -> None:
    """One logarithmic colour scale for all panels, so that their densities compare."""
    counts = [panel.get_array() for panel in drawn]
    most = max(
        (float(np.max(each)) for each in counts if each is not None and each.size), default=1
    )
    scale = LogNorm(vmin=1, vmax=max(most, 2))
    for panel in drawn:
        panel.set_norm(scale)
    bar = figure.colorbar(drawn[0], ax=grid.ravel().tolist(), pad=0.01, aspect=18 * len(grid))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    bar.set_label("atoms per bin")


def _energy_panel(axes: Axes, element: str, folds: Sequence[Fold]) -> None:
    values: list[float] = []
    for place, fold in enumerate(folds):
        reference = _per_atom(fold.predictions, "energy_ref_ev")
        predicted = _per_atom(fold.predictions, "energy_pred_ev")
        colour = PROTOCOL_COLOURS[fold.protocol]
        axes.plot(
            reference,
            predicted,
            PROTOCOL_MARKERS[fold.protocol],
            color=colour,
            markersize=2.8,
            markeredgewidth=0.3,
            markeredgecolor="white",
            label=shown(fold.protocol),
        )
        values.extend([*reference, *predicted])
        errors = MEV_PER_EV * (predicted - reference)
        n_tasks = len(fold.predictions)
        of_tasks = f", {n_tasks} tasks" if n_tasks > 1 else ""
        text = (
            f"MAE {number(mean_absolute(errors))}, RMSE {number(root_mean_square(errors))}, "
            f"n = {len(errors)}\n"
            f"offset removed {number(fold.offset_removed_mae_mev_per_atom)}{of_tasks}"
        )
        panel_text(axes, text, colour=colour, lines_above=2 * place)
    low, high = min(values), max(values)
    span = (high - low) or 0.01
    # The errors stand above the diagonal, in room that no point reaches.
    limits = (low - 0.06 * span, high + _ROOM_FOR_ERRORS * len(folds) * span)
    axes.plot(limits, limits, color="0.5", linewidth=0.6, zorder=0)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_aspect("equal")
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_title(f"{element} held out")


def _per_atom(predictions: Sequence[Predictions], name: str) -> NDArray[np.float64]:
    return np.concatenate([getattr(each, name) / each.n_atoms for each in predictions])

"""Learning curves: validation errors by epoch, from the tasks' progress files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mo_hpc.analysis.settings import ordered, shown
from mo_hpc.analysis.style import DOUBLE_COLUMN_IN, PROTOCOL_COLOURS, SINGLE_COLUMN_IN, logarithmic

_QUANTITIES = (
    ("valid_energy_mae_mev_per_atom", "validation\nenergy MAE (meV/atom)"),
    ("valid_force_mae_mev_per_ang_component", "validation force MAE\nby component (meV/Å)"),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """The progress of one task.

    Attributes:
        panel: Name of the panel it belongs to, such as its paradigm.
        protocol: How its frames were divided, which gives the colour.
        epochs: The lines of ``progress.jsonl``.
        best_epoch: The epoch whose model was evaluated.
    """

    panel: str
    protocol: str
    epochs: Sequence[Mapping[str, Any]]
    best_epoch: int


def learning_curves(curves: Sequence[Curve]) -> Figure:
    """One column for each panel name; a dot marks the epoch whose model was kept."""
    panels = ordered([curve.panel for curve in curves])
    width = SINGLE_COLUMN_IN if len(panels) == 1 else DOUBLE_COLUMN_IN
    figure = Figure(figsize=(width, 4.0))
    grid = figure.subplots(len(_QUANTITIES), len(panels), squeeze=False, sharex="col", sharey="row")
    for row, (quantity, label) in enumerate(_QUANTITIES):
        grid[row, 0].set_ylabel(label)
        for column, panel in enumerate(panels):
            axes = grid[row, column]
            axes.grid(linewidth=0.3, color="0.9")
            for curve in curves:
                if curve.panel == panel:
                    _draw(axes, curve, quantity)
        logarithmic(grid[row, 0])
    for column, panel in enumerate(panels):
        n_tasks = sum(curve.panel == panel for curve in curves)
        grid[0, column].set_title(f"{shown(panel)} (n={n_tasks})")
        grid[-1, column].set_xlabel("epoch")
        grid[-1, column].xaxis.set_major_locator(MaxNLocator(integer=True))
    handles = [
        Line2D([], [], color=PROTOCOL_COLOURS[name], label=shown(name))
        for name in ordered([curve.protocol for curve in curves])
    ]
    handles.append(
        Line2D([], [], marker="o", linestyle="", markersize=3, color="0.3", label="model kept")
    )
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _draw(axes: Any, curve: Curve, quantity: str) -> None:
    points = [
        (line["epoch"], line[quantity]) for line in curve.epochs if line.get(quantity) is not None
    ]
    if not points:
        return
    colour = PROTOCOL_COLOURS[curve.protocol]
    axes.plot(*zip(*points, strict=True), color=colour, linewidth=0.8, alpha=0.8)
    kept = [(epoch, value) for epoch, value in points if epoch == curve.best_epoch]
    if kept:
        axes.plot(*kept[-1], "o", color=colour, markersize=3)

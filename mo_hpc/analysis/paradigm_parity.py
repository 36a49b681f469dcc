"""Energy parity of random splits, a panel for each paradigm and size: the paper's Figure 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mo_hpc.analysis.records import NONE
from mo_hpc.analysis.settings import shown
from mo_hpc.analysis.style import BLUE, DOUBLE_COLUMN_IN, GREEN, VERMILLION, number, panel_text
from mo_hpc.metrics.energies import MEV_PER_EV, mean_absolute, root_mean_square
from mo_hpc.metrics.predictions import Predictions

_COLUMNS = 3
_ROOM_FOR_ERRORS = 0.34
_HOSTS = (("bcc", "o", BLUE), ("fcc", "^", VERMILLION))
_OTHER_HOST = ("s", GREEN)


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """The test frames of one task, which stands for others like it.

    Attributes:
        paradigm: As the paradigm's setting has it.
        policy: Where its reference energies are from, ``-`` where it has no policy.
        size: Name of the model size, ``-`` where it has none.
        predictions: Of the test frames.
        repeat: Which random split it is.
        n_alike: Tasks that it stands for, itself among them.
    """

    paradigm: str
    policy: str
    size: str
    predictions: Predictions
    repeat: int
    n_alike: int


def paradigm_parity(panels: Sequence[Panel]) -> Figure:
    """Paradigms in rows and sizes in columns; of one size, paradigms side by side.

    Panels of a paradigm share their limits, so that sizes compare; those of another paradigm
    would hide an offset that is small beside its own.
    """
    paradigms = list(dict.fromkeys(panel.paradigm for panel in panels))
    sizes = list(dict.fromkeys(panel.size for panel in panels))
    in_rows = len(sizes) > 1
    shape = (len(paradigms), len(sizes)) if in_rows else (1, len(paradigms))
    side = DOUBLE_COLUMN_IN / max(_COLUMNS, shape[1])
    figure = Figure(figsize=(side * shape[1], 0.55 + 0.97 * side * shape[0]))
    grid = figure.subplots(*shape, squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    for panel in panels:
        across, down = sizes.index(panel.size), paradigms.index(panel.paradigm)
        axes = grid[down, across] if in_rows else grid[0, down]
        alike = [each for each in panels if each.paradigm == panel.paradigm]
        axes.set_visible(True)
        _panel(axes, panel, _limits(alike))
        axes.set_title(_title(panel, panels, with_size=in_rows))
    figure.supxlabel("reference energy (eV/atom)", fontsize=8)
    figure.supylabel("predicted energy (eV/atom)", fontsize=8)
    _legend(figure)
    return figure


def _title(panel: Panel, panels: Sequence[Panel], *, with_size: bool) -> str:
    """Paradigm and size; the policy too, where the panels do not share one."""
    policies = {each.policy for each in panels} - {NONE}
    named = len(policies) > 1 and panel.policy != NONE
    paradigm = shown(panel.paradigm) + (f" (E0 {panel.policy})" if named else "")
    # Policy and size together are wider than a panel.
    between = "\n" if len(policies) > 1 else ", "
    return f"{paradigm}{between}{panel.size}" if with_size else paradigm


def _panel(axes: Axes, panel: Panel, limits: tuple[float, float]) -> None:
    axes.plot(limits, limits, color="0.5", linewidth=0.6, zorder=0)
    reference, predicted = _energies(panel.predictions)
    hosts = panel.predictions.host
    known = [(name, marker, colour) for name, marker, colour in _HOSTS if name in hosts]
    others = sorted(set(hosts) - {name for name, _, _ in _HOSTS})
    for name, marker, colour in [*known, *((str(each), *_OTHER_HOST) for each in others)]:
        axes.plot(
            reference[hosts == name],
            predicted[hosts == name],
            marker,
            color=colour,
            markersize=2.8,
            markeredgewidth=0.3,
            markeredgecolor="white",
            label="no host crystal" if name == "-" else name.upper(),
        )
    errors = MEV_PER_EV * (predicted - reference)
    which = f", repeat {panel.repeat} (of {panel.n_alike})" if panel.n_alike > 1 else ""
    panel_text(
        axes,
        f"MAE {number(mean_absolute(errors))}, RMSE {number(root_mean_square(errors))}\n"
        f"n = {len(errors)}{which}",
    )
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_aspect("equal")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(4))


def _limits(panels: Sequence[Panel]) -> tuple[float, float]:
    """From the lowest energy to room above the highest, in which the errors stand."""
    values = np.concatenate([each for panel in panels for each in _energies(panel.predictions)])
    low, high = float(values.min()), float(values.max())
    span = (high - low) or 0.01
    return low - 0.06 * span, high + _ROOM_FOR_ERRORS * span


def _energies(predictions: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reference and predicted energies in eV/atom, each of shape (n_frames,)."""
    return (
        predictions.energy_ref_ev / predictions.n_atoms,
        predictions.energy_pred_ev / predictions.n_atoms,
    )


def _legend(figure: Figure) -> None:
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside upper center",
        ncols=len(handles),
        title="errors in meV/atom",
        title_fontsize=7,
    )

"""Energy parity of elements that a model never saw, a panel for each variant: Figure 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mo_hpc.analysis.style import DOUBLE_COLUMN_IN, ELEMENT_COLOURS, number, panel_text
from mo_hpc.core.elements import ATOMIC_NUMBERS
from mo_hpc.metrics.energies import MEV_PER_EV, mean_absolute, root_mean_square
from mo_hpc.metrics.predictions import Predictions

_COLUMNS = 3
_MARKERS = ("o", "^", "s", "D")
_KNOWN = "known elements only"
_ROOM_FOR_A_LINE = 0.11


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """The test frames of one way to give a model new elements.

    Attributes:
        title: What the way is, in one or two lines.
        predictions: Of the test frames.
        elements: The new elements.
        remark: Further lines below the errors, such as the paper's; empty for none.
    """

    title: str
    predictions: Predictions
    elements: tuple[str, ...]
    remark: str = ""


def new_element_parity(variants: Sequence[Variant]) -> Figure:
    """One panel for each variant; colour and marker name the new element of a frame."""
    elements = sorted({element for variant in variants for element in variant.elements})
    n_columns = min(len(variants), _COLUMNS)
    n_rows = -(-len(variants) // n_columns)
    side = DOUBLE_COLUMN_IN / _COLUMNS
    figure = Figure(figsize=(side * max(n_columns, 2), 0.7 + 1.04 * side * n_rows))
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes, variant in zip(grid.flat, variants, strict=False):
        _panel(axes, variant, elements)
    for axes in grid.flat[len(variants) :]:
        axes.set_visible(False)
    figure.supxlabel("reference energy (eV/atom)", fontsize=8)
    figure.supylabel("predicted energy (eV/atom)", fontsize=8)
    names = list(elements)
    if any((_new_elements(each) == "").any() for each in variants):
        names.append("")
    handles = [
        Line2D([], [], linestyle="", label=name or _KNOWN, markersize=3.5, **_mark(name, elements))
        for name in names
    ]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=-(-len(handles) // (1 if n_columns == _COLUMNS else 2)),
        title="errors in meV/atom",
        title_fontsize=7,
        columnspacing=1.0,
        handletextpad=0.2,
    )
    return figure


def _mark(name: str, elements: Sequence[str]) -> dict[str, Any]:
    """Colour and marker of an element; those of frames without a new one recede."""
    if not name:
        return {"color": "0.75", "marker": "."}
    place = elements.index(name)
    return {
        "color": ELEMENT_COLOURS[place % len(ELEMENT_COLOURS)],
        "marker": _MARKERS[place // len(ELEMENT_COLOURS) % len(_MARKERS)],
    }


def _panel(axes: Axes, variant: Variant, elements: Sequence[str]) -> None:
    of_frame = _new_elements(variant)
    n_atoms = variant.predictions.n_atoms
    reference = variant.predictions.energy_ref_ev / n_atoms
    predicted = variant.predictions.energy_pred_ev / n_atoms
    for name in sorted(set(of_frame)):
        axes.plot(
            reference[of_frame == name],
            predicted[of_frame == name],
            linestyle="",
            markersize=3.0,
            markeredgewidth=0.3,
            markeredgecolor="white",
            **_mark(name, elements),
        )
    errors = MEV_PER_EV * (predicted - reference)
    mae, rmse = number(mean_absolute(errors)), number(root_mean_square(errors))
    lines = [f"MAE {mae}, RMSE {rmse}, n = {len(errors)}", *variant.remark.splitlines()]
    panel_text(axes, "\n".join(lines))
    both = np.concatenate([reference, predicted])
    low, high = float(both.min()), float(both.max())
    span = (high - low) or 0.01
    limits = (low - 0.06 * span, high + (0.06 + _ROOM_FOR_A_LINE * len(lines)) * span)
    axes.plot(limits, limits, color="0.5", linewidth=0.6, zorder=0)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_aspect("equal")
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.set_title(variant.title)


def _new_elements(variant: Variant) -> NDArray[np.str_]:
    """The first new element of each frame, empty where it has none, shape (n_frames,)."""
    ends = np.cumsum(variant.predictions.n_atoms)[:-1]
    found = []
    for numbers in np.split(variant.predictions.numbers, ends):
        present = set(numbers.tolist())
        new = [name for name in sorted(variant.elements) if ATOMIC_NUMBERS[name] in present]
        found.append(new[0] if new else "")
    return np.array(found)

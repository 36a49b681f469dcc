"""How figures look and how they are written: the same bytes for the same data."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mo_hpc.core.files import write_atomic

SINGLE_COLUMN_IN = 3.4
DOUBLE_COLUMN_IN = 7.0

# Okabe and Ito's palette, which people with any colour vision can tell apart.
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ELEMENT_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, "#E69F00", "#56B4E9")
SELECTION_COLOURS = {"random": "#000000", "descriptor": BLUE, "committee": VERMILLION}
PROTOCOL_COLOURS = {
    "lodo_strict": VERMILLION,
    "lodo_relaxed": BLUE,
    "iid": GREEN,
    "few_shot": PURPLE,
    "new_elements": VERMILLION,
    "new_only": BLUE,
    "joint": GREEN,
}
PROTOCOL_MARKERS = {
    "lodo_strict": "o",
    "lodo_relaxed": "^",
    "iid": "s",
    "few_shot": "D",
    "new_elements": "o",
    "new_only": "^",
    "joint": "s",
}

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "lines.linewidth": 1.0,
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
    "figure.constrained_layout.use": True,
    "axes.formatter.useoffset": False,
}
_ERROR_TEXT_POINTS = 6.5
_LINE_SPACING = 1.25
_LINE_STEP_POINTS = 9.4
_SCIENTIFIC_BELOW = 1e-3


@contextmanager
def publication_style() -> Iterator[None]:
    """Sizes and lines for print, without touching the caller's settings."""
    with mpl.rc_context(_STYLE):
        yield


def write_figure(figure: Figure, folder: Path, name: str) -> None:
    """Writes ``name.pdf`` and ``name.png`` without dates and versions inside."""
    metadata: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
        "png": {"Software": None},
    }
    for path in figure_paths(folder, name):
        ending = path.suffix.removeprefix(".")
        buffer = io.BytesIO()
        figure.savefig(buffer, format=ending, metadata=metadata[ending])
        # The layout is the same for both and costs as much as the drawing.
        figure.set_layout_engine("none")
        write_atomic(path, buffer.getvalue())


def figure_paths(folder: Path, name: str) -> tuple[Path, Path]:
    """Where the files of a figure lie, print first."""
    return folder / f"{name}.pdf", folder / f"{name}.png"


def panel_text(axes: Axes, text: str, *, colour: str = "black", lines_above: int = 0) -> None:
    """Writes errors and counts into the upper left corner of a panel.

    Args:
        axes: The panel.
        text: One or more lines.
        colour: Of the text.
        lines_above: Lines that stand above it already.
    """
    axes.annotate(
        text,
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(4, -4 - lines_above * _LINE_STEP_POINTS),
        textcoords="offset points",
        fontsize=_ERROR_TEXT_POINTS,
        color=colour,
        ha="left",
        va="top",
        linespacing=_LINE_SPACING,
    )


def logarithmic(axes: Axes) -> None:
    """A logarithmic vertical axis whose ticks read as plain numbers."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def number(value: float | None) -> str:
    """An error to three significant digits, as errors are quoted; whole from 100 on."""
    if value is None:
        return "–"
    if 0 < abs(value) < _SCIENTIFIC_BELOW:
        return f"{value:.2e}"
    # Rounding may add a digit, such as from 99.96 to 100.
    rounded = abs(float(f"{value:.2e}"))
    exponent = math.floor(math.log10(rounded)) if rounded else 0
    return f"{value:.{max(0, 2 - exponent)}f}"

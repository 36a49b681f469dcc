"""The published numbers that tables stand beside, shipped as CSV with their source.

Source: Fang et al., Materials 2026, 19(9), 1715, Tables 1 and 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import cast

import pandas as pd

PAPER_KEYS = {
    "energy_mae_mev_per_atom": "energy_mae",
    "energy_rmse_mev_per_atom": "energy_rmse",
    "force_mae_mev_per_ang_component": "force_mae",
    "force_rmse_mev_per_ang_component": "force_rmse",
}
"""Metric → column of the published tables. Their force errors are of the size of the
component form, although the text defines the vector form."""

_SETS = {
    "mo420": "Eq",
    "mo420_replica": "Eq",
    "mo6970": "NonEq",
    "mo6970_replica": "NonEq",
}
"""Dataset → the paper's name of the set of structures that it has."""
_PAPER_LABELS = ("mo420", "mo6970")
_TABLE2_OF = ("mo420", "medium")


def table1_heading(datasets: Iterable[str]) -> str:
    """What the column of Table 1 is called beside results on these datasets.

    Args:
        datasets: Those that have a row in the paper's table.
    """
    names = set(datasets)
    others = sorted(names.difference(_PAPER_LABELS))
    if not others:
        return "paper"
    return "paper, other labels" + ("" if len(others) == len(names) else f" ({', '.join(others)})")


def table2_heading(dataset: str, size: str) -> str:
    """What the column of Table 2 is called beside results of a dataset and model size.

    The paper has this table of its equilibrium set and the medium model alone, and the name
    says in what the results beside it differ.
    """
    if (dataset, size) == _TABLE2_OF:
        return "paper"
    name = dataset.partition("/")[0]
    same_frames = _SETS.get(dataset) == _SETS[_TABLE2_OF[0]]
    same = same_frames and size == _TABLE2_OF[1]
    which = "paper" if same else "paper (Eq, medium)"
    if name in _PAPER_LABELS:
        return which
    return f"{which}, other labels" if name in _SETS else f"{which}, other data and labels"


def table1_value(
    dataset: str, paradigm: str, size: str, metric: str
) -> tuple[float | None, float | None]:
    """Mean and deviation in the paper's Table 1, None where it has no such row.

    Args:
        dataset: Registered dataset, with or without a subset behind a slash.
        paradigm: ``zero_shot``, ``scratch`` or ``fine_tune``.
        size: ``small``, ``medium`` or ``large``.
        metric: A key of `PAPER_KEYS`.
    """
    table = _read("table1")
    chosen = table[
        (table["paradigm"] == paradigm)
        & (table["dataset"] == _SETS.get(dataset))
        & (table["size"] == size)
    ]
    if chosen.empty:
        return None, None
    key = PAPER_KEYS[metric]
    return float(chosen[key].iloc[0]), float(chosen[f"{key}_std"].iloc[0])


def table2_value(element: str, protocol: str, metric: str) -> float | None:
    """A value of the paper's Table 2, None where it has none.

    Args:
        element: The held-out element.
        protocol: ``lodo_strict`` or ``lodo_relaxed``.
        metric: A key of `PAPER_KEYS`.
    """
    table = _read("table2")
    column = f"{protocol.removeprefix('lodo_')}_{PAPER_KEYS[metric]}"
    chosen = table[table["element"] == element]
    return None if chosen.empty else float(cast("float", chosen[column].iloc[0]))


@cache
def _read(name: str) -> pd.DataFrame:
    with (files("mo_hpc.analysis") / "reference" / f"{name}.csv").open(encoding="utf-8") as handle:
        return pd.read_csv(handle, comment="#")

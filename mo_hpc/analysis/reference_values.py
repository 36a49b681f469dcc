"""The published numbers that tables stand beside, shipped as CSV with their source.

Source: Fang et al., Materials 2026, 19(9), 1715.
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

PAPER = "Fang et al., Materials 2026, 19(9), 1715"
PAPER_LABELS = "VASP PBE"

_SETS = {
    "mo420": "Eq",
    "mo420_replica": "Eq",
    "mo6970": "NonEq",
    "mo6970/equilibrium": "Eq",
    "mo6970_replica": "NonEq",
    "mo6970_replica/equilibrium": "Eq",
    "mo_with_new_elements/equilibrium_and_new": "Eq and new elements",
    "mo_with_new_elements_replica/equilibrium_and_new": "Eq and new elements",
}
"""Dataset → the paper's name of the set of structures that it has."""
_PAPER_LABELS = ("mo420", "mo6970", "mo_with_new_elements")
_REDUCED = "reduced_"
"""Beginning of the names of sizes that are the paper's, reduced for two cores."""
TABLE2_OF = ("Eq", "medium")
"""Structures and model size of the paper's Table 2."""


def paper_set(dataset: str) -> str | None:
    """The name of a dataset's structures, the paper's where it has one; None for any other set.

    Args:
        dataset: Registered dataset, with or without a subset behind a slash.
    """
    return _SETS.get(dataset)


def has_paper_labels(dataset: str) -> bool:
    """Whether a dataset has the labels that the paper's numbers are errors on."""
    return dataset.partition("/")[0] in _PAPER_LABELS


def table1_heading(results: Iterable[tuple[str, str]]) -> str:
    """What the column of Table 1 is called beside results of these datasets and sizes.

    Args:
        results: Dataset and size of those that have a row in the paper's table.
    """
    known = list(results)
    reduced = any(size.startswith(_REDUCED) for _, size in known)
    which = "paper (full size)" if reduced else "paper"
    names = {dataset for dataset, _ in known}
    others = sorted(name for name in names if not has_paper_labels(name))
    if not others:
        return which
    return f"{which}, other labels" + (
        "" if len(others) == len(names) else f" ({', '.join(others)})"
    )


def table2_heading(dataset: str, size: str) -> str:
    """What the column of Table 2 is called beside results of a dataset and model size.

    The paper has this table of its equilibrium set and the medium model alone, and the name
    says in what the results beside it differ.
    """
    same = (paper_set(dataset), size) == TABLE2_OF
    which = "paper" if same else f"paper ({', '.join(TABLE2_OF)})"
    if has_paper_labels(dataset):
        return which
    of_design = any(name.partition("/")[0] == dataset.partition("/")[0] for name in _SETS)
    return f"{which}, other labels" if of_design else f"{which}, other data and labels"


def new_elements_heading(dataset: str, size: str) -> str:
    """What the paper's errors on new elements are called beside results of a dataset and size."""
    which = "paper" if size == TABLE2_OF[1] else f"paper ({TABLE2_OF[1]})"
    return which if has_paper_labels(dataset) else f"{which}, other labels"


def table1_value(
    dataset: str, paradigm: str, size: str, metric: str
) -> tuple[float | None, float | None]:
    """Mean and deviation in the paper's Table 1, None where it has no such row.

    Args:
        dataset: Registered dataset, with or without a subset behind a slash.
        paradigm: ``zero_shot``, ``scratch`` or ``fine_tune``.
        size: ``small``, ``medium`` or ``large``, or one of them reduced.
        metric: A key of `PAPER_KEYS`.
    """
    table = _read("table1")
    chosen = table[
        (table["paradigm"] == paradigm)
        & (table["dataset"] == paper_set(dataset))
        & (table["size"] == size.removeprefix(_REDUCED))
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


def table2_elements() -> list[str]:
    """The held-out elements of the paper's Table 2."""
    return [str(element) for element in _read("table2")["element"]]


def new_element_value(strategy: str, metric: str) -> float | None:
    """An energy error of the paper on its nine new elements, None where it gives none.

    Args:
        strategy: ``dipi`` or ``refine_tune``.
        metric: A key of `PAPER_KEYS`.
    """
    table = _read("new_elements")
    column = PAPER_KEYS[metric]
    if column not in table:
        return None
    return float(table.loc[table["strategy"] == strategy, column].iloc[0])


def stated_range(paradigm: str) -> tuple[float, float]:
    """The range of energy MAE ratios to fine-tuning that the paper's text states.

    It divides the smallest by the smallest and the largest by the largest over sizes, which is
    not the range of the ratios size by size.

    Args:
        paradigm: ``zero_shot`` or ``scratch``.
    """
    table = _read("table1")
    errors = table[table["dataset"] == "Eq"].groupby("paradigm")["energy_mae"]
    low, high = errors.min(), errors.max()
    ratios = sorted(each[paradigm] / each["fine_tune"] for each in (low, high))
    return float(ratios[0]), float(ratios[1])


def protocol(paradigm: str, structures: str | None, size: str) -> dict[str, int] | None:
    """How the paper trained a model of its Table 1, None where it has no such row.

    Args:
        paradigm: ``zero_shot``, ``scratch`` or ``fine_tune``.
        structures: ``Eq`` or ``NonEq``, see `paper_set`.
        size: ``small``, ``medium`` or ``large``, or one of them reduced.

    Returns:
        ``epochs`` and ``n_parameters``.
    """
    table = _read("protocol")
    chosen = table[
        (table["paradigm"] == paradigm)
        & (table["dataset"] == structures)
        & (table["size"] == size.removeprefix(_REDUCED))
    ]
    if chosen.empty:
        return None
    return {key: int(chosen[key].iloc[0]) for key in ("epochs", "n_parameters")}


@cache
def _read(name: str) -> pd.DataFrame:
    with (files("mo_hpc.analysis") / "reference" / f"{name}.csv").open(encoding="utf-8") as handle:
        return pd.read_csv(handle, comment="#")

"""What tells the tasks of a run apart, how it is named in print, and how it is ordered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

AVERAGED = ("repeat", "seed")
"""Axes that tables average over."""
FOLD = ("protocol", "element")
"""Axes that make the folds of one study."""
MOST_OF_A_FOLD = 10
"""Repeats and seeds of a fold that are read or drawn one by one: reading thousands would take
minutes, and drawn they would hide each other."""
LODO = ("lodo_strict", "lodo_relaxed")
"""Protocols whose folds are averaged over elements."""
NEW_ELEMENTS = ("new_elements", "new_only", "joint")
"""Protocols that ask about elements that a fine-tuned model never saw."""
SHOTS = "shots"
"""The axis that a few-shot curve runs along."""
SELECTION = "selection"
"""How the structures of such a curve are chosen; a setting only where something else is."""
SETTINGS = ("stage", "dataset", "paradigm", "size", "energy_reference", "grouped")
"""Settings that every task has; further axes of a grid come after them."""

_TITLES = {
    "stage": "stage",
    "dataset": "dataset",
    "paradigm": "paradigm",
    "size": "size",
    "energy_reference": "E0",
    "grouped": "grouped split",
    "protocol": "LODO",
    "element": "element",
    "new_elements": "weights of new",
    "new_element_energy": "E0 of new",
}
_PRINTED: dict[Any, str] = {
    "zero_shot": "zero-shot",
    "fine_tune": "fine-tune",
    "lodo_strict": "strict",
    "lodo_relaxed": "relaxed",
    "few_shot": "few-shot",
    "iid": "IID",
    "new_elements": "all new held out",
    "new_only": "new only",
    "joint": "joint",
    "proxy_group": "proxy by group",
    "proxy_period": "proxy by period",
    "proxy_number": "proxy by number",
    "proxy_given": "proxy given",
    True: "yes",
    False: "no",
}
_ORDER = (
    *("zero_shot", "scratch", "fine_tune"),
    *("tiny", "reduced_small", "reduced_medium", "reduced_large", "small", "medium", "large"),
    *("iid", "lodo_strict", "lodo_relaxed", "few_shot"),
    *NEW_ELEMENTS,
    *("proxy_group", "proxy_period", "proxy_number", "proxy_given", "slice", "borrowed"),
    *("average", "foundation", "estimated", "isolated", "explicit"),
    *("random", "descriptor", "committee"),
)


def title(setting: str) -> str:
    """A setting's heading."""
    return _TITLES.get(setting, setting)


def shown(value: Any) -> str:
    """A setting's value in print."""
    return _PRINTED.get(value, str(value)) if isinstance(value, str | bool) else str(value)


def named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a row of a table has them."""
    return {name: shown(value) for name, value in values.items()}


def ordered(values: Sequence[Any]) -> list[Any]:
    """Distinct values, the familiar ones in their usual order, others by the alphabet."""
    return sorted(set(values), key=order)


def order(value: Any) -> tuple[int, float, str]:
    """Sort key of a setting's value."""
    known = _ORDER.index(value) if value in _ORDER else len(_ORDER)
    number = float(value) if isinstance(value, int | float) else 0.0
    return known, number, str(value)


def settings_of(frame: pd.DataFrame, axes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings of a run's tasks that are neither averaged over nor folds.

    Args:
        frame: One row per task.
        axes: The axes of each task.
    """
    further = sorted(
        {axis for cell in axes for axis in cell} - {*SETTINGS, *FOLD, *AVERAGED, SHOTS}
    )
    return [name for name in (*SETTINGS, *further) if name in frame]


def varying(frame: pd.DataFrame, settings: Sequence[str]) -> list[str]:
    """The settings that it takes to tell the rows apart, without those that follow from them."""
    needed: list[str] = []
    n_kinds = 1
    for name in settings:
        kinds = len(frame[[*needed, name]].drop_duplicates())
        if kinds > n_kinds:
            needed.append(name)
            n_kinds = kinds
    return needed


def sorted_by(frame: pd.DataFrame, settings: Sequence[str]) -> pd.DataFrame:
    """Rows in the order of their settings, the first setting weighing most."""
    keys = [tuple(order(value) for value in row) for row in frame[list(settings)].to_numpy()]
    positions = sorted(range(len(keys)), key=keys.__getitem__)
    return frame.iloc[positions].reset_index(drop=True)


def groups(
    frame: pd.DataFrame, settings: Sequence[str]
) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of each combination of settings, combinations in order."""
    if not settings:
        return [({}, frame)] if len(frame) else []
    found: dict[tuple[Any, ...], list[int]] = {}
    for position, row in enumerate(frame[list(settings)].to_numpy()):
        found.setdefault(tuple(row), []).append(position)
    arranged = sorted(found, key=lambda values: [order(value) for value in values])
    return [
        (dict(zip(settings, values, strict=True)), frame.iloc[found[values]]) for values in arranged
    ]


def with_policy(frame: pd.DataFrame, policy: str) -> pd.DataFrame:
    """The tasks of one paradigm to set beside those of an E0 policy.

    They have the same policy, or the only one that there is: a scratch model has no foundation
    to take energies from, and a zero-shot model no policy.
    """
    same = frame[frame["energy_reference"] == policy]
    if same.empty and len(set(frame["energy_reference"])) == 1:
        return frame
    return same


def described(values: Mapping[str, Any]) -> str:
    """Settings as a phrase, such as ``fine-tune, E0 average``."""
    plain = ("paradigm", "dataset", "size")
    return ", ".join(
        shown(value) if name in plain else f"{title(name)} {shown(value)}"
        for name, value in values.items()
        if value != "-"
    )


def slug(values: Mapping[str, Any]) -> str:
    """Settings as part of a file name."""
    words = [str(value) for value in values.values() if value != "-"]
    return re.sub(r"[^A-Za-z0-9.]+", "_", "_".join(words)).strip("_").lower()

"""The paper's numbers beside a run's own: values, ratios, and what the two do not share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from mo_hpc.analysis import reference_values
from mo_hpc.analysis.notes import named_labels
from mo_hpc.analysis.records import NONE
from mo_hpc.analysis.settings import groups, ordered, shown

MeanAndDeviation = tuple[float | None, float | None]
Protocol = Callable[[str, str | None, str], dict[str, int] | None]
"""From paradigm, structures (`paper_set`) and size to the paper's epochs and parameters."""

PAPER_NOTES = ("Paper: ", "Other labels: ", "Else not as in the paper: ")
"""Beginnings of the sentences that no ratio may stand without."""
_PAPER_E0 = "average"


def beside(
    row: Mapping[str, Any], paper: Mapping[str, MeanAndDeviation], *, with_ratio: bool
) -> dict[str, float | None]:
    """The paper's values of a row, and ours divided by them.

    Args:
        row: Ours, by metric.
        paper: Metric → the paper's mean and deviation.
        with_ratio: Whether the structures are those of the paper, so that a ratio says anything.

    Returns:
        ``<metric>_paper``, ``<metric>_paper_std`` and ``<metric>_ratio`` for each.
    """
    found: dict[str, float | None] = {}
    for metric, (mean, deviation) in paper.items():
        found |= {f"{metric}_paper": mean, f"{metric}_paper_std": deviation}
        found[f"{metric}_ratio"] = ratio(row.get(metric), mean) if with_ratio else None
    return found


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """One error divided by another; None where either is undefined or the second is zero."""
    return ours / theirs if ours is not None and theirs else None


def paper_notes(
    frame: pd.DataFrame, item: str, protocol: Protocol = reference_values.protocol
) -> tuple[str, ...]:
    """Where the paper's numbers are from, and all in which these tasks differ from its own.

    Args:
        frame: The tasks that have a ratio, one row each.
        item: What the numbers are in the paper, such as ``Table 1``.
        protocol: The paper's epochs and parameters for a task, as far as they are known.
    """
    source = f"Paper: {reference_values.PAPER}, {item}; labels {reference_values.PAPER_LABELS}."
    if frame.empty:
        return (f"{source} No ratio: the structures here are others.",)
    of_design = frame.assign(structures=frame["dataset"].map(reference_values.paper_set))
    differences = [*_numbers(of_design, protocol), *_choices(of_design)]
    other = f"Else not as in the paper: {'; '.join(differences)}." if differences else ""
    sentences = (f"{source} Ratio: ours / paper's, of means.", _labels(of_design), other)
    return tuple(filter(None, sentences))


def _labels(frame: pd.DataFrame) -> str:
    """The sentence that no ratio to the paper may stand without, where labels differ."""
    names = [
        named_labels(str(values["labels"]), synthetic=bool(values["synthetic"]))
        for values, _ in groups(frame, ["dataset", "labels", "synthetic"])
        if not reference_values.has_paper_labels(str(values["dataset"]))
    ]
    if not names:
        return ""
    return (
        f"Other labels: errors here are on {', '.join(ordered(names))}, the paper's on "
        f"{reference_values.PAPER_LABELS}. A ratio compares the size of errors, not the models."
    )


def _numbers(frame: pd.DataFrame, protocol: Protocol) -> list[str]:
    """Parameters by size and epochs by paradigm, where the paper's tasks have others."""
    pairs: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
    for task in frame[frame["state"] == "done"].to_dict("records"):
        published = protocol(task["paradigm"], task["structures"], task["size"])
        if published is None:
            continue
        compared = {"parameters": ("n_parameters", task["size"])}
        if task["paradigm"] != "zero_shot":
            compared["epochs"] = ("epochs", shown(task["paradigm"]))
        for name, (key, whose) in compared.items():
            if key in published:
                ours, theirs = pairs.setdefault((whose, name), ([], []))
                ours.append(int(task[key]))
                theirs.append(published[key])
    return [
        f"{whose}: {name} {_range(ours)} (paper {_range(theirs)})"
        for (whose, name), (ours, theirs) in pairs.items()
        if set(ours) != set(theirs)
    ]


def _choices(frame: pd.DataFrame) -> list[str]:
    """Settings that the paper's scripts have otherwise, where any task has them so."""
    found = []
    policies = ordered(list(set(frame["energy_reference"]) - {_PAPER_E0, NONE}))
    if policies:
        found.append(f"E0 {', '.join(policies)} (paper {_PAPER_E0})")
    if frame["grouped"].any():
        found.append("frames of a trajectory kept together (paper: random over frames)")
    if frame["stand_in"].any():
        found.append("a stand-in as foundation (paper: MACE-MP-0)")
    return found


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"

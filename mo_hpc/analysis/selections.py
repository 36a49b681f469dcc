"""Few-shot curves by how their structures are chosen: what they share, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mo_hpc.analysis.records import NONE
from mo_hpc.analysis.settings import SELECTION, groups, ordered

MEANING = (
    "Selection, how the N were chosen from the structures kept out of test: random; descriptor, "
    "each time the one with the atom of the element farthest from all known ones in the start "
    "model's descriptors; committee, those with the atoms on whose force models without the "
    "element disagree most. Another repeat is another set to choose from. At N = 0 all share the "
    "same tasks."
)


def selection_settings(frame: pd.DataFrame, settings: Sequence[str]) -> list[str]:
    """The settings, with the selection where any task's is not random.

    Args:
        frame: Few-shot tasks, one row each.
        settings: Settings that tell studies apart.
    """
    chosen = not set(frame[SELECTION]) <= {NONE, "random"}
    named = SELECTION in settings or not chosen
    return [*settings] if named else [*settings, SELECTION]


def with_start(frame: pd.DataFrame, settings: Sequence[str]) -> pd.DataFrame:
    """Rows of tasks without any structure of the element, in the curve of every selection.

    Args:
        frame: Few-shot tasks, one row each.
        settings: Settings that tell curves apart.
    """
    if SELECTION not in settings:
        return frame
    across = [name for name in settings if name != SELECTION]
    joined = [_joined(tasks) for _, tasks in groups(frame, across)]
    return pd.concat(joined) if joined else frame


def _joined(study: pd.DataFrame) -> pd.DataFrame:
    selections = ordered(list(set(study[SELECTION]) - {NONE}))
    if not selections:
        return study
    start = study[study[SELECTION] == NONE]
    starts = [start.assign(**{SELECTION: selection}) for selection in selections]
    return pd.concat([*starts, study[study[SELECTION] != NONE]])

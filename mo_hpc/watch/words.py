"""The words of commands that name a run and some of its tasks."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from mo_hpc.core.errors import UserError, unknown_name
from mo_hpc.core.words import parse_words
from mo_hpc.plan.manifest import Manifest

_MOST_PROPOSED = 8


def split_words(words: Sequence[str], keys: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Keys with their values, and the words that name tasks.

    Raises:
        UserError: If a key is unknown.
    """
    pairs = [word for word in words if "=" in word]
    return parse_words(pairs, keys), [word for word in words if "=" not in word]


def named_tasks(manifest: Manifest, names: Sequence[str]) -> list[str]:
    """The ids of the tasks that the names stand for, in the order of the manifest.

    A name is an id, or a beginning or part of exactly one.

    Raises:
        UserError: If a name fits no task or several.
    """
    ids = [task.id for task in manifest.tasks]
    chosen = {_the_one(ids, name) for name in names}
    return [task_id for task_id in ids if task_id in chosen]


def _the_one(ids: Sequence[str], name: str) -> str:
    if name in ids:
        return name
    fits = [task_id for task_id in ids if task_id.startswith(name)]
    fits = fits or [task_id for task_id in ids if name in task_id]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise UserError(
            f"The name '{name}' fits {len(fits)} tasks.",
            where="task",
            valid=fits,
            remedy="Write more of it; a part that only one id has is enough.",
        )
    nearest = difflib.get_close_matches(name, ids, n=_MOST_PROPOSED, cutoff=0.4)
    remedy = f"Did you mean {nearest[0]}?" if nearest else None
    raise unknown_name("task", name, nearest or ids, remedy=remedy)

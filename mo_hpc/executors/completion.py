"""Whether a task is done, judged by its own files alone."""

from __future__ import annotations

from mo_hpc.core.errors import UserError
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.record import read_task, why_not_done
from mo_hpc.core.task import TaskSpec


def is_done(paths: TaskPaths) -> bool:
    """True if ``metrics.json`` is whole and belongs to this very task."""
    if not paths.metrics.exists():
        return False
    try:
        task = read_task(paths)
    except UserError:
        return False
    return why_not_done(paths, task.id, task.digest) is None


def unmet_needs(paths: TaskPaths, task: TaskSpec) -> dict[str, str]:
    """The needed tasks that are not done, each with ``failed`` or ``not done yet``."""
    unmet = {}
    for need in task.needs:
        needed = TaskPaths(paths.folder.parent / need)
        if not is_done(needed):
            unmet[need] = "failed" if needed.error.exists() else "not done yet"
    return unmet

"""A snapshot for programs: one JSON document."""

from __future__ import annotations

from typing import Any

from mo_hpc.plan.manifest import ManifestTask
from mo_hpc.plan.state import counts
from mo_hpc.watch.accounting import Usage
from mo_hpc.watch.cost import Cost, TaskCost
from mo_hpc.watch.outlook import Outlook, last_lines
from mo_hpc.watch.snapshot import Snapshot

STATUS_SCHEMA_VERSION = 1


def document(snapshot: Snapshot, usage: Usage | None = None) -> dict[str, Any]:
    """Everything that is known of a run.

    Args:
        snapshot: The run.
        usage: What Slurm's accounting says, if it was asked and answered.
    """
    left = snapshot.left
    return {
        "schema_version": STATUS_SCHEMA_VERSION,
        "run_dir": str(snapshot.run.folder),
        "grid": snapshot.manifest.grid,
        "executor": snapshot.manifest.executor,
        "is_under_way": snapshot.is_under_way,
        "tasks": [_task(snapshot, task, usage) for task in snapshot.manifest.tasks],
        "counts": counts(snapshot.states),
        "failures": _failures(snapshot),
        "followers": snapshot.activity.followers,
        "estimate": {"left_s": left.total_s, "tasks_at_once": left.at_once},
        "cost": _cost(snapshot.cost),
        "accounting": usage.total.document() if usage else None,
    }


def _task(snapshot: Snapshot, task: ManifestTask, usage: Usage | None) -> dict[str, Any]:
    row = snapshot.activity.jobs.get(task.id)
    progress = snapshot.progress.get(task.id)
    held = usage.of_task(snapshot.attempts[task.id]) if usage else None
    return {
        "id": task.id,
        "axes": task.axes,
        "state": snapshot.states[task.id].name,
        "stage": task.stage,
        "job": f"{row.job_id}_{row.index}" if row else None,
        "node": snapshot.node(task.id),
        "attempts": len(snapshot.attempts[task.id]),
        "progress": {
            "epoch": progress.epoch,
            "max_epochs": progress.max_epochs,
            "force_mae_mev_per_ang": progress.force_mae_mev_per_ang,
            "best_force_mae_mev_per_ang": progress.best_force_mae_mev_per_ang,
            "s_per_epoch": progress.s_per_epoch,
        }
        if progress
        else None,
        "left_s": snapshot.left_s(task),
        "cost": _cost(snapshot.costs[task.id]),
        "accounting": held.document() if held else None,
    }


def _failures(snapshot: Snapshot) -> list[dict[str, Any]]:
    outlook = Outlook(snapshot)
    found = []
    for task_id, state in snapshot.states.items():
        if state.name not in ("failed", "blocked"):
            continue
        failure = state.diagnosis
        found.append(
            {
                "id": task_id,
                "class": failure.failure_class if failure else None,
                "reason": state.reason,
                "node": failure.node if failure else None,
                "attempt": failure.attempt if failure else None,
                "again": failure.again if failure else False,
                "next": outlook.next(task_id) if failure else None,
                "stderr": last_lines(snapshot, task_id, state) if failure else [],
            }
        )
    return found


def _cost(cost: TaskCost) -> dict[str, Any]:
    return {
        **_amounts(cost.used),
        "wall_time_s": round(cost.wall_time_s),
        "failed_attempts": {"number": cost.n_failed, **_amounts(cost.failed)},
    }


def _amounts(cost: Cost) -> dict[str, float]:
    return {"core_hours": round(cost.core_hours, 6), "gpu_hours": round(cost.gpu_hours, 6)}

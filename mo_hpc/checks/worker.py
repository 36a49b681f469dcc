"""One check from its task to its record."""

from __future__ import annotations

import time
from typing import Any

from mo_hpc.checks.opening import opened
from mo_hpc.checks.potential import Potential
from mo_hpc.checks.references import references
from mo_hpc.checks.result import CheckResult, Curve, Value
from mo_hpc.core.check_task import (
    CheckedCurve,
    CheckedValue,
    CheckRecord,
    CheckTask,
    ReferenceValue,
)
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.registry import CHECKS, load
from mo_hpc.training.distributed import choose_device
from mo_hpc.training.reproducible import reproducible
from mo_hpc.training.signals import StopFlag


def run_check_task(
    paths: TaskPaths, task: CheckTask, *, provenance: dict[str, Any], show_progress: bool
) -> CheckRecord:
    """Computes one check of one model, in double precision.

    A number that the model does not give is a result, with the reason in the record.

    Args:
        paths: The task's files.
        task: The task.
        provenance: What the record says about code and machine.
        show_progress: Not used: a check takes minutes, and has no length that is known.

    Raises:
        UserError: If the model cannot be opened.
        StopRequested: After a signal; the check begins anew with the task.
    """
    del show_progress
    started = time.perf_counter()
    device = choose_device(task.resources.device, 0)
    with (
        StopFlag() as stop,
        reproducible(
            seed=task.settings.seed,
            dtype="float64",
            n_threads=task.resources.cpus_per_task,
            device=device,
        ),
    ):
        model = opened(paths, task, device)
        potential = Potential(model.calculator, model.elements, lambda: stop.is_set)
        result: CheckResult = load(CHECKS, "check", task.check)(potential, task.settings)
    return CheckRecord(
        kind=task.kind,
        task_id=task.id,
        digest=task.digest,
        grid=task.grid,
        stage=task.stage,
        axes=task.axes,
        wall_time_s=time.perf_counter() - started,
        provenance=provenance,
        check=task.check,
        potential=task.potential,
        calculator=task.calculator,
        foundation=model.foundation,
        labels=task.labels,
        synthetic=task.synthetic,
        settings=task.settings,
        values=tuple(_value(value, task.settings.host) for value in result.values),
        curves=tuple(_curve(curve) for curve in result.curves),
        verdict=result.verdict,
    )


def _value(value: Value, host: str) -> CheckedValue:
    beside = references(host, value.name, value.subject)
    return CheckedValue(
        name=value.name,
        subject=value.subject,
        value=value.value,
        problem=value.problem,
        references=tuple(
            ReferenceValue(value=each.value, labels=each.labels, citation=each.citation)
            for each in beside
        ),
    )


def _curve(curve: Curve) -> CheckedCurve:
    return CheckedCurve(name=curve.name, subject=curve.subject, columns=dict(curve.columns))

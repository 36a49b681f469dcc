"""A plan as text for people: tasks, splits with counts, size and missing files."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from mo_hpc.core.task import FoundationRef, LeakageAudit, SplitSummary, TaskSpec, TrainTask
from mo_hpc.plan.planner import Plan

_MOST_TASKS = 60


def show_plan(plan: Plan, console: Console) -> None:
    """Prints a plan: its tasks, its splits, the estimated size and what is not staged."""
    specs = [task.spec for task in plan.tasks]
    console.print(_task_table(specs))
    if len(specs) > _MOST_TASKS:
        console.print(f"… and {len(specs) - _MOST_TASKS} more tasks.")
    trainings = [spec for spec in specs if isinstance(spec, TrainTask)]
    if trainings:
        console.print(_split_table(trainings))
        for line in [*audit_lines(trainings), *foundation_lines(trainings)]:
            console.print(line)
    for line in size_lines(specs):
        console.print(line)
    for name, commands in plan.to_stage.items():
        console.print(f"Not staged: {name}. Run:", style="yellow")
        # In one piece, so that they can be copied.
        console.print(commands, markup=False, soft_wrap=True)


def size_lines(specs: Iterable[TaskSpec]) -> list[str]:
    """The estimated size of a plan in sentences."""
    steps = structures = 0
    core_minutes = 0
    n_tasks = n_trainings = 0
    for spec in specs:
        n_tasks += 1
        resources = spec.resources
        ranks = resources.nodes * resources.tasks_per_node
        core_minutes += ranks * resources.cpus_per_task * resources.time_min
        if not isinstance(spec, TrainTask):
            continue
        n_trainings += 1
        if spec.paradigm != "zero_shot":
            per_epoch = max(1, spec.split.n_train // spec.train.batch_size)
            steps += per_epoch * spec.train.max_epochs
            structures += spec.split.n_train * spec.train.max_epochs
    hours = core_minutes / 60
    if not n_trainings:
        return [f"Estimated size: {n_tasks} tasks, by the time limits {hours:,.0f} core-hours."]
    return [
        f"Estimated size: {n_tasks} tasks, at most {steps:,} optimisation steps,",
        f"{structures:,} structures seen and, by the time limits, {hours:,.0f} core-hours.",
    ]


def _task_table(specs: list[TaskSpec]) -> Table:
    axes = list(dict.fromkeys(axis for spec in specs for axis in spec.axes))
    table = Table(title=f"Tasks ({len(specs)})", title_justify="left", box=None)
    table.add_column("stage")
    for axis in axes:
        table.add_column(axis.replace("_", " ").rsplit(".")[-1])
    trains = any(isinstance(spec, TrainTask) for spec in specs)
    for heading in (*(["epochs"] if trains else []), "digest"):
        table.add_column(heading, justify="right")
    for spec in specs[:_MOST_TASKS]:
        values = [str(spec.axes.get(axis, "–")) for axis in axes]
        values += [_epochs(spec)] if trains else []
        table.add_row(spec.stage, *values, spec.digest[:8])
    return table


def _epochs(spec: TaskSpec) -> str:
    if not isinstance(spec, TrainTask) or spec.paradigm == "zero_shot":
        return "–"
    return str(spec.train.max_epochs)


def _split_table(specs: list[TrainTask]) -> Table:
    table = Table(title="Splits (frames)", title_justify="left", box=None)
    for heading in ("dataset", "protocol", "fold", "grouped"):
        table.add_column(heading, overflow="fold")
    for heading in ("train", "valid", "test", "excluded"):
        table.add_column(heading, justify="right")
    shown: set[tuple[str, str]] = set()
    for spec in specs:
        split = spec.split
        if (split.digest, _fold(split)) in shown:
            continue
        shown.add((split.digest, _fold(split)))
        name = spec.dataset.config.name
        subset = f"{name}/{spec.dataset.subset}" if spec.dataset.subset else name
        table.add_row(
            subset,
            split.config.protocol,
            _fold(split),
            "yes" if split.config.grouped else "no",
            *(str(n) for n in (split.n_train, split.n_valid, split.n_test, split.n_excluded)),
        )
    return table


def _fold(split: SplitSummary) -> str:
    if split.config.protocol == "few_shot":
        config = split.config
        chosen = f" of {config.max_shots} by {config.selection}" if config.chooses else ""
        return f"{config.element}, shots {config.shots}{chosen}, repeat {config.repeat}"
    return split.config.element or f"repeat {split.config.repeat}"


def audit_lines(specs: Iterable[TrainTask]) -> list[str]:
    """The outcome of the leakage audit over all splits in sentences."""
    splits = _most_seen(spec.split for spec in specs)
    audits = [split.audit for split in splits]
    shared = {
        "exact duplicates": sum(audit.n_duplicates for audit in audits),
        "near-duplicates": sum(audit.n_near_duplicates for audit in audits),
        "trajectories": sum(audit.n_shared_groups for audit in audits),
        "frames of the foundation": sum(audit.n_seen_by_foundation or 0 for audit in audits),
    }
    leaks = ", ".join(f"{number} {what}" for what, number in shared.items() if number)
    where = sum(bool(_leaks(audit)) for audit in audits)
    lines = ["Leakage audit: test shares nothing with train, valid and the foundation's data."]
    if leaks:
        lines = [
            f"Leakage audit: in {where} of {len(audits)} splits test shares {leaks}",
            "with train, valid or the foundation's data (split.json, metrics.json say which).",
        ]
    known = ", ".join(
        dict.fromkeys(
            f"{split.config.element or 'new elements'} "
            f"{_at_most(split)}{split.audit.n_train_with_held_out_element}"
            for split in splits
            if split.audit.held_out_element_in_train
        )
    )
    if known:
        lines.append(f"Training frames that hold the tested element: {known}.")
    return lines


def _most_seen(splits: Iterable[SplitSummary]) -> list[SplitSummary]:
    """Each split once, with the foundation that saw most of its test: tasks share splits."""
    found: dict[str, SplitSummary] = {}
    for split in splits:
        kept = found.setdefault(split.digest, split)
        if (split.audit.n_seen_by_foundation or 0) > (kept.audit.n_seen_by_foundation or 0):
            found[split.digest] = split
    return list(found.values())


def foundation_lines(specs: Iterable[TrainTask]) -> list[str]:
    """The foundations of a plan, and how often the tested element is known to them."""
    tasks = [spec for spec in specs if spec.foundation is not None]
    found = dict.fromkeys(_foundation(spec.foundation) for spec in tasks if spec.foundation)
    known = [spec.split.audit.held_out_element_in_foundation for spec in tasks]
    asked = sum(answer is not None for answer in known)
    lines = list(found)
    if asked:
        lines.append(
            f"The foundation's training frames hold the tested element in {sum(map(bool, known))} "
            f"of {asked} tasks."
        )
    return lines


def _foundation(foundation: FoundationRef) -> str:
    name = foundation.task_id or foundation.name
    made_by = f" ({foundation.run_task_id})" if foundation.run_task_id else ""
    size = f", {foundation.n_parameters:,} parameters" if foundation.n_parameters else ""
    sha256 = f", sha256 {foundation.sha256[:12]}" if foundation.sha256 else ""
    kind = ": a stand-in, trained within this suite" if foundation.is_stand_in else ""
    return f"Foundation {name}{made_by}{size}{sha256}{kind}."


def _at_most(split: SplitSummary) -> str:
    return "at most " if split.config.chooses else ""


def _leaks(audit: LeakageAudit) -> int:
    return (
        audit.n_duplicates
        + audit.n_near_duplicates
        + audit.n_shared_groups
        + (audit.n_seen_by_foundation or 0)
    )

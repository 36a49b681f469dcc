"""Plans of a thousand tasks: what equal splits share, and what writing and reading them costs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mo_hpc.core.config import compose
from mo_hpc.core.record import why_not_done
from mo_hpc.core.schema import RunConfig, validated
from mo_hpc.plan.manifest import read_manifest, run_folder, write_run
from mo_hpc.plan.planner import Plan, make_plan

N_SEEDS = 170
GRID = ("grid=demo", "axes.protocol=[lodo_strict,lodo_relaxed]", "axes.paradigm=[fine_tune]")
AXES = ("axes.energy_reference=[average]", f"axes.seed=[{','.join(map(str, range(N_SEEDS)))}]")
MOST_S = 15.0
"""Ten times what two busy cores need."""


def planned(cache: Path) -> tuple[Plan, RunConfig]:
    document, explicit = compose([*GRID, *AXES, f"cache_root={cache}"])
    config = validated(RunConfig, document, where="test")
    return make_plan(config, explicit), config


@pytest.fixture(scope="module")
def plan(cache_root: Path) -> Plan:
    return planned(cache_root)[0]


def test_tasks_of_one_fold_share_split_and_audit(plan: Plan) -> None:
    tasks = [task for task in plan.tasks if task.maker is not None]
    assert len(tasks) == 6 * N_SEEDS
    assert len({id(task.made) for task in tasks}) == 6
    assert len({id(task.spec.split) for task in tasks}) == 6
    assert len({task.spec.digest for task in tasks}) == len(tasks)


def test_what_a_model_was_fitted_to_includes_its_foundation(plan: Plan) -> None:
    task = plan.tasks[-1]
    assert task.maker is not None
    own, inherited = task.made.fitted_frames, task.maker.made.fitted_frames
    assert task.fitted.by_dataset == {"demo": (*inherited, *own)}


def test_a_thousand_tasks_are_planned_written_and_looked_at_in_seconds(
    cache_root: Path, tmp_path: Path
) -> None:
    began = time.monotonic()
    plan, config = planned(cache_root)
    run = run_folder(str(tmp_path), plan)
    write_run(run, plan, config, "")
    manifest = read_manifest(run)
    found = [why_not_done(run.task(task.id), task.id, task.digest) for task in manifest.tasks]
    assert time.monotonic() - began < MOST_S
    assert found == ["is missing"] * len(plan.tasks)


def test_writing_again_restores_what_is_damaged_and_touches_nothing_else(
    cache_root: Path, tmp_path: Path
) -> None:
    plan, config = planned(cache_root)
    run = run_folder(str(tmp_path), plan)
    write_run(run, plan, config, "")
    damaged, whole = run.task(plan.tasks[0].spec.id), run.task(plan.tasks[1].spec.id)
    content, before = damaged.task.read_bytes(), whole.task.stat()
    damaged.task.write_bytes(content[:100])
    damaged.split.unlink()
    write_run(run, plan, config, "")
    assert damaged.task.read_bytes() == content
    assert damaged.split.is_file()
    assert whole.task.stat().st_mtime_ns == before.st_mtime_ns

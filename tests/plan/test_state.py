"""States derived from files: done, failed, blocked, missing, and records that are not ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mo_hpc.core.files import write_json
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.record import EnergyReferences, ErrorRecord, TrainRecord
from mo_hpc.core.schema import SplitConfig
from mo_hpc.core.task import LeakageAudit, SplitSummary
from mo_hpc.executors.failures.diagnosis import Diagnostician
from mo_hpc.plan.manifest import Manifest, ManifestTask
from mo_hpc.plan.reconcile import Wish, tasks_to_submit
from mo_hpc.plan.state import Diagnosis, counts, task_states

DIGEST = "d" * 64


@pytest.fixture
def manifest() -> Manifest:
    def task(name: str, *needs: str) -> ManifestTask:
        return ManifestTask(id=name, digest=DIGEST, stage="s", axes={}, needs=needs)

    return Manifest(
        grid="g",
        description="d",
        run_digest="r",
        executor="inline",
        site="default",
        dataset="demo",
        labels="synthetic",
        synthetic=True,
        tasks=(task("base"), task("child", "base"), task("grandchild", "child")),
    )


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path)


def record(task_id: str, **changes: object) -> dict[str, object]:
    split = SplitSummary(
        config=SplitConfig(),
        digest="s",
        n_train=1,
        n_valid=1,
        n_test=1,
        n_excluded=0,
        train_elements=("Mo",),
        test_elements=("Mo",),
        audit=LeakageAudit(
            n_duplicates=0,
            n_near_duplicates=0,
            n_shared_groups=0,
            held_out_element_in_train=None,
            n_train_with_held_out_element=0,
            findings=(),
        ),
    )
    whole = TrainRecord(
        task_id=task_id,
        digest=DIGEST,
        grid="g",
        stage="s",
        axes={},
        paradigm="scratch",
        dataset="demo",
        dataset_hash="h",
        subset=None,
        labels="synthetic",
        synthetic=True,
        split=split,
        foundation=None,
        seed=1,
        energy_references=EnergyReferences(policy="average", values_ev={}, sources={}),
        training=None,
        n_parameters=1,
        n_trainable_parameters=1,
        metrics={},
        valid_metrics={},
        model_sha256=None,
        predictions_sha256="p",
        wall_time_s=1.0,
        provenance={},
    )
    return {**whole.model_dump(mode="json"), **changes}


def failure(task_id: str) -> dict[str, object]:
    return ErrorRecord(
        task_id=task_id,
        digest=DIGEST,
        failure_class="python_error",
        error_type="ValueError",
        message="It broke.",
        traceback="",
        provenance={},
    ).model_dump(mode="json")


def names(run: RunPaths, manifest: Manifest, active: dict[str, str] | None = None) -> list[str]:
    return [
        state.name
        for state in task_states(run, manifest, active or {}, Diagnostician(run)).values()
    ]


def test_a_new_run_is_missing_everything(run: RunPaths, manifest: Manifest) -> None:
    assert names(run, manifest) == ["missing"] * 3


def test_a_record_makes_a_task_done(run: RunPaths, manifest: Manifest) -> None:
    write_json(run.task("base").metrics, record("base"))
    assert names(run, manifest) == ["done", "missing", "missing"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"schema_version": 1, "dig', "cut short"),
        ("[]", "schema version None"),
        (json.dumps(record("base", digest="other")), "another task"),
        (json.dumps(record("other")), "another task"),
        (json.dumps(record("base", schema_version=0)), "schema version 0"),
        (json.dumps(record("base", n_parameters="many")), "not a record"),
    ],
)
def test_a_record_that_is_not_ours_is_named_and_run_again(
    run: RunPaths, manifest: Manifest, content: str, reason: str
) -> None:
    path = run.task("base").metrics
    path.parent.mkdir(parents=True)
    path.write_text(content)
    state = task_states(run, manifest, {}, Diagnostician(run))["base"]
    assert state.name == "missing"
    assert reason in state.reason


def test_a_failure_blocks_what_needs_it(run: RunPaths, manifest: Manifest) -> None:
    write_json(run.task("base").error, failure("base"))
    states = task_states(run, manifest, {}, Diagnostician(run))
    assert [state.name for state in states.values()] == ["failed", "blocked", "blocked"]
    assert "base" in states["child"].reason
    assert states["base"].diagnosis.failure_class == "python_error"
    assert counts(states) == {"failed": 1, "blocked": 2}


def test_a_done_task_stays_done_when_its_need_is_run_again(
    run: RunPaths, manifest: Manifest
) -> None:
    write_json(run.task("base").error, failure("base"))
    write_json(run.task("child").metrics, record("child"))
    assert names(run, manifest) == ["failed", "done", "missing"]


def test_the_scheduler_comes_second(run: RunPaths, manifest: Manifest) -> None:
    write_json(run.task("base").metrics, record("base"))
    active = {"base": "running", "child": "running", "grandchild": "queued"}
    assert names(run, manifest, active) == ["done", "running", "queued"]


def test_launch_takes_what_is_missing_and_retries_only_when_asked(
    run: RunPaths, manifest: Manifest
) -> None:
    write_json(run.task("base").error, failure("base"))
    states = task_states(run, manifest, {}, Diagnostician(run))
    assert tasks_to_submit(manifest, states, Wish()) == []
    assert tasks_to_submit(manifest, states, Wish(failed=True)) == ["base", "child", "grandchild"]
    write_json(run.task("base").metrics, record("base"))
    states = task_states(run, manifest, {"child": "running"}, Diagnostician(run))
    assert tasks_to_submit(manifest, states, Wish()) == ["grandchild"]


def test_what_needs_a_cancelled_task_waits_for_a_person(run: RunPaths, manifest: Manifest) -> None:
    def diagnose(task: ManifestTask) -> Diagnosis | None:
        return Diagnosis("cancelled", "It was cancelled.") if task.id == "base" else None

    states = task_states(run, manifest, {}, diagnose, is_followed=True)
    assert [state.name for state in states.values()] == ["missing"] * 3
    assert tasks_to_submit(manifest, states, Wish(by_hand=False)) == []
    assert tasks_to_submit(manifest, states, Wish()) == ["base", "child", "grandchild"]


def test_what_a_follower_will_submit_is_waiting(run: RunPaths, manifest: Manifest) -> None:
    def diagnose(task: ManifestTask) -> Diagnosis | None:
        return Diagnosis("killed", "by signal 9", again=True) if task.id == "base" else None

    states = task_states(run, manifest, {}, diagnose, is_followed=True)
    assert counts(states) == {"waiting": 3}
    assert states["base"].reason == "by signal 9"
    assert tasks_to_submit(manifest, states, Wish(by_hand=False)) == list(states)

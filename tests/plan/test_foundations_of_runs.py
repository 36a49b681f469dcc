"""Models of earlier runs as foundations: which one is found, what is audited, what is refused."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mo_hpc.core.config import compose
from mo_hpc.core.errors import UserError
from mo_hpc.core.files import read_json, write_json
from mo_hpc.core.paths import RunPaths, TaskPaths
from mo_hpc.core.record import EnergyReferences, TrainRecord, write_record
from mo_hpc.core.schema import RunConfig, validated
from mo_hpc.core.task import TrainTask
from mo_hpc.plan.earlier_runs import RunWords, earlier_run
from mo_hpc.plan.manifest import run_folder, write_run
from mo_hpc.plan.planner import Plan, make_plan
from mo_hpc.plan.show import foundation_lines

PRETRAIN = ("grid=pretrain", "dataset=demo", "train=demo", "axes.size=[tiny]")
HOMOGENEOUS = (*PRETRAIN, "grid.stages.pretrain.subset=homogeneous")
MODEL = b"no model, and nobody may open it"

Planned = Callable[..., tuple[Plan, RunConfig]]


@pytest.fixture
def planned(cache_root: Path, tmp_path: Path) -> Planned:
    """Plans words, with runs below a folder of the test."""

    def plan(*words: str) -> tuple[Plan, RunConfig]:
        places = [f"cache_root={cache_root}", f"runs_root={tmp_path / 'runs'}"]
        document, explicit = compose([*words, *places])
        config = validated(RunConfig, document, where="test")
        return make_plan(config, explicit), config

    return plan


@pytest.fixture
def ran(planned: Planned) -> Callable[..., RunPaths]:
    """A run whose tasks are done, or those of the named stages, without any training."""

    def run(*words: str, stages: tuple[str, ...] = ("pretrain",), age_s: int = 0) -> RunPaths:
        plan, config = planned(*words)
        paths = run_folder(config.runs_root, plan)
        write_run(paths, plan, config, "")
        for task in plan.tasks:
            if task.spec.stage in stages:
                finish(paths.task(task.spec.id), trained(task.spec))
        at = paths.manifest.stat().st_mtime - age_s
        os.utime(paths.manifest, (at, at))
        return paths

    return run


def trained(spec: object) -> TrainTask:
    """A task as a training, which all tasks of these grids are."""
    assert isinstance(spec, TrainTask)
    return spec


def finish(paths: TaskPaths, task: TrainTask, model: bytes = MODEL) -> None:
    """Writes the model and the record of a task."""
    paths.model.write_bytes(model)
    elements = {*task.split.train_elements, *task.split.test_elements}
    record = TrainRecord(
        task_id=task.id,
        digest=task.digest,
        grid=task.grid,
        stage=task.stage,
        axes=task.axes,
        wall_time_s=1.0,
        provenance={},
        paradigm=task.paradigm,
        dataset=task.dataset.config.name,
        dataset_hash=task.dataset.dataset_hash,
        subset=task.dataset.subset,
        labels=task.dataset.config.labels,
        synthetic=task.dataset.config.synthetic,
        split=task.split,
        foundation=task.foundation,
        seed=task.train.seed,
        energy_references=EnergyReferences(
            policy="average",
            values_ev=dict.fromkeys(elements, -1.0),
            sources=dict.fromkeys(elements, "fitted"),
        ),
        training=None,
        n_parameters=7,
        n_trainable_parameters=7,
        metrics={},
        valid_metrics={},
        model_sha256=hashlib.sha256(model).hexdigest(),
        predictions_sha256="0" * 64,
    )
    write_record(paths, record)


def transfers(plan: Plan) -> list[TrainTask]:
    """The tasks of a plan that take a foundation."""
    return [spec for task in plan.tasks if (spec := trained(task.spec)).foundation is not None]


def test_the_newest_complete_run_is_taken_and_named(
    planned: Planned, ran: Callable[..., RunPaths]
) -> None:
    old = ran(*HOMOGENEOUS, "train.seed=1", age_s=60)
    ran(*HOMOGENEOUS, "train.seed=2", stages=())
    plan, _ = planned("grid=nightly", "foundation=run:pretrain")
    (task_id,) = [folder.folder.name for folder in old.task_folders()]
    assert {task.spec.stage for task in plan.tasks} == {"transfer"}
    assert not plan.to_stage
    (line, known) = foundation_lines(transfers(plan))
    assert line == (
        f"Foundation run:pretrain/{old.folder.name} ({task_id}), 7 parameters, sha256 "
        f"{hashlib.sha256(MODEL).hexdigest()[:12]}: a stand-in, trained within this suite."
    )
    assert known == "The foundation's training frames hold the tested element in 6 of 6 tasks."
    for spec in transfers(plan):
        assert spec.foundation is not None
        assert spec.foundation.name == f"run:pretrain/{old.folder.name}"
        assert spec.foundation.run_task_id == task_id
        assert spec.foundation.sha256 == hashlib.sha256(MODEL).hexdigest()
        assert spec.foundation.n_parameters == 7
        assert spec.foundation.is_stand_in
        assert spec.runtime.foundation_path == str(old.task(task_id).model)
        assert (spec.needs, spec.size) == ((), "tiny")


def test_a_newer_run_is_another_foundation_and_an_older_one_can_be_named(
    planned: Planned, ran: Callable[..., RunPaths]
) -> None:
    old = ran(*HOMOGENEOUS, "train.seed=1", age_s=60)
    before, _ = planned("grid=nightly", "foundation=run:pretrain")
    new = ran(*HOMOGENEOUS, "train.seed=2")
    (task,) = new.task_folders()
    finish(task, trained(planned(*HOMOGENEOUS, "train.seed=2")[0].tasks[0].spec), b"another")
    after, _ = planned("grid=nightly", "foundation=run:pretrain")
    again, _ = planned("grid=nightly", f"foundation=run:pretrain/{old.folder.name}")
    assert before.run_digest == again.run_digest != after.run_digest


def test_the_audit_is_that_of_the_same_pretraining_as_a_stage(
    planned: Planned, ran: Callable[..., RunPaths]
) -> None:
    words = ("grid=nightly", "axes.paradigm=[fine_tune]", "grid.stages.pretrain.subset=null")
    run = ran(*words)
    staged, _ = planned(*words)
    pretrain = staged.tasks[0].spec.id
    taken, _ = planned(*words, f"foundation=run:nightly/{run.folder.name}/{pretrain}")
    audits = [spec.split.audit for spec in transfers(taken)]
    assert audits == [spec.split.audit for spec in transfers(staged)]
    assert any(audit.n_seen_by_foundation for audit in audits)


def test_the_audit_follows_the_foundations_of_a_foundation(
    planned: Planned, ran: Callable[..., RunPaths]
) -> None:
    ran(*PRETRAIN)
    words = ("grid=nightly", "axes.paradigm=[fine_tune]", "axes.protocol=[iid]")
    middle = ran(*words, "split.max_train=4", "foundation=run:pretrain", stages=("transfer",))
    direct, _ = planned(*words, "foundation=run:pretrain")
    chained, _ = planned(*words, f"foundation=run:nightly/{middle.folder.name}")
    seen = [transfers(plan)[0].split.audit.n_seen_by_foundation for plan in (direct, chained)]
    assert 0 < (seen[0] or 0) <= (seen[1] or 0)


NEW_ELEMENTS = (
    "grid=demo",
    "dataset.subsets.known={where: {kind: [doped]}, without_elements: [W, Zr]}",
    "grid.stages.pretrain.subset=known",
)
PROXY = ("new_elements.weights=proxy_group", "new_elements.energy_reference=borrowed")


def given_by(donor: RunPaths) -> tuple[str, ...]:
    """New elements from the pretraining of a run."""
    return (
        "new_elements.weights=slice",
        "new_elements.energy_reference=estimated",
        f"new_elements.foundation=run:pretrain/{donor.folder.name}",
    )


def on_new_elements(**settings: str) -> str:
    """The stage that tests W and Zr, which its foundation lacks."""
    further = ", ".join(f"{name}: {value}" for name, value in settings.items())
    return (
        f"grid.stages.transfer={{foundation: 'stage:pretrain', subset: doped, {further}, "
        "split: {protocol: new_elements, new_elements: [W, Zr]}}"
    )


def test_the_audit_sees_what_the_donor_of_new_elements_was_made_from(
    planned: Planned, ran: Callable[..., RunPaths]
) -> None:
    donor = ran(*PRETRAIN)
    words = (*NEW_ELEMENTS, on_new_elements(paradigm="zero_shot"))
    (without,) = transfers(planned(*words, *PROXY)[0])
    (with_donor,) = transfers(planned(*words, *given_by(donor))[0])
    assert without.split.audit.n_seen_by_foundation == 0
    assert without.split.audit.held_out_element_in_foundation is False
    assert (with_donor.split.audit.n_seen_by_foundation or 0) > 0
    assert with_donor.split.audit.held_out_element_in_foundation is True


def test_the_audit_follows_the_donor_of_a_foundation(
    planned: Planned, ran: Callable[..., RunPaths]
) -> None:
    donor = ran(*PRETRAIN)
    words = (*NEW_ELEMENTS, on_new_elements(train="{allow_missing_energy_reference: true}"))
    known = []
    for elements in (PROXY, given_by(donor)):
        middle = ran(*words, *elements, stages=("pretrain", "transfer"))
        (name,) = [each.folder.name for each in middle.task_folders() if "transfer" in str(each)]
        fold = ("axes.paradigm=[zero_shot]", "axes.protocol=[lodo_strict]", "axes.element=[W]")
        taken = f"foundation=run:demo/{middle.folder.name}/{name}"
        (task,) = transfers(planned("grid=nightly", *fold, taken)[0])
        known.append(task.split.audit.held_out_element_in_foundation)
    assert known == [False, True]


def test_each_size_takes_the_model_of_its_size(
    planned: Planned, ran: Callable[..., RunPaths]
) -> None:
    sizes = "axes.size=[tiny,reduced_small,reduced_medium]"
    run = ran(*HOMOGENEOUS[:3], HOMOGENEOUS[4], sizes)
    for number, folder in enumerate(run.task_folders()):
        spec = TrainTask.model_validate_json(folder.task.read_bytes())
        finish(folder, spec, b"model %d" % number)
    words = ("grid=nightly", "axes.paradigm=[fine_tune]", "axes.protocol=[iid]")
    plan, _ = planned(*words, "foundation=run:pretrain", sizes)
    found = {spec.axes["size"]: spec for spec in transfers(plan)}
    assert len(found) == 3
    for size, spec in found.items():
        assert spec.size == size
        assert str(size) in str(spec.foundation and spec.foundation.run_task_id)
    # The grid's own size decides where it sweeps none.
    plain, _ = planned(*words, "foundation=run:pretrain")
    assert [spec.size for spec in transfers(plain)] == ["tiny"]
    with pytest.raises(UserError, match="several tasks") as caught:
        planned(*words, "foundation=run:pretrain", "model=small")
    assert len(caught.value.valid) == 3
    with pytest.raises(UserError, match="no task could have made"):
        planned(*words, "foundation=run:pretrain", "axes.size=[large]")


def test_a_run_that_is_not_complete_says_what_lacks(
    planned: Planned, ran: Callable[..., RunPaths]
) -> None:
    run = ran(*HOMOGENEOUS, stages=())
    (task,) = run.task_folders()
    with pytest.raises(UserError, match="is complete") as caught:
        planned("grid=nightly", "foundation=run:pretrain")
    assert task.folder.name in caught.value.what
    assert f"status run={run.folder}" in str(caught.value.remedy)
    with pytest.raises(UserError, match="is not done"):
        planned("grid=nightly", f"foundation=run:pretrain/{run.folder.name}")


def test_a_model_that_changed_is_refused_while_planning(
    planned: Planned, ran: Callable[..., RunPaths]
) -> None:
    run = ran(*HOMOGENEOUS)
    (task,) = run.task_folders()
    task.model.write_bytes(MODEL + b"!")
    with pytest.raises(UserError, match="has changed since") as caught:
        planned("grid=nightly", "foundation=run:pretrain")
    assert caught.value.where == str(task.model)


@pytest.mark.parametrize("what", ["split", "data"])
def test_a_foundation_whose_frames_cannot_be_told_is_refused(
    what: str, planned: Planned, ran: Callable[..., RunPaths]
) -> None:
    run = ran(*HOMOGENEOUS)
    (task,) = run.task_folders()
    path = task.split if what == "split" else task.task
    document = read_json(path)
    if what == "split":
        document["train"].pop()
    else:
        document["dataset"]["dataset_hash"] = "0" * 64
    write_json(path, document)
    with pytest.raises(UserError, match="cannot be told"):
        planned("grid=nightly", "foundation=run:pretrain")


def test_a_run_that_is_not_there_is_said_to_be_so(
    planned: Planned, ran: Callable[..., RunPaths], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="There is no run of the grid 'pretrain'") as caught:
        planned("grid=nightly", "foundation=run:pretrain")
    assert "python -m mo_hpc.launch grid=pretrain" in str(caught.value.remedy)
    run = ran(*HOMOGENEOUS)
    with pytest.raises(UserError, match="There is no run 0123") as caught:
        earlier_run(tmp_path / "runs", RunWords.parse("run:pretrain/0123"))
    assert caught.value.valid == (f"run:pretrain/{run.folder.name}",)


@pytest.mark.parametrize("name", ["run:", "run:../x", "run:pretrain/", "run:a/b/c/d"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(UserError) as caught:
        RunWords.parse(name)
    assert "run:GRID/DIGEST/TASK" in caught.value.valid


def test_a_published_foundation_that_was_fine_tuned_is_no_stand_in(
    planned: Planned, ran: Callable[..., RunPaths]
) -> None:
    words = ("grid=nightly", "axes.paradigm=[fine_tune]", "axes.protocol=[iid]")
    run = ran(*words, "foundation=mace_mp_0_small", stages=("transfer",))
    plan, _ = planned(*words, f"foundation=run:nightly/{run.folder.name}")
    (spec,) = transfers(plan)
    assert spec.foundation is not None
    assert not spec.foundation.is_stand_in

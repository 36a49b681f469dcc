"""Plans of the shipped grids: sizes, identities, order and the errors a user meets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mo_hpc.core.config import compose
from mo_hpc.core.errors import UserError
from mo_hpc.core.schema import AxesConfig, RunConfig, validated
from mo_hpc.plan.checks import check_effects
from mo_hpc.plan.planner import Plan, make_plan


def plan(cache: Path, *words: str) -> Plan:
    document, explicit = compose([*words, f"cache_root={cache}"])
    return make_plan(validated(RunConfig, document, where="test"), explicit)


def test_the_demo_plan_has_every_paradigm_and_protocol(cache_root: Path) -> None:
    specs = [task.spec for task in plan(cache_root, "grid=demo").tasks]
    assert specs[0].stage == "pretrain"
    assert {spec.paradigm for spec in specs} == {"zero_shot", "scratch", "fine_tune"}
    assert {spec.split.config.protocol for spec in specs} == {"iid", "lodo_strict", "lodo_relaxed"}
    assert len({spec.id for spec in specs}) == len(specs)
    assert all(spec.needs == (specs[0].id,) for spec in specs[1:] if spec.paradigm != "scratch")


def test_a_plan_is_the_same_every_time(cache_root: Path) -> None:
    first, second = (plan(cache_root, "grid=demo") for _ in range(2))
    assert [task.spec for task in first.tasks] == [task.spec for task in second.tasks]
    assert [task.split for task in first.tasks] == [task.split for task in second.tasks]


def test_resources_and_executors_do_not_change_identities(cache_root: Path) -> None:
    plain = plan(cache_root, "grid=demo")
    moved = plan(
        cache_root,
        "grid=demo",
        "executor=inline",
        "resources.memory_gb=64",
        "resources.time_min=5",
        "train.eval_batch_size=3",
    )
    assert [task.spec.digest for task in plain.tasks] == [task.spec.digest for task in moved.tasks]
    assert plain.run_digest == moved.run_digest


@pytest.mark.parametrize("word", ["train.learning_rate=0.5", "train.seed=7", "split.seed=7"])
def test_what_changes_the_science_changes_identities(cache_root: Path, word: str) -> None:
    plain, changed = plan(cache_root, "grid=nightly"), plan(cache_root, "grid=nightly", word)
    assert not (
        {task.spec.digest for task in plain.tasks} & {task.spec.digest for task in changed.tasks}
    )


def test_a_change_of_the_pretraining_reaches_what_is_built_on_it(cache_root: Path) -> None:
    plain = plan(cache_root, "grid=nightly")
    changed = plan(cache_root, "grid=nightly", "grid.stages.pretrain.train={max_epochs: 1}")
    kept = {task.spec.digest for task in plain.tasks} & {task.spec.digest for task in changed.tasks}
    stages = {(t.spec.stage, t.spec.paradigm) for t in plain.tasks if t.spec.digest in kept}
    assert stages == set(), "nightly takes the pretraining's energies in every task"
    demo = [
        plan(cache_root, "grid=demo", *words).tasks
        for words in ((), ("grid.stages.pretrain.train={max_epochs: 1}",))
    ]
    common = {t.spec.digest for t in demo[0]} & {t.spec.digest for t in demo[1]}
    assert {t.spec.paradigm for t in demo[0] if t.spec.digest in common} == {"scratch"}


def test_other_words_never_share_a_run_folder(cache_root: Path) -> None:
    plain = plan(cache_root, "grid=nightly")
    seeded = plan(cache_root, "grid=nightly", "axes.seed=[42]")
    assert {t.spec.digest for t in plain.tasks} == {t.spec.digest for t in seeded.tasks}
    assert plain.run_digest != seeded.run_digest, "their tasks have other names"


@pytest.mark.parametrize(
    "word", ["train.allow_missing_energy_reference=true", "train.energy_reference_ev={Mo: -1.0}"]
)
def test_settings_without_effect_change_nothing(cache_root: Path, word: str) -> None:
    key, value = word.removeprefix("train.").split("=")
    stage = "grid.stages.transfer.train={energy_reference: foundation%s}"
    plain = plan(cache_root, "grid=nightly", stage % "")
    changed = plan(cache_root, "grid=nightly", stage % f", {key}: {value}")
    assert [t.spec.digest for t in plain.tasks] == [t.spec.digest for t in changed.tasks]


def test_a_zero_shot_task_depends_on_no_setting_of_training(cache_root: Path) -> None:
    words = ("grid=nightly", "axes.paradigm=[zero_shot]", "axes.protocol=[iid]")
    by_policy = {
        plan(cache_root, *words, f"grid.stages.transfer.train={{energy_reference: {policy}}}")
        .tasks[-1]
        .spec.digest
        for policy in ("foundation", "average", "estimated")
    }
    assert len(by_policy) == 1


def test_the_audit_sees_what_the_foundation_was_made_from(cache_root: Path) -> None:
    clean = plan(cache_root, "grid=nightly", "axes.protocol=[lodo_strict]").tasks[-1].spec
    assert clean.split.audit.n_seen_by_foundation == 0
    assert clean.split.audit.held_out_element_in_foundation is True
    leaky = (
        plan(
            cache_root,
            "grid=nightly",
            "axes.protocol=[lodo_strict]",
            "grid.stages.pretrain.subset=null",
        )
        .tasks[-1]
        .spec
    )
    assert 0 < (leaky.split.audit.n_seen_by_foundation or 0) <= leaky.split.n_test
    assert any("foundation was made from" in each for each in leaky.split.audit.findings)


def test_a_stage_that_trains_nothing_makes_no_foundation(cache_root: Path) -> None:
    with pytest.raises(UserError, match="trains nothing"):
        plan(
            cache_root,
            "grid=nightly",
            "grid.stages.middle={paradigm: zero_shot, foundation: 'stage:pretrain'}",
            "grid.stages.transfer.foundation='stage:middle'",
        )


def test_a_stage_that_does_not_exist_makes_no_donor(cache_root: Path) -> None:
    words = ("new_elements.weights=slice", "new_elements.energy_reference=estimated")
    donor = "new_elements.foundation='stage:pretrian'"
    known = "dataset.subsets.known={without_elements: [W]}"
    scratch = "grid.stages.pretrain.subset=known"
    with pytest.raises(UserError, match="Unknown stage 'pretrian'") as caught:
        plan(cache_root, "grid=nightly", known, scratch, *words, donor)
    assert "Did you mean stage=pretrain?" in str(caught.value)


def test_a_kind_of_task_without_settings_of_its_own_can_be_planned(cache_root: Path) -> None:
    spec = plan(cache_root, "grid=nightly").tasks[0].spec.model_copy(update={"kind": "other"})
    check_effects([spec], AxesConfig(), {})
    with pytest.raises(UserError, match="no task of this plan trains"):
        check_effects([spec], AxesConfig(), {"train.max_epochs": 3})


def test_sizes_agree_across_paradigms(cache_root: Path, shared_data_root: Path) -> None:
    found = plan(
        cache_root, "grid=iid_eq", "dataset=mo420_replica", f"data_root={shared_data_root}"
    )
    assert {task.spec.size for task in found.tasks} == {"small", "medium", "large"}
    table2 = plan(
        cache_root, "grid=lodo_full", "dataset=mo420_replica", f"data_root={shared_data_root}"
    )
    assert {task.spec.size for task in table2.tasks} == {"medium"}


def test_presets_adjust_by_paradigm_size_and_dataset(
    cache_root: Path, shared_data_root: Path
) -> None:
    found = plan(
        cache_root, "grid=iid_eq", "dataset=mo420_replica", f"data_root={shared_data_root}"
    )
    epochs = {(t.spec.paradigm, t.spec.size): t.spec.train.max_epochs for t in found.tasks}
    assert [epochs["scratch", size] for size in ("small", "medium", "large")] == [60, 50, 30]
    assert {epochs["fine_tune", size] for size in ("small", "medium", "large")} == {200}
    cutoffs = {t.spec.model.r_max_ang for t in found.tasks if t.spec.model}
    assert cutoffs == {5.0}
    noneq = plan(
        cache_root, "grid=iid_noneq", "dataset=mo6970_replica", f"data_root={shared_data_root}"
    )
    settings = {
        (t.spec.size, t.spec.train.batch_size, t.spec.train.max_epochs) for t in noneq.tasks
    }
    assert settings == {("small", 16, 100), ("medium", 16, 100), ("large", 16, 80)}


def test_one_word_takes_a_study_to_two_cores(cache_root: Path) -> None:
    words = ("grid=pretrain", "dataset=demo", "axes.size=[reduced_small]")
    plain, small = plan(cache_root, *words), plan(cache_root, *words, "train=two_cores")
    (before,), (after,) = ([task.spec for task in each.tasks] for each in (plain, small))
    assert (before.resources.gpus_per_node, after.resources.gpus_per_node) == (1, 0)
    assert (before.resources.cpus_per_task, after.resources.cpus_per_task) == (8, 1)
    assert before.train.max_epochs > after.train.max_epochs
    study = ("grid=nightly", "axes.protocol=[lodo_strict]", "train=two_cores")
    nightly = "grid.stages.transfer.train={}"
    policies = {
        task.spec.paradigm: task.spec.train.energy_reference
        for task in plan(
            cache_root, *study, nightly, "train.allow_missing_energy_reference=true"
        ).tasks
        if task.spec.stage == "transfer"
    }
    assert policies["fine_tune"] == "foundation"
    assert policies["scratch"] == "average"


def test_axes_narrow_from_the_command_line(cache_root: Path) -> None:
    specs = [
        task.spec
        for task in plan(
            cache_root, "grid=demo", "axes.element=[W]", "axes.paradigm=[scratch]"
        ).tasks
    ]
    assert {spec.axes.get("element") for spec in specs} == {None, "W"}
    # A scratch model with average energies takes nothing from the pretraining.
    assert {spec.stage for spec in specs} == {"transfer"}


def test_the_held_out_element_is_absent_from_strict_training(cache_root: Path) -> None:
    for task in plan(cache_root, "grid=demo").tasks:
        if task.spec.split.config.protocol == "lodo_strict":
            assert task.spec.split.config.element not in task.spec.split.train_elements
            assert task.spec.split.audit.n_train_with_held_out_element == 0


ERRORS = {
    ("grid=demoo",): ("grid", "demo"),
    ("grid=demo", "train.lerning_rate=1"): ("train.lerning_rate", "learning_rate"),
    ("grid=demo", "axes.element=[Xx]"): ("Xx", "chemical element"),
    ("grid=demo", "axes.element=[Y]"): ("No frame holds Y", "axes.element=[Ta,V,W,Zr]"),
    ("grid=demo", "axes.element=[false]"): ("axes.element", "quote"),
    ("grid=demo", "train.max_epochs=many"): ("train.max_epochs", "many"),
    ("grid=demo", "train.max_epochs=true"): ("train.max_epochs", "True"),
    ("grid=demo", "train.energy_reference=avg"): ("train.energy_reference", "average"),
    ("grid=demo", "dataset=nowhere"): ("dataset", "nbmotaw"),
    ("grid=demo", "nonsense"): ("nonsense", "key=value"),
    ("grid=demo", "train.energy_reference=average"): ("train.energy_reference", "axes."),
    ("grid=nightly", "split.fractions=[1,1,1]"): ("fractions", "sum to 1"),
    ("grid=nightly", "split.max_train=0"): ("split.max_train", "greater than or equal to 1"),
    ("grid=nightly", "train.energy_reference=average"): ("W", "allow_missing"),
    ("grid=nightly", "foundation=mace_mp_0_smal"): ("foundation", "mace_mp_0_small"),
    ("grid=iid_eq", "model=small"): ("model", "axes.size"),
    ("grid=nightly", "axes.size=[small,medium]"): ("same task", "size"),
    ("grid=nightly", "axes.protocol=[iid]", "axes.element=[W]"): ("element", "no task"),
    ("grid=nightly", "split.valid_fraction=0.001"): ("valid", "split.valid_fraction"),
    ("grid=nightly", "axes.energy_reference=[isolated]"): ("isolated", "stand alone"),
    ("grid=nightly", "grid.stages.transfer.exclude=[{paradim: scratch}]"): ("paradim", "paradigm"),
    ("grid=nightly", "train.adjust=[{when: {paradim: scratch}, set: {}}]"): ("paradim", "paradigm"),
    ("grid=nightly", "foundation=./none.model"): ("none.model", "does not exist"),
}


@pytest.mark.parametrize("words", ERRORS, ids=" ".join)
def test_bad_input_names_the_field_the_value_and_the_remedy(
    cache_root: Path, words: tuple[str, ...]
) -> None:
    with pytest.raises(UserError) as caught:
        plan(cache_root, *words)
    lines = str(caught.value).splitlines()
    message = " ".join(str(caught.value).split())
    for part in ERRORS[words]:
        assert part in message
    assert max(map(len, lines)) <= 80


def test_a_missing_dataset_points_to_what_is_there(cache_root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        plan(cache_root, "grid=lodo_full", f"data_root={tmp_path}")
    message = " ".join(str(caught.value).split())
    assert "mo420" in message
    assert "grid=demo" in message
    assert "dataset=nbmotaw" in message


def test_lodo_full_on_the_replica_is_table_2(cache_root: Path, shared_data_root: Path) -> None:
    found = plan(
        cache_root, "grid=lodo_full", "dataset=mo420_replica", f"data_root={shared_data_root}"
    )
    assert len(found.tasks) == 22
    strict = [t.spec.split for t in found.tasks if t.spec.split.config.protocol == "lodo_strict"]
    relaxed = [t.spec.split for t in found.tasks if t.spec.split.config.protocol == "lodo_relaxed"]
    # Per host: the single and 11 pairs × 3 shells; relaxed: the single and X-X × 3 shells.
    assert {split.n_test for split in strict} == {2 * (1 + 11 * 3)}
    assert {split.n_test for split in relaxed} == {2 * (1 + 3)}
    assert set(found.to_stage) == {"mace_mp_0_medium"}


def test_specs_survive_json(cache_root: Path) -> None:
    for task in plan(cache_root, "grid=nightly").tasks:
        document = json.loads(json.dumps(task.spec.model_dump(mode="json")))
        assert validated(type(task.spec), document, where="x") == task.spec


def test_a_few_shot_curve_has_one_test_and_one_zero_shot_task(cache_root: Path) -> None:
    words = ("grid=nightly", "axes.protocol=[few_shot]", "split.max_shots=3")
    specs = [task.spec for task in plan(cache_root, *words, "axes.shots=[0,1,3]").tasks]
    transfer = [spec for spec in specs if spec.stage == "transfer"]
    by_paradigm = {
        name: [spec.axes.get("shots") for spec in transfer if spec.paradigm == name]
        for name in ("zero_shot", "scratch", "fine_tune")
    }
    assert by_paradigm == {"zero_shot": [None], "scratch": [0, 1, 3], "fine_tune": [0, 1, 3]}
    assert len({spec.split.n_test for spec in transfer}) == 1
    n_new = [spec.split.audit.n_train_with_held_out_element for spec in transfer[-3:]]
    assert n_new[0] == 0 < n_new[1] < n_new[2]
    assert all(spec.split.audit.n_shared_groups == 0 for spec in transfer)


def test_thresholds_change_no_task(cache_root: Path) -> None:
    word = "grid.thresholds.force_mae_mev_per_ang_component=75"
    plain, changed = plan(cache_root, "grid=nightly"), plan(cache_root, "grid=nightly", word)
    assert changed.run_digest == plain.run_digest


def test_shots_play_no_part_but_in_a_few_shot_fold(cache_root: Path) -> None:
    with pytest.raises(UserError, match="'shots' applies to no task"):
        plan(cache_root, "grid=nightly", "axes.shots=[0,1]")

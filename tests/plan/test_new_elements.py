"""Plans for elements that a fine-tuned model lacks: proxies, donors, and energies nobody chose."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mo_hpc.core.config import compose
from mo_hpc.core.errors import UserError
from mo_hpc.core.schema import RunConfig, validated
from mo_hpc.core.task import TrainTask
from mo_hpc.plan.planner import make_plan
from mo_hpc.plan.proxies import group_of, nearest, period_of
from mo_hpc.plan.show import audit_lines

NEW = "split.new_elements=[W,Zr]"
PROXY = "new_elements.weights=proxy_group"
BORROWED = "new_elements.energy_reference=borrowed"
MODELS = (
    "grid=demo",
    "dataset.subsets.known={where: {kind: [doped]}, without_elements: [W, Zr]}",
    "grid.stages.tune={foundation: 'stage:pretrain', subset: known}",
)
_TRANSFER = (
    "grid.stages.transfer={foundation: 'stage:tune', subset: doped, %s"
    "split: {protocol: new_elements}}"
)
DIRECT = (
    *MODELS,
    _TRANSFER % "paradigm: zero_shot, ",
    NEW,
)


def refine(policy: str) -> tuple[str, ...]:
    """Training on, with the new elements in test only, under a policy of reference energies."""
    return (*MODELS, _TRANSFER % f"train: {{{policy}}}, ", NEW, PROXY)


def explicit(energies_ev: str) -> tuple[str, str]:
    return (
        "new_elements.energy_reference=explicit",
        f"new_elements.energy_reference_ev={energies_ev}",
    )


def tasks(cache: Path, *words: str) -> dict[str, list[TrainTask]]:
    document, explicit = compose([*words, f"cache_root={cache}"])
    plan = make_plan(validated(RunConfig, document, where="test"), explicit)
    found: dict[str, list[TrainTask]] = {}
    for task in plan.tasks:
        assert isinstance(task.spec, TrainTask)
        found.setdefault(task.spec.stage, []).append(task.spec)
    return found


@pytest.mark.parametrize(
    ("element", "period", "group"),
    [
        ("H", 1, 1), ("He", 1, 18), ("Be", 2, 2), ("B", 2, 13), ("Al", 3, 13), ("Sc", 4, 3),
        ("Zn", 4, 12), ("Y", 5, 3), ("Mo", 5, 6), ("Ag", 5, 11), ("La", 6, 3), ("Gd", 6, 3),
        ("Hf", 6, 4), ("Hg", 6, 12), ("Rn", 6, 18), ("U", 7, 3), ("Rf", 7, 4),
    ],
)  # fmt: skip
def test_places_in_the_periodic_table(element: str, period: int, group: int) -> None:
    assert (period_of(element), group_of(element)) == (period, group)


def test_the_nine_new_elements_of_the_paper_and_their_proxies() -> None:
    trained = ["Cr", "Fe", "Mn", "Nb", "Re", "Ta", "Ti", "V", "W", "Y", "Zr"]
    new = ["Al", "Zn", "Cu", "Ag", "Au", "Hg", "Co", "Ni", "Hf"]
    found = {
        rule: [nearest(rule, element, trained) for element in new]
        for rule in ("proxy_group", "proxy_period", "proxy_number")
    }
    assert found == {
        "proxy_group": ["Fe"] * 8 + ["Zr"],
        "proxy_period": ["Fe", "Fe", "Fe", "Nb", "Re", "Re", "Fe", "Fe", "Ta"],
        "proxy_number": ["Ti", "Fe", "Fe", "Nb", "Re", "Re", "Fe", "Fe", "Ta"],
    }


def test_a_fine_tuned_model_is_asked_for_no_element_it_lacks(cache_root: Path) -> None:
    with pytest.raises(UserError, match="does not know W, Zr") as error:
        tasks(cache_root, *DIRECT)
    assert "new_elements.weights" in str(error.value)


def test_an_energy_that_nobody_chose_is_refused_with_its_remedies(cache_root: Path) -> None:
    with pytest.raises(UserError, match="No reference energy for the new elements W, Zr") as error:
        tasks(cache_root, *DIRECT, PROXY)
    assert error.value.valid == ("estimated", "foundation", "explicit", "borrowed")
    assert "estimated (or foundation)" in str(error.value)
    with pytest.raises(UserError, match="a slice has no proxy") as error:
        tasks(cache_root, *DIRECT, "new_elements.weights=slice", BORROWED)
    assert "borrowed" not in error.value.valid
    assert "borrowed" not in str(error.value)
    with pytest.raises(UserError, match="is given for the new elements Zr"):
        tasks(cache_root, *DIRECT, PROXY, *explicit("{W: -12.0}"))


def test_a_refusal_is_one_message_and_exit_status_2(cache_root: Path, tmp_path: Path) -> None:
    words = (*DIRECT, PROXY, f"cache_root={cache_root}", "--dry-run")
    done = subprocess.run(
        [sys.executable, "-m", "mo_hpc.launch", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: No reference energy for the new elements W, Zr")
    assert "Traceback" not in done.stderr


def test_a_proxy_by_rule_and_by_name(cache_root: Path) -> None:
    (by_rule,) = tasks(cache_root, *DIRECT, PROXY, BORROWED)["transfer"]
    assert by_rule.new_elements is not None
    assert by_rule.new_elements.proxies == {"W": "Ta", "Zr": "V"}
    assert by_rule.new_elements.donor is None
    given = ("new_elements.weights=proxy_given", "new_elements.proxy={W: V, Zr: Mo}", BORROWED)
    (by_name,) = tasks(cache_root, *DIRECT, *given)["transfer"]
    assert by_name.new_elements is not None
    assert by_name.new_elements.proxies == {"W": "V", "Zr": "Mo"}
    assert by_name.digest != by_rule.digest
    with pytest.raises(UserError, match="No proxy that the model knows is given for Zr"):
        tasks(cache_root, *DIRECT, given[0], "new_elements.proxy={W: Ta, Zr: Cr}", BORROWED)


def test_a_rule_finds_no_proxy_in_a_model_of_the_host_alone(cache_root: Path) -> None:
    bare = "dataset.subsets.known={without_elements: [V, W, Zr, Ta]}"
    words = [*DIRECT, PROXY, BORROWED]
    words[1] = bare
    words += ["grid.stages.pretrain.subset=known"]
    with pytest.raises(UserError, match="knows nothing but the host Mo") as error:
        tasks(cache_root, *words)
    assert "new_elements.proxy={" in str(error.value)


def test_a_dry_run_counts_training_frames_of_new_elements(cache_root: Path) -> None:
    joint = "grid.stages.transfer.split={protocol: joint}"
    policy = "energy_reference: estimated"
    found = tasks(cache_root, *refine(policy), joint, "new_elements.energy_reference=estimated")
    (task,) = found["transfer"]
    n_frames = task.split.audit.n_train_with_held_out_element
    assert n_frames > 0
    last = audit_lines([task])[-1]
    assert last == f"Training frames that hold the tested element: new elements {n_frames}."


def test_a_dry_run_says_what_any_foundation_of_a_split_saw(cache_root: Path) -> None:
    (task,) = tasks(cache_root, *DIRECT, PROXY, BORROWED)["transfer"]

    def with_seen(n_seen: int | None) -> TrainTask:
        audit = task.split.audit.model_copy(update={"n_seen_by_foundation": n_seen})
        return task.model_copy(update={"split": task.split.model_copy(update={"audit": audit})})

    for order in ((12, None), (None, 12), (12, 0, None)):
        shown = " ".join(audit_lines(with_seen(n_seen) for n_seen in order))
        assert "in 1 of 1 splits test shares 12 frames of the foundation" in shown


def test_rules_that_choose_the_same_proxies_make_one_task(cache_root: Path) -> None:
    axis = "grid.stages.transfer.axes={new_elements: [proxy_period, proxy_number]}"
    with pytest.raises(UserError, match="new_elements changes nothing"):
        tasks(cache_root, *DIRECT, BORROWED, axis)


@pytest.mark.parametrize("weights", ["slice", "proxy_group"])
def test_the_donor_is_what_the_model_was_fine_tuned_from(cache_root: Path, weights: str) -> None:
    found = tasks(
        cache_root,
        *DIRECT,
        f"new_elements.weights={weights}",
        "new_elements.energy_reference=estimated",
    )
    (pretrain,), (tune,), (direct,) = found["pretrain"], found["tune"], found["transfer"]
    assert direct.new_elements is not None
    assert direct.new_elements.donor is not None
    assert direct.new_elements.donor.task_id == pretrain.id
    assert direct.needs == (tune.id, pretrain.id)
    assert direct.split.audit.n_seen_by_foundation == 0
    assert direct.split.n_test > 0 == direct.split.audit.n_train_with_held_out_element


def test_a_donor_that_a_later_stage_makes_is_made_first(cache_root: Path) -> None:
    broad = "grid.stages.broad={paradigm: scratch, only_if_needed: true}"
    words = ("new_elements.weights=slice", "new_elements.energy_reference=estimated")
    found = tasks(cache_root, *DIRECT, broad, *words, "new_elements.foundation='stage:broad'")
    (donor,), (direct,) = found["broad"], found["transfer"]
    assert donor.id in direct.needs
    assert direct.new_elements is not None
    assert direct.new_elements.donor is not None
    assert direct.new_elements.donor.task_id == donor.id


def test_a_model_without_a_foundation_has_no_donor(cache_root: Path) -> None:
    scratch = "grid.stages.tune={paradigm: scratch, subset: known}"
    words = ("new_elements.weights=slice", "new_elements.energy_reference=foundation")
    with pytest.raises(UserError, match="No model gives weights") as error:
        tasks(cache_root, *DIRECT, scratch, *words)
    assert "new_elements.foundation=NAME" in str(error.value)


def test_settings_that_cannot_act_change_no_identity(cache_root: Path) -> None:
    def digests(*words: str) -> list[str]:
        return [task.digest for task in tasks(cache_root, *words)["transfer"]]

    plain = digests("grid=nightly")
    assert digests("grid=nightly", PROXY, BORROWED) == plain
    # The fit of a refined model's energies replaces whatever its new elements began with.
    fitted = refine("allow_missing_energy_reference: true")
    assert digests(*fitted) == digests(*fitted, BORROWED)
    kept = refine("energy_reference: foundation")
    assert digests(*kept, BORROWED) != digests(*kept, *explicit("{W: -12.0, Zr: -8.0}"))


def test_refining_without_a_frame_of_the_element_needs_a_sound_energy(cache_root: Path) -> None:
    with pytest.raises(UserError, match="No reference energy for W, Zr") as error:
        tasks(cache_root, *refine("energy_reference: average"))
    assert "train.allow_missing_energy_reference=true" in str(error.value)
    with pytest.raises(UserError, match="new elements W, Zr"):
        tasks(cache_root, *refine("energy_reference: estimated"))
    allowed = tasks(cache_root, *refine("allow_missing_energy_reference: true"))
    assert allowed["transfer"][0].paradigm == "fine_tune"


def test_the_command_lines_foundation_replaces_what_comes_from_outside(cache_root: Path) -> None:
    words = (*DIRECT, PROXY, BORROWED, "foundation=mace_mp_0_small")
    within = tasks(cache_root, *words)
    (tune,) = within["tune"]
    assert tune.foundation is not None
    assert tune.foundation.name == "mace_mp_0_small", "all of its foundations are made in the grid"
    outside = tasks(
        cache_root, *words, "grid.stages.tune={foundation: mace_mp_0_large, subset: known}"
    )
    (tune,), (direct,) = outside["tune"], outside["transfer"]
    assert tune.foundation is not None
    assert direct.foundation is not None
    assert (tune.foundation.name, direct.foundation.task_id) == ("mace_mp_0_small", tune.id)


@pytest.mark.slow
@pytest.mark.shared_data
def test_the_grids_have_their_size(shared_data_root: Path, tmp_path: Path) -> None:
    data = ("dataset=mo_with_new_elements_replica", f"data_root={shared_data_root}")
    direct = tasks(tmp_path, "grid=dipi", *data)
    assert {stage: len(found) for stage, found in direct.items()} == {
        "fine_tune": 1, "scratch": 1, "zero_shot": 1, "direct": 11, "direct_scratch": 3,
    }  # fmt: skip
    assert {task.split.n_test for task in direct["direct"]} == {79}
    refine = tasks(tmp_path, "grid=refine_new_elements", *data)
    assert {stage: len(found) for stage, found in refine.items()} == {
        "fine_tune": 10,
        "refine": 40,
    }
    for task in refine["refine"]:
        split, audit = task.split, task.split.audit
        assert (split.n_train, split.n_valid, split.n_test) == (404, 45, 50)
        assert set(split.config.new_elements) <= set(split.train_elements)
        assert audit.n_seen_by_foundation is not None
        most_seen = 0 if split.config.protocol == "new_only" else 15
        assert audit.n_seen_by_foundation <= most_seen

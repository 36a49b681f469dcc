"""Plans of few-shot folds whose structures models choose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mo_hpc.core.config import compose
from mo_hpc.core.errors import UserError
from mo_hpc.core.schema import RunConfig, validated
from mo_hpc.core.task import TrainTask
from mo_hpc.plan.planner import Plan, make_plan
from mo_hpc.plan.show import audit_lines

FOLD = ("grid=nightly", "axes.protocol=[few_shot]", "split.max_shots=4", "axes.shots=[0,2]")
_MEMBERS = (
    "{paradigm: fine_tune, foundation: stage:pretrain, subset: doped, "
    "only_if_needed: true, split: {protocol: few_shot, element: W}, axes: {seed: [101,102,103]}, "
    "train: {energy_reference: foundation}}"
)
MEMBERS = (f"grid.stages.members={_MEMBERS}", "grid.stages.transfer.committee=members")
TUNED = "axes.paradigm=[fine_tune]"
Planned = Callable[..., Plan]


@pytest.fixture(scope="module")
def planned(cache_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Planned:
    """Plans the nightly grid's few-shot fold: ``planned("words", …)``."""
    roots = (f"cache_root={cache_root}", f"data_root={tmp_path_factory.mktemp('data')}")

    def plan(*words: str) -> Plan:
        document, explicit = compose([*FOLD, *roots, *words])
        return make_plan(validated(RunConfig, document, where="test"), explicit)

    return plan


def transfer(plan: Plan) -> list[TrainTask]:
    specs = [task.spec for task in plan.tasks if task.spec.stage == "transfer"]
    return [spec for spec in specs if isinstance(spec, TrainTask)]


def test_the_axis_is_left_out_where_nothing_is_chosen(planned: Planned) -> None:
    words = ("axes.paradigm=[zero_shot,fine_tune]", "axes.selection=[random,descriptor]")
    found = [
        (spec.paradigm, spec.axes.get("shots"), spec.axes.get("selection"))
        for spec in transfer(planned(*words))
    ]
    assert found == [
        ("zero_shot", None, None),
        ("fine_tune", 0, None),
        ("fine_tune", 2, "random"),
        ("fine_tune", 2, "descriptor"),
    ]


def test_random_is_the_task_it_was_and_others_are_other_tasks(planned: Planned) -> None:
    plain = {spec.digest for spec in transfer(planned(TUNED))}
    both = planned(TUNED, "axes.selection=[random,descriptor]")
    by_rule = {spec.axes.get("selection"): spec for spec in transfer(both)}
    assert {by_rule[None].digest, by_rule["random"].digest} == plain
    chosen, random_one = by_rule["descriptor"].split, by_rule["random"].split
    assert by_rule["descriptor"].digest not in plain
    assert (chosen.n_test, chosen.n_valid) == (random_one.n_test, random_one.n_valid)
    counts = (chosen.n_train, chosen.n_valid, chosen.n_test, chosen.n_excluded)
    assert sum(counts) == len(both.tasks[-1].made.frames)
    assert "W" in chosen.train_elements
    # As if all candidates trained: more than two of them can never share with test.
    at_most, exactly = (split.audit.n_train_with_held_out_element for split in (chosen, random_one))
    assert at_most > exactly > 0
    assert "W at most 16" in " ".join(audit_lines(transfer(both)))


def test_more_shots_of_one_pool_are_another_task(planned: Planned) -> None:
    words = (TUNED, "axes.selection=[descriptor]", "axes.shots=[1,2]")
    one, two = transfer(planned(*words))
    assert one.split.digest == two.split.digest
    assert one.digest != two.digest


def test_a_committee_is_needed_by_what_it_chooses_for_only(planned: Planned) -> None:
    plan = planned(TUNED, "axes.selection=[random,committee]", *MEMBERS)
    members = tuple(task.spec.id for task in plan.tasks if task.spec.stage == "members")
    pretrain = plan.tasks[0].spec.id
    assert len(members) == 3
    for spec in transfer(plan):
        by_committee = spec.axes.get("selection") == "committee"
        assert spec.needs == ((pretrain, *members) if by_committee else (pretrain,))
        assert spec.committee == (members if by_committee else ())


def test_another_committee_makes_another_task(planned: Planned) -> None:
    words = (TUNED, "axes.selection=[committee]", *MEMBERS)
    first = transfer(planned(*words))[-1]
    second = transfer(planned(*words, "grid.stages.members.train.max_epochs=3"))[-1]
    assert first.split == second.split
    assert first.digest != second.digest


def test_a_committee_that_chooses_nothing_is_not_planned(planned: Planned) -> None:
    plain = planned(TUNED)
    # Its seeds would contradict a seed for all.
    assert planned(TUNED, *MEMBERS, "train.seed=42").run_digest == plain.run_digest


def test_seeds_of_a_study_are_not_those_of_its_committee(planned: Planned) -> None:
    plan = planned(TUNED, "axes.selection=[committee]", "axes.seed=[1,2]", *MEMBERS)
    members = [task.spec.axes["seed"] for task in plan.tasks if task.spec.stage == "members"]
    assert members == [101, 102, 103]
    assert {spec.axes["seed"] for spec in transfer(plan)} == {1, 2}


@pytest.mark.parametrize(
    ("words", "what", "remedy"),
    [
        (
            ("axes.paradigm=[scratch]", "axes.selection=[descriptor]"),
            "a scratch task starts from none",
            "exclude: [{paradigm: scratch, selection: descriptor}]",
        ),
        ((TUNED, "axes.selection=[committee]"), "the stage 'transfer' names none", "axis 'seed'"),
        (
            (TUNED, "axes.selection=[committee]", *MEMBERS, "grid.stages.members.axes.seed=[1,2]"),
            "A committee of 2 trained models is too small",
            "3 seeds or more",
        ),
        (
            (
                TUNED,
                "axes.selection=[committee]",
                *MEMBERS,
                "grid.stages.members.split={protocol: iid}",
            ),
            "of the frames that it is to choose from or that are tested",
            "the split of the tasks it serves",
        ),
        (
            ("axes.protocol=[lodo_strict]", "axes.shots=null", "axes.selection=[descriptor]"),
            "The axis 'selection' applies to no task",
            "'selection' for few_shot",
        ),
        ((TUNED, "axes.selection=[descriptor]", "axes.shots=[4]"), "nothing to choose", ""),
    ],
)
def test_a_selection_that_cannot_be_is_refused(
    planned: Planned, words: tuple[str, ...], what: str, remedy: str
) -> None:
    with pytest.raises(UserError) as caught:
        planned(*words)
    assert what in caught.value.what
    assert remedy in str(caught.value.remedy)

"""The leakage audit: each finding, and that a grouped split has none of the avoidable ones."""

from __future__ import annotations

import pytest

from mo_hpc.core.index import FrameEntry
from mo_hpc.core.schema import SplitConfig
from mo_hpc.core.task import Split
from mo_hpc.grid.audit import Fitted, audit_split, with_foundation
from mo_hpc.grid.splits import iid, lodo_relaxed


def frame(id_: str, dopant: str = "Nb", **keys: str) -> FrameEntry:
    defaults = {"group": id_, "fingerprint": f"fingerprint of {id_}", "near": f"near {id_}"}
    return FrameEntry(id=id_, composition={"Mo": 15, dopant: 1}, **(defaults | keys))


def audit(test, *, train=(), valid=(), **config):
    split = Split(
        train=tuple(f.id for f in train),
        valid=tuple(f.id for f in valid),
        test=tuple(f.id for f in test),
    )
    frames = {f.id: f for f in (*train, *valid, *test)}
    return audit_split(split, frames, SplitConfig(**config), "Mo")


def test_nothing_shared_nothing_found():
    found = audit([frame("a")], train=[frame("b")], valid=[frame("c")])
    assert found.findings == ()
    assert (found.n_duplicates, found.n_near_duplicates, found.n_shared_groups) == (0, 0, 0)
    assert found.held_out_element_in_train is None
    assert found.n_train_with_held_out_element == 0


@pytest.mark.parametrize("part", ["train", "valid"])
@pytest.mark.parametrize(
    ("shared", "counts"),
    [
        ({"fingerprint": "same"}, (1, 0, 0)),
        ({"near": "same"}, (0, 1, 0)),
        ({"group": "same"}, (0, 0, 1)),
        ({"fingerprint": "same", "near": "alike"}, (1, 0, 0)),
    ],
    ids=["duplicate", "near-duplicate", "group", "a duplicate is not also a near-duplicate"],
)
def test_what_test_shares_with_the_model_is_found(part, shared, counts):
    parts = {"train": [frame("b")], "valid": [frame("c")]}
    parts[part] = [frame("x", **shared)]
    found = audit([frame("a", **shared), frame("d")], **parts)
    assert (found.n_duplicates, found.n_near_duplicates, found.n_shared_groups) == counts
    assert len(found.findings) == 1
    assert found.findings[0].endswith(": 1.")


def test_frames_without_fingerprint_are_not_duplicates():
    blank = {"fingerprint": "", "near": ""}
    assert audit([frame("a", **blank)], train=[frame("b", **blank)]).findings == ()


def test_held_out_element_in_training_is_a_fact_of_the_relaxed_protocol():
    found = audit(
        [frame("a")],
        train=[frame("b"), frame("c"), frame("d", "Ta")],
        valid=[frame("e")],
        protocol="lodo_relaxed",
        element="Nb",
    )
    assert found.held_out_element_in_train is True
    assert found.n_train_with_held_out_element == 2
    assert found.findings == (
        "Training frames that contain the held-out element Nb: 2.",
        "Validation frames that contain the held-out element Nb: 1.",
    )


def test_held_out_element_absent_is_said_too():
    found = audit([frame("a")], train=[frame("b", "Ta")], protocol="lodo_strict", element="Nb")
    assert found.held_out_element_in_train is False
    assert found.findings == ()


@pytest.mark.parametrize(("tested", "known"), [((), None), (("Nb",), False), (("Nb", "Ta"), True)])
def test_any_tested_element_in_the_foundation_is_found(tested, known):
    fitted = Fitted().plus("one", [frame("b", "Zr")]).joined(Fitted({"one": (frame("c", "Ta"),)}))
    found = with_foundation(
        audit([frame("a")]),
        dataset="one",
        test=[frame("c"), frame("a")],
        fitted=fitted,
        tested=tested,
    )
    assert found.held_out_element_in_foundation is known
    assert found.n_seen_by_foundation == 1
    finding = "The foundation was made with frames that contain Nb or Ta."
    assert (finding in found.findings) is bool(known)


def trajectories() -> list[FrameEntry]:
    """Thirty relaxations of five frames, the last two nearly the same."""
    return [
        frame(f"{run}#{step}", "Nb" if run % 2 else "Ta", group=f"{run}", near=f"{run} {step // 4}")
        for run in range(30)
        for step in range(5)
    ]


def test_random_split_over_relaxation_frames_leaks_and_the_grouped_one_does_not():
    frames = trajectories()
    by_id = {f.id: f for f in frames}
    found = {}
    for grouped in (False, True):
        config = SplitConfig(grouped=grouped)
        split = iid(frames, config, dataset_hash="0", host_element="Mo")
        found[grouped] = audit_split(split, by_id, config, "Mo")
    assert found[False].n_shared_groups > 0
    assert found[False].n_near_duplicates > 0
    assert found[True].findings == ()


def test_relaxed_fold_without_mixed_frames_has_no_element_in_train():
    frames = trajectories()
    config = SplitConfig(protocol="lodo_relaxed", element="Nb")
    split = lodo_relaxed(frames, config, dataset_hash="0", host_element="Mo")
    found = audit_split(split, {f.id: f for f in frames}, config, "Mo")
    assert found.held_out_element_in_train is False

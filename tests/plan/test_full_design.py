"""The paper's design at full size on the open replica: its plans against counting by hand."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from math import comb
from pathlib import Path

import pytest

from mo_hpc.core.config import compose
from mo_hpc.core.index import FrameEntry
from mo_hpc.core.schema import RunConfig, validated
from mo_hpc.core.task import TrainTask
from mo_hpc.plan.planner import make_plan
from mo_hpc.plan.training import PlannedTraining

DOPANTS = ("Cr", "Fe", "Mn", "Nb", "Re", "Ta", "Ti", "V", "W", "Y", "Zr")
HOSTS = ("bcc", "fcc")
SHELLS = (1, 2, 3)

N, H, S = len(DOPANTS), len(HOSTS), len(SHELLS)
N_STRUCTURES = H * (1 + N + (comb(N, 2) + N) * S)
N_STRICT = H * (1 + N * S)
"""Structures that hold a given dopant: its single, and a pair with each of the eleven."""
N_RELAXED = H * (1 + S)
"""Structures whose only dopant it is: its single, and the pair of two."""

pytestmark = pytest.mark.shared_data

Planned = Callable[..., list[PlannedTraining]]


@pytest.fixture(scope="module")
def planned(cache_root: Path, shared_data_root: Path) -> Planned:
    """The tasks of a grid on a dataset of the replica."""

    def plan(grid: str, dataset: str, *words: str) -> list[PlannedTraining]:
        places = [f"cache_root={cache_root}", f"data_root={shared_data_root}"]
        document, explicit = compose([f"grid={grid}", f"dataset={dataset}", *words, *places])
        found = make_plan(validated(RunConfig, document, where="test"), explicit)
        return [task for task in found.tasks if isinstance(task, PlannedTraining)]

    return plan


def structure(frame: FrameEntry) -> tuple[str, str, int]:
    """Host, dopants and shell of a frame, which name its structure."""
    return frame.host, str(frame.tags["dopants"]), int(frame.tags["shell"])


def designed() -> set[tuple[str, str, int]]:
    """All structures of the design, written down from its definition."""
    pairs = itertools.combinations_with_replacement(DOPANTS, 2)
    alone = [("none", 0), *((dopant, 0) for dopant in DOPANTS)]
    paired = [("-".join(pair), shell) for pair in pairs for shell in SHELLS]
    return {(host, *one) for host in HOSTS for one in [*alone, *paired]}


def structures(task: PlannedTraining, names: Iterable[str]) -> set[tuple[str, str, int]]:
    """The structures of some frames."""
    return {structure(task.made.frames[name]) for name in names}


def by_fold(tasks: list[PlannedTraining], protocol: str) -> dict[str, PlannedTraining]:
    """Held-out element → the task of a protocol."""
    return {
        str(task.spec.axes["element"]): task
        for task in tasks
        if task.spec.axes["protocol"] == protocol
    }


def test_the_design_is_whole(planned: Planned) -> None:
    assert (N_STRUCTURES, N_STRICT, N_RELAXED) == (420, 68, 8)
    final = planned("lodo_full", "mo420_replica")[0].made.frames
    assert Counter(structure(frame) for frame in final.values()) == Counter(designed())
    frames = planned("iid_noneq", "mo6970_replica")[0].made.frames
    assert len(frames) == 6970
    assert {structure(frame) for frame in frames.values()} == designed()
    assert len({frame.group for frame in frames.values()}) == N_STRUCTURES


@pytest.mark.parametrize(
    ("grid", "dataset", "n_tasks", "n_splits", "parts"),
    [
        # 0.81, 0.09 and 0.10 of all, by largest remainder: 340.2, 37.8, 42; 5645.7, 627.3, 697.
        ("iid_eq", "mo420_replica", 90, 10, (340, 38, 42)),
        ("iid_noneq", "mo6970_replica", 15, 5, (5646, 627, 697)),
    ],
)
def test_table_1_has_its_splits(
    planned: Planned,
    grid: str,
    dataset: str,
    n_tasks: int,
    n_splits: int,
    parts: tuple[int, int, int],
) -> None:
    tasks = planned(grid, dataset)
    assert len(tasks) == n_tasks
    assert len({task.spec.digest for task in tasks}) == n_tasks
    splits = {task.spec.split.digest: task for task in tasks}
    assert len(splits) == n_splits
    for task in splits.values():
        assert (len(task.split.train), len(task.split.valid), len(task.split.test)) == parts
        every = [*task.split.train, *task.split.valid, *task.split.test]
        assert len(set(every)) == len(every) == len(task.made.frames)


def test_table_2_has_its_folds(planned: Planned) -> None:
    tasks = planned("lodo_full", "mo420_replica")
    assert len(tasks) == 2 * N
    strict, relaxed = by_fold(tasks, "lodo_strict"), by_fold(tasks, "lodo_relaxed")
    assert strict.keys() == relaxed.keys() == set(DOPANTS)
    for element in DOPANTS:
        holds = {one for one in designed() if element in one[1].split("-")}
        only = {one for one in designed() if set(one[1].split("-")) == {element}}
        assert structures(strict[element], strict[element].split.test) == holds
        assert structures(relaxed[element], relaxed[element].split.test) == only
        # What is not test is divided 9:1: 316.8 and 35.2 of 352; 370.8 and 41.2 of 412.
        assert counts(strict[element].spec) == (317, 35, N_STRICT)
        assert counts(relaxed[element].spec) == (371, 41, N_RELAXED)
        audit = strict[element].spec.split.audit
        assert not audit.held_out_element_in_train
        assert audit.n_train_with_held_out_element == 0
    # A mixed pair is tested in the folds of both of its elements, all others but Mo in one.
    tested = Counter(one for task in strict.values() for one in structures(task, task.split.test))
    assert Counter(tested.values()) == {2: H * comb(N, 2) * S, 1: H * (N + N * S)}


def test_the_folds_over_all_frames_test_whole_relaxations(planned: Planned) -> None:
    tasks = planned("lodo_full", "mo6970_replica")
    assert len(tasks) == 2 * N
    for protocol, n_tested in (("lodo_strict", N_STRICT), ("lodo_relaxed", N_RELAXED)):
        for task in by_fold(tasks, protocol).values():
            split, frames = task.split, task.made.frames
            groups = {frames[name].group for name in split.test}
            assert len(groups) == n_tested
            assert sum(frame.group in groups for frame in frames.values()) == len(split.test)
            n_fitted = len(split.train) + len(split.valid)
            assert n_fitted + len(split.test) == 6970
            assert abs(len(split.valid) - n_fitted / 10) < 1


def test_only_the_grouped_split_keeps_relaxations_apart(planned: Planned) -> None:
    shared = {
        grouped: [
            task.spec.split.audit.n_shared_groups
            for task in planned("iid_noneq", "mo6970_replica", f"split.grouped={grouped}")
        ]
        for grouped in ("true", "false")
    }
    assert set(shared["true"]) == {0}
    # A tenth at random takes frames of most of the 420, and all of hardly any.
    assert min(shared["false"]) > N_STRUCTURES / 2


def counts(spec: TrainTask) -> tuple[int, int, int]:
    """Frames of train, valid and test."""
    return spec.split.n_train, spec.split.n_valid, spec.split.n_test


def test_leakage_is_measured_on_the_same_132_trajectories(planned: Planned) -> None:
    tasks = planned("leakage_mo6970", "mo6970_replica")
    assert len(tasks) == 10
    for task in tasks:
        split, audit = task.made.split, task.made.summary.audit
        frames = {*split.train, *split.valid, *split.test}
        assert not split.excluded
        assert len(structures(task, frames)) == H * (comb(N, 2) + N) == 132
        assert {"Mo", *DOPANTS} == set(task.made.summary.train_elements)
        assert (audit.n_shared_groups == 0) == task.spec.axes["grouped"]
        if not task.spec.axes["grouped"]:
            assert audit.n_shared_groups > 100

"""The splitters: the paper's definitions, and properties that hold for every dataset."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import digest
from mo_hpc.core.index import FrameEntry
from mo_hpc.core.schema import SplitConfig
from mo_hpc.core.task import Split
from mo_hpc.grid.division import apportion
from mo_hpc.grid.new_element_splits import new_elements, new_only
from mo_hpc.grid.splits import few_shot, iid, lodo_relaxed, lodo_strict

HOST = "Mo"
NEW = ("Al", "Zn", "Cu", "Ag", "Au", "Hg", "Co", "Ni", "Hf")
DOPANTS = ("Cr", "Fe", "Mn", "Nb", "Re", "Ta", "Ti", "V", "W", "Y", "Zr")
SPLITTERS = {
    "iid": iid,
    "lodo_strict": lodo_strict,
    "lodo_relaxed": lodo_relaxed,
    "few_shot": few_shot,
    "new_elements": new_elements,
    "new_only": new_only,
    "joint": iid,
}
HASH = "0" * 64
properties = settings(max_examples=50, deadline=None)


def split_of(frames, dataset_hash=HASH, **config):
    config = SplitConfig(**config)
    splitter = SPLITTERS[config.protocol]
    return splitter(frames, config, dataset_hash=dataset_hash, host_element=HOST)


def parts_of(split: Split) -> list[tuple[str, ...]]:
    return [split.train, split.valid, split.test, split.excluded]


def paper_design() -> list[FrameEntry]:
    """The 420 structures of the paper: 2 hosts × (1 pure + 11 single + 66 pairs × 3 shells)."""
    frames = []
    for host, n_sites in (("bcc", 128), ("fcc", 108)):
        cells = [("pure", ())] + [(x, (x,)) for x in DOPANTS]
        for x, y in itertools.combinations_with_replacement(DOPANTS, 2):
            cells += [(f"{x}-{y}-{shell}", (x, y)) for shell in (1, 2, 3)]
        for name, dopants in cells:
            composition = {HOST: n_sites - len(dopants)}
            for x in dopants:
                composition[x] = composition.get(x, 0) + 1
            id_ = f"{host}-{name}"
            frames.append(FrameEntry(id=id_, composition=composition, group=id_, host=host))
    return frames


@st.composite
def datasets(draw) -> list[FrameEntry]:
    """Frames with one to three elements, most of which every protocol can split."""
    group_sizes = draw(st.lists(st.integers(1, 5), min_size=10, max_size=25))
    frames = []
    for group, size in enumerate(group_sizes):
        for member in range(size):
            dopants = draw(st.sets(st.sampled_from(("Nb", "Ta", "W")), max_size=2))
            composition = {HOST: 10} | dict.fromkeys(sorted(dopants), 1)
            frames.append(FrameEntry(f"f#{group}.{member}", composition, f"group {group}"))
    return frames


configs = st.fixed_dictionaries(
    {
        "protocol": st.sampled_from(sorted(SPLITTERS)),
        "grouped": st.booleans(),
        "element": st.sampled_from(("Nb", "Ta", "W")),
        "new_elements": st.sampled_from((("Nb",), ("Nb", "Ta"))),
        "repeat": st.integers(0, 3),
        "seed": st.integers(0, 99),
        "max_shots": st.just(2),
        "shots": st.integers(0, 2),
    }
)


def split_or_reject(frames, **config) -> Split:
    try:
        return split_of(frames, **config)
    except UserError:
        assume(False)
        raise


# -- the paper ------------------------------------------------------------------------


def test_design_has_420_structures():
    assert len(paper_design()) == 420


@pytest.mark.parametrize("element", DOPANTS)
def test_strict_test_set_of_the_paper(element):
    split = split_of(paper_design(), protocol="lodo_strict", element=element)
    assert len(split.test) == 2 * (1 + 11 * 3) == 68
    assert len(split.train) + len(split.valid) == 352
    assert len(split.valid) == 35
    assert split.excluded == ()


@pytest.mark.parametrize("element", DOPANTS)
def test_relaxed_test_set_of_the_paper(element):
    split = split_of(paper_design(), protocol="lodo_relaxed", element=element)
    assert len(split.test) == 2 * (1 + 3) == 8
    assert len(split.train) + len(split.valid) == 412
    assert len(split.valid) == 41


def test_iid_counts_of_the_paper():
    split = split_of(paper_design(), grouped=False)
    assert (len(split.train), len(split.valid), len(split.test)) == (340, 38, 42)


def test_relaxed_carries_to_concentrated_binaries():
    frames = [FrameEntry(f"b#{n}", {"Mo": 16 - n, "Nb": n}, f"g{n}") for n in range(1, 8)]
    frames += [FrameEntry(f"t#{n}", {"Mo": 8, "Nb": 4, "Ta": n}, f"t{n}") for n in range(1, 8)]
    split = split_of(frames, protocol="lodo_relaxed", element="Nb")
    assert set(split.test) == {f"b#{n}" for n in range(1, 8)}


def with_new_elements() -> list[FrameEntry]:
    """The 420 structures and 79 frames of nine relaxations with one new dopant each."""
    frames = paper_design()
    for position, x in enumerate(NEW):
        n_frames = 9 if position < 7 else 8
        frames += [
            FrameEntry(f"{x}#{n}", {HOST: 127, x: 1}, f"new {x}", host="bcc")
            for n in range(n_frames)
        ]
    return frames


def test_counts_of_the_new_elements():
    frames = with_new_elements()
    assert len(frames) == 499
    sizes = {
        protocol: [
            len(part)
            for part in parts_of(
                split_of(frames, protocol=protocol, new_elements=NEW, grouped=False)
            )
        ]
        for protocol in ("new_elements", "new_only", "joint")
    }
    assert sizes == {
        "new_elements": [378, 42, 79, 0],
        "new_only": [404, 45, 50, 0],
        "joint": [404, 45, 50, 0],
    }


@pytest.mark.parametrize("repeat", range(10))
def test_new_only_tests_new_elements_and_trains_on_each_of_them(repeat):
    frames = {frame.id: frame for frame in with_new_elements()}
    split = split_of(
        frames.values(), protocol="new_only", new_elements=NEW, grouped=False, repeat=repeat
    )
    assert {id_.partition("#")[0] for id_ in split.test} <= set(NEW)
    assert set(NEW) <= {x for id_ in split.train for x in frames[id_].composition}


def test_whole_trajectories_leave_new_only_nothing_to_test():
    with pytest.raises(UserError, match="leaves test empty") as error:
        split_of(with_new_elements(), protocol="new_only", new_elements=NEW)
    assert "split.grouped=false" in str(error.value)


def test_joint_is_the_random_split_by_another_name():
    frames = with_new_elements()
    assert split_of(frames, protocol="joint", new_elements=NEW) == split_of(frames)


@pytest.mark.parametrize("protocol", ["new_elements", "new_only"])
@pytest.mark.parametrize("named", [(), ("Nb", "Au")])
def test_new_elements_must_be_named_and_be_there(protocol, named):
    with pytest.raises(UserError) as error:
        split_of(paper_design(), protocol=protocol, new_elements=named)
    assert error.value.where == "split.new_elements"
    assert error.value.valid == DOPANTS


# -- properties -----------------------------------------------------------------------


@properties
@given(datasets(), configs)
def test_parts_are_disjoint_and_complete(frames, config):
    split = split_or_reject(frames, **config)
    ids = [id_ for part in parts_of(split) for id_ in part]
    assert sorted(ids) == sorted(frame.id for frame in frames)
    assert split.train
    assert split.valid
    assert split.test


@properties
@given(datasets(), configs, st.randoms())
def test_order_of_frames_does_not_matter(frames, config, rng: random.Random):
    split = split_or_reject(frames, **config)
    rng.shuffle(frames)
    assert split_of(frames, **config) == split


@properties
@given(datasets(), configs)
def test_groups_never_straddle(frames, config):
    split = split_or_reject(frames, **(config | {"grouped": True}))
    group = {frame.id: frame.group for frame in frames}
    train, valid, test = ({group[id_] for id_ in part} for part in parts_of(split)[:3])
    assert not train & valid
    assert not train & test
    assert not valid & test


@properties
@given(datasets(), configs)
def test_strict_tests_all_that_relaxed_tests(frames, config):
    strict = split_or_reject(frames, **(config | {"protocol": "lodo_strict"}))
    relaxed = split_or_reject(frames, **(config | {"protocol": "lodo_relaxed"}))
    assert set(strict.test) >= set(relaxed.test)


@properties
@given(datasets(), configs)
def test_strict_keeps_the_element_out_of_train_and_valid(frames, config):
    split = split_or_reject(frames, **(config | {"protocol": "lodo_strict"}))
    with_element = {frame.id for frame in frames if config["element"] in frame.composition}
    assert not with_element.intersection(split.train + split.valid)
    assert with_element == set(split.test)


@settings(max_examples=10, deadline=None)
@given(datasets(), configs, st.sampled_from(("descriptor", "committee")))
def test_models_choose_from_what_random_takes_the_first_of(frames, config, rule):
    config |= {"protocol": "few_shot", "shots": 1}
    random_split = split_or_reject(frames, **config)
    to_choose = split_of(frames, **config, selection=rule)
    assert len(to_choose.pool) == config["max_shots"]
    pooled = {id_ for unit in to_choose.pool for id_ in unit}
    assert pooled.isdisjoint(id_ for part in parts_of(to_choose) for id_ in part)
    first = to_choose.choosing(to_choose.pool[:1])
    assert parts_of(first)[:3] == parts_of(random_split)[:3]
    assert set(first.excluded) == set(random_split.excluded)
    assert set(to_choose.widest.train) == pooled.union(to_choose.train)
    assert len({to_choose.digest, first.digest, to_choose.widest.digest}) == 3


def test_a_split_without_a_pool_has_the_digest_it_always_had():
    split = Split(train=("a",), valid=("b",), test=("c",), excluded=("d",))
    assert split.digest == digest({"train": ["a"], "valid": ["b"], "test": ["c"]})


@pytest.mark.parametrize("rule", ["descriptor", "committee"])
def test_there_must_be_something_to_choose(rule):
    with pytest.raises(ValueError, match=f"selection={rule} has nothing to choose: shots=5"):
        SplitConfig(protocol="few_shot", element="Nb", shots=5, max_shots=5, selection=rule)


@settings(max_examples=10, deadline=None)
@given(datasets(), configs)
def test_new_elements_holds_all_of_them_out(frames, config):
    split = split_or_reject(frames, **(config | {"protocol": "new_elements"}))
    new = set(config["new_elements"])
    with_new = {frame.id for frame in frames if not new.isdisjoint(frame.composition)}
    assert set(split.test) == with_new


@settings(max_examples=10, deadline=None)
@given(datasets(), configs)
def test_new_only_tests_no_other_frames(frames, config):
    split = split_or_reject(frames, **(config | {"protocol": "new_only"}))
    composition = {frame.id: set(frame.composition) for frame in frames}
    new = set(config["new_elements"])
    assert all(composition[id_] & new for id_ in split.test)
    assert new <= {x for id_ in split.train for x in composition[id_]}


@properties
@given(datasets(), configs)
def test_relaxed_tests_where_the_element_is_alone(frames, config):
    split = split_or_reject(frames, **(config | {"protocol": "lodo_relaxed"}))
    alone = {frame.id for frame in frames if frame.solutes(HOST) == {config["element"]}}
    assert alone == set(split.test)


@properties
@given(datasets(), configs, st.integers(2, 3))
def test_few_shot_extends_the_strict_fold_and_keeps_one_test(frames, config, max_shots):
    config |= {"max_shots": max_shots, "protocol": "few_shot"}
    curve = [split_or_reject(frames, **(config | {"shots": shots})) for shots in range(3)]
    strict = split_of(frames, **(config | {"protocol": "lodo_strict"}))
    structure = {f.id: f.group if config["grouped"] else f.id for f in frames}
    for shots, split in enumerate(curve):
        added = set(split.train) - set(strict.train)
        assert len({structure[id_] for id_ in added}) == shots
        assert added < set(strict.test)
        assert set(split.train) - added == set(strict.train)
        assert (split.valid, split.test) == (strict.valid, curve[0].test)
        assert set(split.test) < set(strict.test)
        assert not {structure[id_] for id_ in added} & {structure[id_] for id_ in split.test}
    kept_out = set(strict.test) - set(curve[0].test)
    assert len({structure[id_] for id_ in kept_out}) == max_shots
    assert set(curve[0].train) < set(curve[1].train) < set(curve[2].train)


@properties
@given(datasets(), st.integers(0, 9))
def test_iid_shares_are_met_within_one_group(frames, seed):
    split = split_or_reject(frames, grouped=True, seed=seed)
    largest = max(sum(f.group == frame.group for f in frames) for frame in frames)
    _, n_valid, n_test = apportion(len(frames), (0.81, 0.09, 0.10))
    assert abs(len(split.test) - n_test) <= largest
    assert abs(len(split.valid) - n_valid) <= largest


@properties
@given(datasets(), configs, st.integers(1, 60), st.integers(1, 60))
def test_smaller_training_sets_are_prefixes_and_leave_the_rest_alone(frames, config, a, b):
    small, large = (
        split_or_reject(frames, **config, max_train=max_train) for max_train in sorted((a, b))
    )
    full = split_or_reject(frames, **config)
    shots = {frame.id for frame in frames if config["element"] in frame.composition}
    few_shot_fold = config["protocol"] == "few_shot"
    n_shots = len(shots.intersection(small.train)) if few_shot_fold else 0
    assert len(small.train) - n_shots <= min(a, b)
    assert large.train[: len(small.train)] == small.train
    assert full.train[: len(large.train)] == large.train
    assert (small.valid, small.test) == (full.valid, full.test)


@properties
@given(st.integers(0, 5000), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_apportion_gives_each_its_share_within_one(total, weights):
    shares = [weight / sum(weights) for weight in weights]
    counts = apportion(total, shares)
    assert sum(counts) == total
    assert all(
        abs(count - total * share) < 1 + 1e-6 for count, share in zip(counts, shares, strict=True)
    )


def test_apportion_rounds_ties_up_for_the_earlier():
    assert apportion(5, (0.5, 0.5)) == (3, 2)
    assert apportion(100, (0.81, 0.09, 0.10)) == (81, 9, 10)
    assert apportion(10, (float(Fraction(9, 10)), 0.1)) == (9, 1)


# -- what a split depends on ----------------------------------------------------------


@pytest.mark.parametrize(
    "change", [{"seed": 7}, {"repeat": 1}, {"dataset_hash": "1" * 64}], ids=lambda c: next(iter(c))
)
@pytest.mark.parametrize("protocol", sorted(SPLITTERS))
def test_seed_repeat_and_dataset_redraw_the_split(protocol, change):
    base = {"protocol": protocol, "element": "Nb", "new_elements": ("Nb", "Ta")}
    changed = split_of(paper_design(), **(base | change))
    original = split_of(paper_design(), **base)
    assert set(changed.valid) != set(original.valid)
    fixed_by_definition = protocol.startswith("lodo") or protocol == "new_elements"
    assert (set(changed.test) == set(original.test)) == fixed_by_definition


def test_each_protocol_ignores_the_settings_of_the_other():
    frames = paper_design()
    for protocol in ("lodo_strict", "lodo_relaxed", "few_shot"):
        base = split_of(frames, protocol=protocol, element="Nb")
        assert split_of(frames, protocol=protocol, element="Nb", fractions=(0.5, 0.2, 0.3)) == base
    assert split_of(frames, valid_fraction=0.3, element="Nb") == split_of(frames)
    strict = split_of(frames, protocol="lodo_strict", element="Nb")
    assert split_of(frames, protocol="lodo_strict", element="Nb", shots=5) == strict


def test_valid_fraction_sets_the_share_of_a_fold():
    frames = paper_design()
    split = split_of(frames, protocol="lodo_strict", element="Nb", valid_fraction=0.25)
    assert len(split.valid) == 88


def test_groups_of_one_frame_split_as_frames():
    """Grouping changes nothing where there is nothing to group."""
    frames = [FrameEntry(f.id, f.composition, group=f.id) for f in paper_design()]
    for config in ({}, {"protocol": "lodo_strict", "element": "W", "max_train": 100}):
        assert split_of(frames, grouped=True, **config) == split_of(frames, grouped=False, **config)


def test_group_mates_of_test_frames_are_excluded():
    pairs = [FrameEntry(f"p#{n}", {"Mo": 15, "Ta": 1}, f"p{n // 2}") for n in range(40)]
    mixed = [FrameEntry("m#0", {"Mo": 15, "Nb": 1}, "m"), FrameEntry("m#1", {"Mo": 16}, "m")]
    split = split_of(pairs + mixed, protocol="lodo_strict", element="Nb")
    assert split.test == ("m#0",)
    assert split.excluded == ("m#1",)
    ungrouped = split_of(pairs + mixed, protocol="lodo_strict", element="Nb", grouped=False)
    assert ungrouped.excluded == ()


def test_few_long_trajectories_still_fill_every_part():
    frames = [FrameEntry(f"t#{n}", {"Mo": 54}, f"run {n // 50}") for n in range(200)]
    split = split_of(frames)
    assert [len(part) for part in parts_of(split)] == [100, 50, 50, 0]


def test_known_split_never_changes():
    """A pin: records of earlier runs name frames by this order."""
    frames = [FrameEntry(f"f#{n}", {"Mo": 15, "Nb": 1}, f"g{n // 2}") for n in range(20)]
    split = split_of(frames, repeat=3, fractions=(0.6, 0.2, 0.2))
    assert split.test == ("f#6", "f#7", "f#19", "f#18")
    assert split.valid == ("f#11", "f#10", "f#17", "f#16")


def test_splits_do_not_depend_on_the_hash_seed_of_python():
    program = (
        "from mo_hpc.core.index import FrameEntry; from mo_hpc.core.schema import SplitConfig;"
        "from mo_hpc.grid.splits import iid;"
        "f=[FrameEntry(f'f#{n}', {'Mo': 1}, f'g{n//3}') for n in range(60)];"
        "print(iid(f, SplitConfig(), dataset_hash='x', host_element='Mo').model_dump_json())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


# -- errors ---------------------------------------------------------------------------


def test_unknown_element_lists_those_of_the_dataset():
    with pytest.raises(UserError) as caught:
        split_of(paper_design(), protocol="lodo_strict", element="Au")
    assert "Au" in caught.value.what
    assert caught.value.valid == tuple(sorted(DOPANTS))


def test_host_cannot_be_held_out():
    with pytest.raises(UserError, match="Mo") as caught:
        split_of(paper_design(), protocol="lodo_relaxed", element="Mo")
    assert "Mo" not in caught.value.valid


def test_missing_element_is_asked_for():
    with pytest.raises(UserError, match="needs the element") as caught:
        split_of(paper_design(), protocol="lodo_strict")
    assert caught.value.where == "split.element"


def test_empty_test_names_fold_counts_and_elements_that_work():
    frames = [frame for frame in paper_design() if frame.solutes(HOST) != {"Nb"}]
    with pytest.raises(UserError) as caught:
        split_of(frames, protocol="lodo_relaxed", element="Nb")
    message = caught.value.what
    assert "lodo_relaxed fold of element Nb leaves test empty" in message
    assert "test 0" in message
    assert "412 frames" in message
    assert set(caught.value.valid) == set(DOPANTS) - {"Nb"}


def test_empty_train_where_every_frame_has_the_element():
    frames = [FrameEntry(f"f#{n}", {"Mo": 8, "Nb": 8}, f"g{n}") for n in range(30)]
    frames += [FrameEntry(f"t#{n}", {"Mo": 8, "Nb": 7, "Ta": 1}, f"t{n}") for n in range(30)]
    with pytest.raises(UserError, match="train and valid empty") as caught:
        split_of(frames, protocol="lodo_strict", element="Nb")
    assert caught.value.valid == ("Ta",)


@pytest.mark.parametrize("n_groups", [1, 2])
def test_too_few_groups_say_so(n_groups):
    frames = [FrameEntry(f"t#{n}", {"Mo": 54}, f"run {n % n_groups}") for n in range(100)]
    with pytest.raises(UserError, match=f"{n_groups} groups") as caught:
        split_of(frames)
    assert "split.grouped=false" in str(caught.value.remedy)


def test_too_many_structures_kept_out_of_test_say_so():
    with pytest.raises(UserError, match="leaves test empty") as caught:
        split_of(paper_design(), protocol="few_shot", element="Nb", max_shots=68)
    assert "split.max_shots=68" in str(caught.value.remedy)


def test_more_shots_than_are_kept_out_of_test_are_refused():
    with pytest.raises(ValueError, match="shots=6 must not exceed max_shots=5"):
        SplitConfig(protocol="few_shot", element="Nb", shots=6, max_shots=5)


def test_other_choices_of_shots_differ_by_repeat():
    chosen = []
    for repeat in range(3):
        split = split_of(
            paper_design(), protocol="few_shot", element="Nb", shots=5, max_shots=20, repeat=repeat
        )
        assert len(split.test) == 68 - 20
        chosen.append(frozenset(id_ for id_ in split.train if "Nb" in id_))
    assert [len(each) for each in chosen] == [5, 5, 5]
    assert len(set(chosen)) == 3


def test_limit_below_the_first_group_says_so():
    frames = [FrameEntry(f"t#{n}", {"Mo": 54}, f"run {n // 10}") for n in range(100)]
    with pytest.raises(UserError, match="train empty") as caught:
        split_of(frames, max_train=9)
    assert "split.max_train" in str(caught.value.remedy)

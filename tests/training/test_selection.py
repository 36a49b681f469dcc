"""Shots chosen by models: which, once for all attempts and ranks, and without a look at labels."""

from __future__ import annotations

import signal
from itertools import pairwise

import numpy as np
import pytest
import torch

from mo_hpc.core.errors import BadDataError
from mo_hpc.core.files import read_json, sha256_file, write_json
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.record import read_record, write_record
from mo_hpc.core.schema import SplitConfig
from mo_hpc.core.task import ShotChoice, Split
from mo_hpc.training import selection
from mo_hpc.training.checkpoint import save_model
from mo_hpc.training.worker import run_training_task

ELEMENT, NUMBER, SHOTS = "W", 74, 3
SEEDS = (1, 2, 3)


def _run(paths, task):
    return run_training_task(paths, task, provenance={}, show_progress=False)


@pytest.fixture(scope="module")
def fold(toy_dataset, toy_frames):
    """Frames without tungsten to train on, and of those with it a pool and one to test."""
    ids = dict(zip(toy_dataset[2], toy_frames, strict=True))
    with_it = [name for name, frame in ids.items() if ELEMENT in frame.get_chemical_symbols()]
    without = [name for name in ids if name not in with_it]
    assert len(with_it) > 2 * SHOTS
    assert len(without) > SHOTS
    return Split(
        train=tuple(without[2:]),
        valid=tuple(without[:2]),
        test=(with_it[-1],),
        pool=tuple((name,) for name in with_it[:-1]),
    )


@pytest.fixture(scope="module")
def frames(toy_dataset, toy_frames):
    return dict(zip(toy_dataset[2], toy_frames, strict=True))


@pytest.fixture(scope="module")
def run_folder(make_task_in, tmp_path_factory):
    """A run with a trained model, from which tasks start, and two like it that disagree."""
    folder = tmp_path_factory.mktemp("run")
    paths, task = make_task_in(folder)("model1", max_epochs=1)
    record = _run(paths, task)
    write_record(paths, record)
    for seed in SEEDS[1:]:
        model = torch.load(paths.model, weights_only=False)
        generator = torch.Generator().manual_seed(seed)
        for weights in model.readouts.parameters():
            noise = torch.randn(weights.shape, generator=generator, dtype=weights.dtype)
            weights.data += 0.3 * weights.data.std() * noise
        other = TaskPaths(paths.folder.parent / f"model{seed}")
        save_model(other.model, model)
        changed = {"task_id": f"model{seed}", "model_sha256": sha256_file(other.model)}
        write_record(other, record.model_copy(update=changed))
    return folder


@pytest.fixture(scope="module")
def make(make_task_in, run_folder, fold):
    """Writes a task that chooses from the pool: ``make("name", "descriptor", **settings)``."""

    def written(name, rule, *, shots=SHOTS, **settings):
        paths, task = make_task_in(run_folder)(
            name,
            paradigm="fine_tune",
            foundation={"task_id": "model1", "elements": ["Mo", "Nb", "W"], "is_stand_in": True},
            max_epochs=2,
            **settings,
        )
        config = SplitConfig(
            protocol="few_shot",
            element=ELEMENT,
            shots=shots,
            max_shots=len(fold.pool),
            selection=rule,
        )
        summary = task.split.model_copy(update={"config": config, "digest": fold.digest})
        members = tuple(f"model{seed}" for seed in SEEDS) if rule == "committee" else ()
        task = task.model_copy(update={"split": summary, "committee": members})
        write_json(paths.split, fold.model_dump(mode="json"))
        write_json(paths.task, task.model_dump(mode="json"))
        return paths, task

    return written


@pytest.fixture(scope="module")
def by_descriptor(make):
    paths, task = make("by_descriptor", "descriptor")
    return paths, _run(paths, task)


def _calculator(run_folder, seed):
    from mace.calculators import MACECalculator

    path = run_folder / "tasks" / f"model{seed}" / "model.model"
    return MACECalculator(model_paths=str(path), device="cpu", default_dtype="float64")


def test_the_choice_is_farthest_first_in_the_descriptors_of_mace(
    by_descriptor, run_folder, fold, frames
):
    _, record = by_descriptor
    calculator = _calculator(run_folder, 1)
    of_atoms = {name: calculator.get_descriptors(frame.copy()) for name, frame in frames.items()}
    candidates = {name: of_atoms[name][frames[name].numbers == NUMBER] for (name,) in fold.pool}
    known = np.concatenate([of_atoms[name] for name in fold.train])
    for (taken,), score in zip(record.split.choice.chosen, record.split.choice.scores, strict=True):
        gaps = {name: _gap({name: atoms}, known) for name, atoms in candidates.items()}
        assert gaps[taken] == pytest.approx(max(gaps.values()), rel=1e-6)
        assert score == pytest.approx(gaps[taken], rel=1e-6)
        known = np.concatenate([known, candidates[taken]])
    assert all(later <= earlier for earlier, later in pairwise(record.split.choice.scores))


def _gap(candidates, known):
    """Distance of the atom that is farthest from all known ones."""
    return max(
        np.linalg.norm(atoms[:, None] - known[None], axis=2).min(axis=1).max()
        for atoms in candidates.values()
    )


def test_the_record_is_of_the_split_that_was_trained_on(by_descriptor, fold):
    paths, record = by_descriptor
    choice = ShotChoice.model_validate_json(paths.selection.read_bytes())
    assert record.split.choice == choice
    assert len(set(choice.chosen)) == SHOTS
    assert set(choice.chosen) < set(fold.pool)
    # Random would have taken the first of the pool.
    assert set(choice.chosen) != set(fold.pool[:SHOTS])
    assert record.split.digest == fold.choosing(choice.chosen).digest != fold.digest
    assert record.split.n_train == len(fold.train) + SHOTS
    assert record.split.n_excluded == len(fold.pool) - SHOTS
    assert record.split.audit.n_train_with_held_out_element == SHOTS
    assert ELEMENT in record.split.train_elements


def test_again_and_for_fewer_shots_it_is_the_same_choice_without_a_look_at_labels(
    make, by_descriptor, monkeypatch
):
    load = selection.load_frames

    def without_labels(*arguments, **words):
        loaded = load(*arguments, **words)
        for number, frame in enumerate(loaded):
            frame.info["REF_energy"] = float(number)
            frame.arrays["REF_forces"] = np.zeros((len(frame), 3))
        return loaded

    monkeypatch.setattr(selection, "load_frames", without_labels)
    paths, task = make("again", "descriptor", shots=SHOTS - 1)
    found = _run(paths, task).split.choice
    first = by_descriptor[1].split.choice
    assert found.chosen == first.chosen[:-1]
    assert found.scores == pytest.approx(first.scores[:-1], rel=1e-9)


def test_a_committee_takes_what_it_disagrees_on_most(make, run_folder, fold, frames):
    paths, task = make("by_committee", "committee")
    choice = _run(paths, task).split.choice
    calculators = [_calculator(run_folder, seed) for seed in SEEDS]
    disputed = {}
    for unit in fold.pool:
        forces = []
        for calculator in calculators:
            frame = frames[unit[0]].copy()
            frame.calc = calculator
            forces.append(frame.get_forces())
        disputed[unit] = np.sqrt(np.var(forces, axis=0, ddof=1).sum(axis=1)).max()
    expected = sorted(disputed, key=disputed.__getitem__, reverse=True)[:SHOTS]
    assert list(choice.chosen) == expected
    assert choice.scores == pytest.approx([disputed[unit] for unit in expected], rel=1e-6)
    records = [read_record(task_paths) for task_paths in _members(paths, task)]
    assert choice.model_sha256 == tuple(record.model_sha256 for record in records)


def _members(paths, task):
    return [TaskPaths(paths.folder.parent / name) for name in task.committee]


def test_what_an_earlier_attempt_chose_stays_chosen(make, fold):
    paths, task = make("resumed", "descriptor")
    # Not what it would choose now, as on another machine whose rounding broke a tie.
    earlier = ShotChoice(
        task_digest=task.digest,
        rule="descriptor",
        model_sha256=("0" * 64,),
        chosen=fold.pool[:SHOTS],
        scores=(3.0, 2.0, 1.0),
        n_candidates=len(fold.pool),
    )
    write_json(paths.selection, earlier.model_dump(mode="json"))
    record = _run(paths, task)
    assert record.split.choice == earlier
    assert record.split.digest == fold.choosing(fold.pool[:SHOTS]).digest


@pytest.mark.parametrize(
    "change",
    [
        {"task_digest": "another"},
        {"chosen": (("no-such#1",), ("no-such#2",), ("no-such#3",))},
    ],
)
def test_a_choice_that_is_not_of_the_task_is_refused(make, by_descriptor, change):
    paths, task = make("refused", "descriptor")
    of_another = by_descriptor[1].split.choice.model_copy(
        update={"task_digest": task.digest} | change
    )
    write_json(paths.selection, of_another.model_dump(mode="json"))
    with pytest.raises(BadDataError, match="does not name 3 candidates of this task"):
        _run(paths, task)


@pytest.mark.slow
def test_a_killed_task_goes_on_with_what_it_chose(make, run_alone, by_descriptor):
    paths, task = make("killed", "descriptor")
    # Later than what is drawn before the first epoch, and earlier than the end.
    child = run_alone(paths, "6")
    _, errors = child.communicate(timeout=120)
    assert child.returncode == -signal.SIGKILL, errors
    chosen = read_json(paths.selection)
    record = _run(paths, task)
    assert read_json(paths.selection) == chosen
    expected = by_descriptor[1]
    assert record.split.choice.chosen == expected.split.choice.chosen
    assert record.metrics == expected.metrics


@pytest.mark.slow
def test_two_ranks_choose_as_one(make, run_alone, by_descriptor):
    alone = by_descriptor[1]
    paths, _ = make("two_ranks", "descriptor", n_ranks=2)
    children = [run_alone(paths, RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    for child in children:
        _, errors = child.communicate(timeout=180)
        assert child.returncode == 0, errors
    record = read_record(paths)
    assert record.training.world_size == 2
    assert record.split.choice.chosen == alone.split.choice.chosen
    assert record.split.choice.scores == pytest.approx(alone.split.choice.scores, rel=1e-9)
    assert record.split.digest == alone.split.digest
    for key in ("energy_mae_mev_per_atom", "force_mae_mev_per_ang_component"):
        assert record.metrics[key] == pytest.approx(alone.metrics[key], rel=1e-6)

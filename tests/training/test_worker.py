from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
import torch

from mo_hpc.core.errors import BadDataError, DivergedError, UserError
from mo_hpc.core.files import read_json, read_lines, sha256_file, write_json
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.record import write_record
from mo_hpc.data.trust import TrustEntry
from mo_hpc.data.trust import record as accept
from mo_hpc.metrics.predictions import Predictions
from mo_hpc.training.checkpoint import load_checkpoint
from mo_hpc.training.worker import run_training_task

ELEMENTS = ["Nb", "Mo", "W"]


def _run(paths, task):
    return run_training_task(paths, task, provenance={"commit": "x"}, show_progress=False)


@pytest.fixture(scope="module")
def pretrained_once(make_task_in, tmp_path_factory):
    paths, task = make_task_in(tmp_path_factory.mktemp("pretrained"))("pretrain")
    record = _run(paths, task)
    write_record(paths, record)
    return paths, record


@pytest.fixture
def pretrained(pretrained_once, tmp_path):
    """A finished task that others may need, beside them."""
    paths, record = pretrained_once
    shutil.copytree(paths.folder, tmp_path / "tasks" / "pretrain")
    return TaskPaths(tmp_path / "tasks" / "pretrain"), record


def _needs_pretrained(**changes):
    return {"task_id": "pretrain", "elements": ELEMENTS, "is_stand_in": True} | changes


def test_a_scratch_task_leaves_model_predictions_and_progress(pretrained):
    paths, record = pretrained
    assert record.model_sha256 == sha256_file(paths.model)
    assert record.predictions_sha256 == sha256_file(paths.predictions)
    assert record.training.epochs == 3
    assert record.training.steps == 6
    assert [line["epoch"] for line in read_lines(paths.progress)] == [1, 2, 3]
    assert record.energy_references.sources == dict.fromkeys(ELEMENTS, "fitted")
    assert paths.checkpoint_best.exists()
    predictions = Predictions.load(paths.predictions)
    assert (predictions.part == "test").sum() == 5
    assert not predictions.has_forces[predictions.part == "train"].any()
    assert predictions.has_forces[predictions.part != "train"].all()


def test_the_predictions_are_those_of_the_saved_model(pretrained, toy_frames):
    from mace.calculators import MACECalculator

    paths, _ = pretrained
    predictions = Predictions.load(paths.predictions).only("test")
    calculator = MACECalculator(model_paths=str(paths.model), device="cpu", default_dtype="float64")
    frame = toy_frames[13].copy()
    frame.calc = calculator
    n_atoms = predictions.n_atoms[0]
    assert frame.get_potential_energy() == pytest.approx(predictions.energy_pred_ev[0], abs=1e-6)
    np.testing.assert_allclose(
        frame.get_forces(), predictions.forces_pred_ev_per_ang[:n_atoms], atol=1e-6
    )


@pytest.mark.parametrize("policy", ["average", "isolated", "explicit", "foundation", "estimated"])
def test_zero_shot_is_the_foundation_untouched(make_task, pretrained, policy):
    trained_paths, trained = pretrained
    paths, task = make_task(
        "zero",
        paradigm="zero_shot",
        foundation=_needs_pretrained(),
        energy_reference=policy,
        energy_reference_ev=dict.fromkeys(ELEMENTS, -1.0),
    )
    record = _run(paths, task)
    assert record.training is None
    assert record.model_sha256 is None
    assert record.n_trainable_parameters == 0
    assert record.energy_references.policy == "foundation"
    assert record.energy_references.values_ev == pytest.approx(
        trained.energy_references.values_ev, abs=1e-12
    )
    expected, found = (Predictions.load(p.predictions) for p in (trained_paths, paths))
    np.testing.assert_allclose(found.energy_pred_ev, expected.energy_pred_ev, atol=1e-9)
    assert record.metrics["energy_mae_mev_per_atom"] == pytest.approx(
        trained.metrics["energy_mae_mev_per_atom"], rel=1e-6
    )


@pytest.mark.parametrize("r_max_ang", [4.5, 3.5])
def test_estimated_references_are_fitted_to_the_residuals_of_the_foundation(
    make_task, pretrained, r_max_ang
):
    # A scratch model may see less far than the foundation that its references come from.
    trained_paths, trained = pretrained
    paths, task = make_task(
        "estimated",
        foundation=_needs_pretrained(),
        energy_reference="estimated",
        r_max_ang=r_max_ang,
        max_epochs=1,
    )
    record = _run(paths, task)
    train = Predictions.load(trained_paths.predictions).only("train")
    counts = np.array(
        [[np.sum(train.numbers.reshape(10, 16)[i] == z) for z in (41, 42, 74)] for i in range(10)]
    )
    shifts = np.linalg.lstsq(counts, train.energy_ref_ev - train.energy_pred_ev, rcond=None)[0]
    expected = np.array([trained.energy_references.values_ev[s] for s in ELEMENTS]) + shifts
    found = [record.energy_references.values_ev[s] for s in ELEMENTS]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(shifts).max() > 1e-3
    assert record.energy_references.n_fitted == 3
    assert float(torch.load(paths.model, weights_only=False).r_max) == r_max_ang


@pytest.mark.parametrize("policy", ["average", "foundation", "estimated"])
def test_a_fine_tuned_model_holds_the_intended_reference_energies(make_task, pretrained, policy):
    # The foundation has as many elements: the case in which MACE overwrites them.
    paths, task = make_task(
        "tune", paradigm="fine_tune", foundation=_needs_pretrained(), energy_reference=policy
    )
    record = _run(paths, task)
    model = torch.load(paths.model, weights_only=False)
    stored = model.atomic_energies_fn.atomic_energies[0].tolist()
    assert stored == pytest.approx(list(record.energy_references.values_ev.values()), abs=1e-12)
    assert record.energy_references.policy == policy
    frozen = [p.numel() for p in model.parameters() if not p.requires_grad]
    assert record.n_trainable_parameters == record.n_parameters - sum(frozen)
    assert frozen == [model.radial_embedding.bessel_fn.bessel_weights.numel()]


def test_a_foundation_file_that_changed_is_not_opened(make_task, pretrained, monkeypatch):
    trained_paths, _ = pretrained
    trained_paths.model.write_bytes(trained_paths.model.read_bytes() + b"x")
    paths, task = make_task("tune", paradigm="fine_tune", foundation=_needs_pretrained())

    def opened(*_, **__):
        raise AssertionError("the file was opened")

    monkeypatch.setattr(torch, "load", opened)
    with pytest.raises(UserError, match="was not opened"):
        _run(paths, task)


@pytest.mark.parametrize("known", [True, False])
def test_a_foundation_by_path_must_be_accepted(make_task, pretrained, known, monkeypatch, tmp_path):
    trained_paths, trained = pretrained
    reference = _needs_pretrained(
        task_id=None, name="m.model", sha256=trained.model_sha256, n_parameters=trained.n_parameters
    )
    paths, task = make_task(
        "path", paradigm="zero_shot", foundation=reference, foundation_path=trained_paths.model
    )
    runtime = task.runtime.model_copy(update={"cache_root": str(tmp_path / "other")})
    if known:
        entry = TrustEntry(
            path="m.model",
            sha256=trained.model_sha256,
            size=1,
            n_parameters=trained.n_parameters,
            elements=("Mo",),
            origin="test",
            accepted_at="2026-01-01T00:00:00Z",
        )
        accept(tmp_path / "other", entry)
        assert _run(paths, task.model_copy(update={"runtime": runtime})).training is None
    else:
        with pytest.raises(UserError, match="not accepted"):
            _run(paths, task.model_copy(update={"runtime": runtime}))


def test_a_model_of_an_earlier_run_is_opened_by_its_hash_alone(make_task, pretrained):
    trained_paths, trained = pretrained
    reference = _needs_pretrained(
        task_id=None,
        name="run:toy/0123",
        run_task_id="pretrain",
        sha256=trained.model_sha256,
        n_parameters=trained.n_parameters,
    )
    words = {"foundation": reference, "foundation_path": trained_paths.model}
    paths, task = make_task("taken", paradigm="zero_shot", **words)
    assert _run(paths, task).foundation.sha256 == trained.model_sha256
    trained_paths.model.write_bytes(trained_paths.model.read_bytes() + b"x")
    with pytest.raises(UserError, match="was not opened"):
        _run(paths, task)


def test_another_number_of_parameters_is_refused(make_task, pretrained):
    paths, record = pretrained
    write_record(paths, record.model_copy(update={"n_parameters": 7}))
    paths, task = make_task("tune", paradigm="fine_tune", foundation=_needs_pretrained())
    with pytest.raises(UserError, match="parameters"):
        _run(paths, task)


def test_a_dataset_that_changed_is_refused(make_task):
    paths, task = make_task("changed")
    dataset = task.dataset.model_copy(update={"dataset_hash": "0" * 64})
    with pytest.raises(BadDataError, match="has changed"):
        _run(paths, task.model_copy(update={"dataset": dataset}))


def test_a_split_that_was_edited_is_refused(make_task):
    paths, task = make_task("edited")
    split = read_json(paths.split)
    split["train"].append(split["test"].pop())
    write_json(paths.split, split)
    with pytest.raises(BadDataError, match=r"split\.json is not .* Remove this file and launch"):
        _run(paths, task)


def test_training_without_a_finite_loss_ends(make_task):
    paths, task = make_task("nan", learning_rate=1e200, clip_grad_norm=None)
    with pytest.raises(DivergedError, match="loss is"):
        _run(paths, task)
    assert not paths.model.exists()


def test_early_stopping_stops(make_task):
    paths, task = make_task(
        "early", learning_rate=1e-30, max_epochs=50, early_stopping_patience=2, ema_decay=None
    )
    record = _run(paths, task)
    assert record.training.stopped_by == "early_stopping"
    assert record.training.epochs < 50
    assert record.training.epochs - record.training.best_epoch == 2


def test_the_validation_loss_does_not_depend_on_the_batch_size(make_task):
    losses = []
    for size in (1, 2, 8):
        paths, task = make_task(f"batch{size}", eval_batch_size=size, max_epochs=1)
        losses.append(_run(paths, task).training.best_valid_loss)
    assert math.isclose(losses[0], losses[1], rel_tol=1e-12)
    assert math.isclose(losses[0], losses[2], rel_tol=1e-12)


def test_validation_may_be_rarer_than_epochs(make_task):
    paths, task = make_task("rare", eval_interval_epochs=2)
    _run(paths, task)
    validated = [line["valid_loss"] is not None for line in read_lines(paths.progress)]
    assert validated == [False, True, True]


def test_the_weights_of_the_best_epoch_are_saved_and_evaluated(make_task):
    paths, task = make_task("best", learning_rate=0.3, max_epochs=6, ema_decay=0.5)
    record = _run(paths, task)
    assert 1 < record.training.best_epoch < record.training.epochs
    best = next(
        line for line in read_lines(paths.progress) if line["epoch"] == record.training.best_epoch
    )
    for name in ("energy_mae_mev_per_atom", "force_mae_mev_per_ang_component"):
        assert record.valid_metrics[name] == pytest.approx(best[f"valid_{name}"], rel=1e-9), name
    saved = torch.load(paths.model, weights_only=False).state_dict()
    weights = load_checkpoint(paths.checkpoint_best)["weights"]
    assert saved.keys() == weights.keys()
    assert all(torch.equal(saved[name], value) for name, value in weights.items())


def test_the_saved_weights_are_the_averaged_ones(make_task):
    paths, task = make_task("average", max_epochs=1)
    _run(paths, task)
    saved = list(torch.load(paths.model, weights_only=False).parameters())
    averaged = load_checkpoint(paths.checkpoint_last)["average"]["shadow_params"]
    raw = load_checkpoint(paths.checkpoint_last)["model"]
    assert all(torch.equal(one, other) for one, other in zip(saved, averaged, strict=True))
    assert not torch.equal(saved[0], next(iter(raw.values())))


def test_the_cosine_scheduler_ends_at_zero_and_survives_a_stop(make_task):
    paths, task = make_task(
        "cosine",
        learning_rate=1e-3,
        scheduler={"kind": "cosine"},
        eval_interval_epochs=2,
        max_epochs=8,
    )
    _run(paths, task)
    rates = [line["learning_rate"] for line in read_lines(paths.progress)]
    fell = [1e-3 * (1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]
    assert rates == pytest.approx([rate for rate in fell for _ in range(2)])
    kept = load_checkpoint(paths.checkpoint_last)["scheduler"]
    assert (kept["T_max"], kept["last_epoch"]) == (4, 4)


def test_the_plateau_scheduler_counts_validations(make_task):
    # So small a rate changes nothing; the first validation is the best, the others are bad.
    paths, task = make_task(
        "plateau",
        learning_rate=1e-7,
        scheduler={"factor": 0.5, "patience": 1},
        ema_decay=None,
        eval_interval_epochs=2,
        max_epochs=8,
    )
    _run(paths, task)
    rates = [line["learning_rate"] for line in read_lines(paths.progress)]
    # Bad validations after epochs 4 and 6 are patience + 1.
    assert rates == pytest.approx([1e-7] * 6 + [5e-8] * 2)

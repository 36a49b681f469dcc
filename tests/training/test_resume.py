"""Stopped and resumed equals never stopped, bit for bit."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch

from mo_hpc.core.errors import StopRequested, UserError
from mo_hpc.core.files import read_lines
from mo_hpc.core.record import read_task, write_record
from mo_hpc.metrics.predictions import Predictions
from mo_hpc.training.checkpoint import load_checkpoint
from mo_hpc.training.sampler import EpochSampler
from mo_hpc.training.worker import run_training_task

SETTINGS = {"dtype": "float32", "max_epochs": 4, "early_stopping_patience": 50}
TIMES = ("wall_time_s", "structures_per_s")


def _run(paths, task):
    return run_training_task(paths, task, provenance={}, show_progress=False)


@pytest.fixture(scope="module")
def unbroken(make_task_in, tmp_path_factory):
    paths, task = make_task_in(tmp_path_factory.mktemp("unbroken"))("unbroken", **SETTINGS)
    return paths, _run(paths, task)


def _assert_equal(paths, record, unbroken):
    """Every number of the two runs agrees, except those that measure time."""
    expected_paths, expected = unbroken
    assert record.metrics == expected.metrics
    assert record.valid_metrics == expected.valid_metrics
    assert record.training.best_valid_loss == expected.training.best_valid_loss
    assert record.training.steps == expected.training.steps
    ours, theirs = (load_checkpoint(p.checkpoint_last) for p in (paths, expected_paths))
    for part in ("model", "best_weights"):
        assert ours[part].keys() == theirs[part].keys()
        for name, value in ours[part].items():
            assert torch.equal(value, theirs[part][name]), name
    lines = [
        [{k: v for k, v in line.items() if k not in TIMES} for line in read_lines(p.progress)]
        for p in (paths, expected_paths)
    ]
    assert lines[0] == lines[1]
    predicted = [Predictions.load(p.predictions).energy_pred_ev for p in (paths, expected_paths)]
    np.testing.assert_array_equal(*predicted)


def test_killed_in_the_middle_of_an_epoch(make_task, run_alone, unbroken):
    paths, task = make_task("killed", **SETTINGS)
    # Statistics draw four batches, each epoch two and the end: draw 12 is within epoch 3.
    child = run_alone(paths, "12")
    _, errors = child.communicate(timeout=120)
    assert child.returncode == -signal.SIGKILL, errors
    assert not paths.model.exists()
    assert len(read_lines(paths.progress)) == 2
    record = _run(paths, task)
    assert record.training.resumed == 1
    _assert_equal(paths, record, unbroken)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_asked_to_stop_in_the_middle_of_an_epoch(make_task, unbroken, monkeypatch, number):
    paths, task = make_task("stopped", **SETTINGS)
    draw, calls = EpochSampler.next_batch, []

    def counted(sampler):
        calls.append(1)
        if len(calls) == 8:
            os.kill(os.getpid(), number)
        return draw(sampler)

    handler = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(EpochSampler, "next_batch", counted)
        with pytest.raises(StopRequested):
            _run(paths, task)
    assert signal.getsignal(number) is handler
    saved = load_checkpoint(paths.checkpoint_last)
    assert saved["counters"]["in_epoch"]
    _assert_equal(paths, _run(paths, task), unbroken)


def test_a_finished_training_is_only_evaluated_again(unbroken):
    paths, expected = unbroken
    before = load_checkpoint(paths.checkpoint_last)["counters"]["steps"]
    record = _run(paths, read_task(paths))
    assert record.metrics == expected.metrics
    assert record.training.resumed == 0
    assert load_checkpoint(paths.checkpoint_last)["counters"]["steps"] == before


def test_fine_tuning_killed_in_the_middle_of_an_epoch(make_task_in, run_alone, tmp_path):
    """A foundation brings parameters that no optimizer group holds; they keep no gradients."""
    make = make_task_in(tmp_path)
    base_paths, base = make("base", **SETTINGS)
    write_record(base_paths, _run(base_paths, base))
    foundation = {"task_id": "base", "elements": ["Mo", "Nb"], "is_stand_in": True}
    # So tight that a norm with anything else in it would change every step.
    settings = {**SETTINGS, "clip_grad_norm": 0.1}
    whole = make("whole", paradigm="fine_tune", foundation=foundation, **settings)
    expected = _run(*whole)
    paths, task = make("killed", paradigm="fine_tune", foundation=foundation, **settings)
    run_alone(paths, "8").communicate(timeout=120)
    assert not paths.model.exists()
    record = _run(paths, task)
    assert record.training.resumed == 1
    _assert_equal(paths, record, (whole[0], expected))


def test_lines_after_the_checkpoint_are_dropped(make_task, run_alone, unbroken):
    paths, task = make_task("sparse", **SETTINGS, checkpoint_interval_epochs=2)
    run_alone(paths, "15").communicate(timeout=120)
    assert [line["epoch"] for line in read_lines(paths.progress)] == [1, 2, 3]
    assert load_checkpoint(paths.checkpoint_last)["counters"]["epoch"] == 2
    with paths.progress.open("a") as handle:
        handle.write('{"epoch": 4, "cut sh')
    _assert_equal(paths, _run(paths, task), unbroken)


def test_the_checkpoint_of_another_task_is_refused(unbroken):
    paths, _ = unbroken
    with pytest.raises(UserError, match="another task"):
        _run(paths, read_task(paths).model_copy(update={"digest": "other"}))

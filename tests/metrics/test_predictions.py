"""Predictions survive the disk, stay aligned under selection and refuse what does not fit."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from mo_hpc.core.errors import UserError
from mo_hpc.metrics.predictions import Predictions


@pytest.fixture
def predictions() -> Predictions:
    """Three frames of 2, 1 and 3 atoms; the second, a training frame, has no forces."""
    return Predictions(
        frame_ids=np.array(["a#0", "a#1", "ä#2"]),
        part=np.array(["test", "train", "test"]),
        host=np.array(["bcc", "bcc", "fcc"]),
        n_atoms=np.array([2, 1, 3]),
        numbers=np.array([42, 41, 42, 42, 42, 73]),
        energy_ref_ev=np.array([-20.0, -10.0, -31.0]),
        energy_pred_ev=np.array([-20.1, -10.2, -31.3]),
        has_forces=np.array([True, False, True]),
        forces_ref_ev_per_ang=np.arange(15.0).reshape(5, 3),
        forces_pred_ev_per_ang=np.arange(15.0).reshape(5, 3) + 0.5,
    )


def test_saved_and_loaded_is_the_same(predictions: Predictions, tmp_path: Path) -> None:
    predictions.save(tmp_path / "deep" / "predictions.npz")
    loaded = Predictions.load(tmp_path / "deep" / "predictions.npz")
    for field in fields(Predictions):
        before, after = getattr(predictions, field.name), getattr(loaded, field.name)
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)


def test_selection_keeps_atoms_and_forces_with_their_frames(predictions: Predictions) -> None:
    last = predictions.select(np.array([False, False, True]))
    assert last.frame_ids.tolist() == ["ä#2"]
    assert last.numbers.tolist() == [42, 42, 73]
    np.testing.assert_array_equal(last.forces_ref_ev_per_ang, np.arange(6.0, 15.0).reshape(3, 3))


def test_a_part_without_forces_has_empty_force_arrays(predictions: Predictions) -> None:
    train = predictions.only("train")
    assert train.numbers.tolist() == [42]
    assert train.forces_pred_ev_per_ang.shape == (0, 3)


def test_empty_selection_can_be_saved(predictions: Predictions, tmp_path: Path) -> None:
    predictions.only("valid").save(tmp_path / "p.npz")
    assert Predictions.load(tmp_path / "p.npz").frame_ids.shape == (0,)


def test_arrays_that_do_not_fit_are_refused(predictions: Predictions) -> None:
    arrays = {field.name: getattr(predictions, field.name) for field in fields(Predictions)}
    with pytest.raises(ValueError, match="'numbers' has the shape"):
        Predictions(**(arrays | {"numbers": np.array([42])}))
    with pytest.raises(ValueError, match="forces_ref_ev_per_ang"):
        Predictions(**(arrays | {"has_forces": np.array([True, True, True])}))
    with pytest.raises(ValueError, match="unknown part"):
        Predictions(**(arrays | {"part": np.array(["test", "train", "tset"])}))


def test_cut_short_missing_and_pickled_files_are_input_errors(
    predictions: Predictions, tmp_path: Path
) -> None:
    path = tmp_path / "p.npz"
    predictions.save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="cannot be read"):
        Predictions.load(path)
    with pytest.raises(UserError):
        Predictions.load(tmp_path / "none.npz")
    np.savez(tmp_path / "pickled.npz", frame_ids=np.array([object()], dtype=object))
    with pytest.raises(UserError, match="allow_pickle"):
        Predictions.load(tmp_path / "pickled.npz")

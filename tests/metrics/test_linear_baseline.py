"""What one coefficient per element and host leaves of the replica's energies, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mo_hpc.core.config import dataset_config
from mo_hpc.core.elements import ATOMIC_NUMBERS
from mo_hpc.core.index import FrameEntry
from mo_hpc.core.schema import SplitConfig
from mo_hpc.core.task import Split
from mo_hpc.data.index import build_index
from mo_hpc.grid.splits import iid
from mo_hpc.metrics.energies import energy_errors_mev_per_atom
from mo_hpc.metrics.evaluate import evaluate_predictions
from mo_hpc.metrics.offsets import fit_linear
from mo_hpc.metrics.predictions import Predictions

BASELINE = "energy_mae_mev_per_atom_linear_baseline"


@pytest.fixture(scope="module")
def finals(shared_data_root: Path, tmp_path_factory) -> list[FrameEntry]:
    """The 420 final structures."""
    index = build_index(
        dataset_config("mo420_replica"), shared_data_root, tmp_path_factory.mktemp("cache")
    )
    return list(index.frames)


def predictions(frames: Sequence[FrameEntry], split: Split | None = None) -> Predictions:
    """The labels alone: nothing is predicted, and no forces are needed."""
    part = dict.fromkeys(split.train, "train") if split else {}
    part |= dict.fromkeys(split.valid, "valid") if split else {}
    energies = np.array([frame.energy_ev for frame in frames])
    numbers = [
        np.repeat(
            [ATOMIC_NUMBERS[name] for name in frame.composition], list(frame.composition.values())
        )
        for frame in frames
    ]
    return Predictions(
        frame_ids=np.array([frame.id for frame in frames]),
        part=np.array([part.get(frame.id, "test") for frame in frames]),
        host=np.array([frame.host for frame in frames]),
        n_atoms=np.array([frame.n_atoms for frame in frames]),
        numbers=np.concatenate(numbers),
        energy_ref_ev=energies,
        energy_pred_ev=np.zeros(len(frames)),
        has_forces=np.zeros(len(frames), dtype=bool),
        forces_ref_ev_per_ang=np.zeros((0, 3)),
        forces_pred_ev_per_ang=np.zeros((0, 3)),
    )


def fitted_error(frames: Predictions) -> float:
    """Mean absolute error of the linear model on what it was fitted to, in meV/atom."""
    fitted = fit_linear(frames, frames.energy_ref_ev).energies_ev(frames)
    errors = energy_errors_mev_per_atom(replace(frames, energy_pred_ev=fitted))
    return float(np.abs(errors).mean())


@pytest.mark.shared_data
@pytest.mark.slow
def test_held_out_tenths_of_the_replica(finals) -> None:
    config = dataset_config("mo420_replica")
    errors = []
    for repeat in range(10):
        split = iid(
            finals, SplitConfig(repeat=repeat), dataset_hash="any", host_element=config.host_element
        )
        found = evaluate_predictions(predictions(finals, split), "test")
        assert found["n_frames_uncovered_by_train"] == 0
        errors.append(found[BASELINE])
    assert np.mean(errors) == pytest.approx(0.34, abs=0.03)
    assert fitted_error(predictions(finals)) == pytest.approx(0.32, abs=0.005)


@pytest.mark.shared_data
@pytest.mark.slow
def test_an_energy_per_element_alone_is_no_baseline(finals) -> None:
    """The hosts differ by 0.43 eV per atom, so coefficients must be their own."""
    everywhere = predictions(finals)
    assert fitted_error(everywhere) < 0.35
    assert fitted_error(replace(everywhere, host=np.full(len(finals), "-"))) > 100

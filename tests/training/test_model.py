from __future__ import annotations

import numpy as np
import pytest
import torch
from mace import modules
from mace.calculators import MACECalculator
from mace.tools import AtomicNumberTable
from mace.tools.finetuning_utils import load_foundations_elements
from mace.tools.scripts_utils import extract_config_mace_model

from mo_hpc.core.errors import UserError
from mo_hpc.training.checkpoint import save_model
from mo_hpc.training.evaluate import batch_values
from mo_hpc.training.graphs import build_graphs, collate
from mo_hpc.training.model import (
    Scaling,
    scratch_model,
    set_reference_energies,
    sliced_foundation,
    stored_reference_energies,
)
from mo_hpc.training.reproducible import reproducible

ELEMENTS = [41, 42, 74]
ENERGIES = {"Nb": -9.5, "Mo": -10.5, "W": -12.5}


@pytest.fixture
def foundation(architecture, double):
    model = scratch_model(architecture, ELEMENTS, ENERGIES, Scaling(12.5, 0.7))
    model.scale_shift.shift = torch.tensor([0.25])
    return model


@pytest.mark.parametrize("elements", [ELEMENTS, [41, 42]])
def test_a_slice_predicts_what_the_whole_does(foundation, toy_frames, elements):
    frames = [f for f in toy_frames if set(f.numbers.tolist()) <= set(elements)][:3]
    assert frames
    sliced = sliced_foundation(foundation, elements)
    whole = batch_values(foundation, collate(build_graphs(frames, ELEMENTS, 4.5)), forces=True)
    part = batch_values(sliced, collate(build_graphs(frames, elements, 4.5)), forces=True)
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
    assert torch.equal(sliced.scale_shift.scale, foundation.scale_shift.scale)
    assert torch.equal(sliced.scale_shift.shift, foundation.scale_shift.shift)


def test_mace_overwrites_reference_energies_of_an_equal_number_of_elements(foundation):
    # The reason for setting them again: the caller's energies are gone without a word.
    settings = extract_config_mace_model(foundation)
    settings |= {"atomic_energies": np.array([[-1.0, -2.0, -3.0]]), "heads": ["Default"]}
    settings |= {"atomic_numbers": ELEMENTS}
    model = load_foundations_elements(
        modules.ScaleShiftMACE(**settings),
        foundation,
        AtomicNumberTable(ELEMENTS),
        load_readout=True,
        max_L=0,
    )
    assert stored_reference_energies(model) == ENERGIES


@pytest.mark.parametrize("elements", [ELEMENTS, [42, 74]])
def test_reference_energies_are_those_intended(foundation, elements):
    model = sliced_foundation(foundation, elements)
    intended = {"Nb": -1.0, "Mo": -2.0, "W": -3.0}
    set_reference_energies(model, elements, intended)
    stored = stored_reference_energies(model)
    assert stored == {symbol: intended[symbol] for symbol in stored}


def test_an_element_that_the_foundation_lacks_is_named(foundation):
    with pytest.raises(UserError, match="does not cover Cr") as error:
        sliced_foundation(foundation, [24, 42])
    assert error.value.valid == ("Nb", "Mo", "W")


def test_a_saved_model_runs_in_the_calculator_of_mace(foundation, toy_frames, tmp_path):
    frame = toy_frames[0].copy()
    energy, forces = batch_values(
        foundation, collate(build_graphs([toy_frames[0]], ELEMENTS, 4.5)), forces=True
    )
    save_model(tmp_path / "model.model", foundation)
    frame.calc = MACECalculator(
        model_paths=str(tmp_path / "model.model"), device="cpu", default_dtype="float64"
    )
    assert frame.get_potential_energy() == pytest.approx(energy[0], abs=1e-8)
    np.testing.assert_allclose(frame.get_forces(), forces, atol=1e-8)


def test_the_same_seed_gives_the_same_weights(architecture):
    weights = []
    for _ in range(2):
        with reproducible(seed=4, dtype="float32", n_threads=1, device=torch.device("cpu")):
            model = scratch_model(architecture, ELEMENTS, ENERGIES, Scaling(10.0, 1.0))
            weights.append(torch.nn.utils.parameters_to_vector(model.parameters()))
    assert torch.equal(*weights)

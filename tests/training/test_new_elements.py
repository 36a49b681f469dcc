"""New elements: the weights and energies of a proxy or of a donor, and nothing else changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from numpy.typing import NDArray

from mo_hpc.core.errors import UserError
from mo_hpc.core.record import EnergyReferences
from mo_hpc.core.schema import ModelConfig
from mo_hpc.core.task import NewElements
from mo_hpc.training.evaluate import batch_values
from mo_hpc.training.graphs import build_graphs, collate
from mo_hpc.training.model import (
    Scaling,
    model_elements,
    scratch_model,
    sliced_foundation,
    stored_reference_energies,
)
from mo_hpc.training.new_elements import with_named_sources, with_new_elements

DONOR_EV = {"Al": -3.0, "V": -8.5, "Nb": -9.5, "Mo": -10.5, "W": -12.5}
DONOR_NUMBERS = [13, 23, 41, 42, 74]
KNOWN = [41, 42, 74]


def new_elements(weights: str = "proxy_given", **changes: Any) -> NewElements:
    document = {
        "weights": weights,
        "elements": ("Al", "V"),
        "proxies": {} if weights == "slice" else {"Al": "Nb", "V": "W"},
        "energy_reference": "borrowed",
        "energy_reference_ev": {},
    }
    return NewElements(**(document | changes))


@pytest.fixture
def donor(architecture: ModelConfig, double: None) -> torch.nn.Module:
    return scratch_model(architecture, DONOR_NUMBERS, DONOR_EV, Scaling(12.5, 0.7))


@pytest.fixture
def tuned(donor: torch.nn.Module) -> torch.nn.Module:
    """A model of three of the donor's elements, with other weights and energies than there."""
    model = sliced_foundation(donor, KNOWN)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        energies: Any = model.atomic_energies_fn
        energies.atomic_energies += 0.25
    return model


def predicted(model: torch.nn.Module, frames: Sequence[Atoms]) -> list[NDArray[np.float64]]:
    graphs = build_graphs(frames, model_elements(model), 4.5)
    return list(batch_values(model, collate(graphs), forces=True))


def substituted(frames: Sequence[Atoms], elements: dict[str, str]) -> list[Atoms]:
    changed = [frame.copy() for frame in frames]
    for frame, original in zip(changed, frames, strict=True):
        symbols = [elements.get(symbol, symbol) for symbol in frame.get_chemical_symbols()]
        frame.set_chemical_symbols(symbols)
        frame.info, frame.arrays["REF_forces"] = original.info, original.arrays["REF_forces"]
    return changed


def with_both(frames: Sequence[Atoms]) -> list[Atoms]:
    """Frames with Mo, Nb and W, one of each kind."""
    return [next(f for f in frames if symbol in f.get_chemical_symbols()) for symbol in ("Nb", "W")]


def test_a_new_element_is_its_proxy_by_another_name(
    tuned: torch.nn.Module, toy_frames: list[Atoms]
) -> None:
    extended = with_new_elements(tuned, new_elements(), None)
    frames = with_both(toy_frames)
    renamed = substituted(frames, {"Nb": "Al", "W": "V"})
    for known, new in zip(predicted(tuned, frames), predicted(extended, renamed), strict=True):
        np.testing.assert_allclose(new, known, atol=1e-9)


@pytest.mark.parametrize("weights", ["proxy_given", "slice"])
def test_known_elements_keep_their_predictions(
    tuned: torch.nn.Module, donor: torch.nn.Module, toy_frames: list[Atoms], weights: str
) -> None:
    new = new_elements(weights, energy_reference="foundation")
    extended = with_new_elements(tuned, new, donor)
    frames = with_both(toy_frames)
    for before, after in zip(predicted(tuned, frames), predicted(extended, frames), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-9)


def test_a_slice_put_back_together_is_the_whole(
    donor: torch.nn.Module, toy_frames: list[Atoms]
) -> None:
    new = new_elements("slice", energy_reference="foundation")
    extended = with_new_elements(sliced_foundation(donor, KNOWN), new, donor)
    assert model_elements(extended) == DONOR_NUMBERS
    frames = substituted(with_both(toy_frames), {"Nb": "Al", "W": "V"})
    for whole, again in zip(predicted(donor, frames), predicted(extended, frames), strict=True):
        np.testing.assert_allclose(again, whole, atol=1e-9)
    proxied = with_new_elements(sliced_foundation(donor, KNOWN), new_elements(), None)
    assert not np.allclose(predicted(donor, frames)[1], predicted(proxied, frames)[1], atol=1e-3)


@pytest.mark.parametrize(
    ("policy", "al_ev", "v_ev"),
    [
        ("borrowed", -9.25, -12.25),
        ("foundation", -3.0, -8.5),
        ("estimated", -2.75, -8.25),
        ("explicit", -1.0, -2.0),
    ],
)
def test_reference_energies_by_policy(
    tuned: torch.nn.Module, donor: torch.nn.Module, policy: str, al_ev: float, v_ev: float
) -> None:
    explicit = {"Al": -1.0, "V": -2.0} if policy == "explicit" else {}
    new = new_elements(energy_reference=policy, energy_reference_ev=explicit)
    found = stored_reference_energies(with_new_elements(tuned, new, donor))
    assert (found["Al"], found["V"]) == (pytest.approx(al_ev), pytest.approx(v_ev))
    assert found["Mo"] == pytest.approx(-10.25)


def test_a_wrong_reference_energy_costs_its_share_of_the_cell(
    tuned: torch.nn.Module, donor: torch.nn.Module, toy_frames: list[Atoms]
) -> None:
    """What MACE's own fit would do, E0 = 0, shifts each energy by the atoms' missing E0s."""
    frames = substituted(with_both(toy_frames), {"Nb": "Al", "W": "V"})
    sound = with_new_elements(tuned, new_elements(energy_reference="foundation"), donor)
    zero = with_new_elements(
        tuned,
        new_elements(energy_reference="explicit", energy_reference_ev={"Al": 0.0, "V": 0.0}),
        None,
    )
    (right, forces), (wrong, same_forces) = predicted(sound, frames), predicted(zero, frames)
    missing = [
        sum(DONOR_EV[s] for s in frame.get_chemical_symbols() if s in ("Al", "V"))
        for frame in frames
    ]
    np.testing.assert_allclose(right - wrong, missing)
    np.testing.assert_allclose(forces, same_forces)


def test_a_donor_of_another_architecture_is_refused(
    tuned: torch.nn.Module, architecture: ModelConfig
) -> None:
    wider = architecture.model_copy(update={"num_channels": architecture.num_channels * 2})
    donor = scratch_model(wider, DONOR_NUMBERS, DONOR_EV, Scaling(12.5, 0.7))
    with pytest.raises(UserError, match="another architecture"):
        with_new_elements(tuned, new_elements("slice", energy_reference="foundation"), donor)


def test_sources_name_the_proxy_or_the_donor() -> None:
    found = EnergyReferences(
        policy="estimated",
        values_ev=dict.fromkeys(("Al", "V", "Mo"), -1.0),
        sources={"Al": "foundation+shift", "V": "foundation+mean_shift", "Mo": "foundation+shift"},
    )
    named = with_named_sources(found, new_elements(energy_reference="borrowed"))
    assert named.sources == {
        "Al": "proxy+shift",
        "V": "proxy+mean_shift",
        "Mo": "foundation+shift",
    }
    named = with_named_sources(found, new_elements(energy_reference="foundation"))
    assert named.sources["Al"] == "donor+shift"

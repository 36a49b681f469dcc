from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mace.modules import WeightedEnergyForcesL1L2Loss, WeightedEnergyForcesLoss

from mo_hpc.training.graphs import Batch
from mo_hpc.training.loss import Objective


def _batch() -> tuple[Batch, torch.Tensor, torch.Tensor]:
    """Two structures of one and two atoms, with errors of 3 and -2 eV and simple forces."""
    n_atoms = torch.tensor([1, 2])
    forces = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0], [1.0, 2.0, 2.0]])
    batch = Batch({}, torch.tensor([10.0, 20.0]), torch.zeros(3, 3), n_atoms)
    return batch, torch.tensor([13.0, 18.0]), forces


def _value(name: str, *, energy_weight: float = 2.0, forces_weight: float = 5.0) -> float:
    batch, energy, forces = _batch()
    objective = Objective(name, energy_weight, forces_weight)  # type: ignore[arg-type]
    energy_sum, force_sum = objective.sums(batch, energy, forces)
    return float(objective.combine(energy_sum, force_sum, 2, 3))


def test_l1l2_is_the_formula_of_the_text():
    # Energies per atom: |3|/1 and |-2|/2. Force norms: 5, 2, 3.
    assert _value("l1l2") == pytest.approx(2 * (3 + 1) / 2 + 5 * (5 + 2 + 3) / 3)


def test_weighted_is_the_mean_of_squares():
    assert _value("weighted") == pytest.approx(2 * (9 + 1) / 2 + 5 * (25 + 4 + 9) / 9)


@pytest.mark.parametrize(
    ("name", "mace_class"),
    [("l1l2", WeightedEnergyForcesL1L2Loss), ("weighted", WeightedEnergyForcesLoss)],
)
def test_losses_are_those_of_mace(name, mace_class):
    batch, energy, forces = _batch()

    class Reference(SimpleNamespace):
        def __getitem__(self, key):
            return getattr(self, key)

    reference = Reference(
        ptr=torch.tensor([0, 1, 3]),
        weight=torch.ones(2),
        energy_weight=torch.ones(2),
        forces_weight=torch.ones(2),
        energy=batch.energy,
        forces=batch.forces,
    )
    loss = mace_class(energy_weight=2.0, forces_weight=5.0)
    expected = loss(pred={"energy": energy, "forces": forces}, ref=reference)
    assert _value(name) == pytest.approx(float(expected))


def test_the_gradient_is_finite_where_forces_are_exact():
    batch = Batch({}, torch.zeros(1), torch.zeros(2, 3), torch.tensor([2]))
    forces = torch.zeros(2, 3, requires_grad=True)
    _, force_sum = Objective("l1l2", 1, 1).sums(batch, torch.zeros(1), forces)
    force_sum.backward()
    assert torch.equal(forces.grad, torch.zeros(2, 3))

"""Training losses as sums with counts, so that no value depends on how batches are cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from mo_hpc.training.graphs import Batch

LossName = Literal["l1l2", "weighted"]


@dataclass(frozen=True, slots=True)
class Objective:
    """L = energy_weight · L_E + forces_weight · L_F.

    ``l1l2`` is the text of Fang et al., Materials 2026, 19, 1715: L_E is the mean over
    structures of |ê - e| (energy per atom, eV), L_F the mean over atoms of the norm of
    F̂ - F (eV/Å). ``weighted`` is MACE's `WeightedEnergyForcesLoss`: the same with the squared
    energy error and the mean over force components of the squared error.

    Attributes:
        name: Which of the two.
        energy_weight: λ_E.
        forces_weight: λ_F.
    """

    name: LossName
    energy_weight: float
    forces_weight: float

    def sums(
        self, batch: Batch, energy: torch.Tensor, forces: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums of the energy terms over structures and of the force terms over atoms.

        Args:
            batch: Structures with labels.
            energy: Predicted energies, eV, shape (n_structures,).
            forces: Predicted forces, eV/Å, shape (n_atoms, 3).
        """
        energy_error = (energy - batch.energy) / batch.n_atoms
        force_error = forces - batch.forces
        if self.name == "l1l2":
            return energy_error.abs().sum(), torch.linalg.vector_norm(force_error, dim=-1).sum()
        # The mean over components is a third of the mean over atoms of the squared norm.
        return energy_error.square().sum(), force_error.square().sum() / 3

    def combine(
        self, energy_sum: torch.Tensor, force_sum: torch.Tensor, n_structures: int, n_atoms: int
    ) -> torch.Tensor:
        """The loss from sums over a batch or a whole set, and what they run over."""
        return (
            self.energy_weight * energy_sum / n_structures
            + self.forces_weight * force_sum / n_atoms
        )

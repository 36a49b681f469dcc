"""What a MACE model makes of an atom's surroundings, before it makes an energy of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ase
import torch
from mace.modules.utils import extract_invariant

from mo_hpc.training.graphs import Batch, batches_of, build_graphs
from mo_hpc.training.micro_batches import MicroBatches
from mo_hpc.training.model import model_elements


@dataclass(frozen=True, slots=True, eq=False)
class DescriptorReader:
    """Invariant descriptors of atoms, the scalars of all layers, in double precision on the CPU.

    Attributes:
        model: A MACE model, on the device.
        device: Where it works.
        batch_size: Structures at once.
    """

    model: torch.nn.Module
    device: torch.device
    batch_size: int

    def batches(self, frames: Sequence[ase.Atoms]) -> list[Batch]:
        """The frames as the model takes them."""
        r_max_ang = float(self.model.r_max)  # type: ignore[arg-type]
        graphs = build_graphs(frames, model_elements(self.model), r_max_ang)
        return batches_of(graphs, self.batch_size)

    def of_element(self, frames: Sequence[ase.Atoms], number: int) -> list[torch.Tensor]:
        """Descriptors of one element's atoms in each frame, shape (n_atoms, n_features)."""
        every = torch.cat([self.of_atoms(batch) for batch in self.batches(frames)])
        parts = torch.split(every, [len(frame) for frame in frames])
        masks = [torch.from_numpy(frame.numbers == number) for frame in frames]
        return [part[mask] for part, mask in zip(parts, masks, strict=True)]

    def of_atoms(self, batch: Batch) -> torch.Tensor:
        """Descriptors of all atoms of a batch, shape (n_atoms, n_features)."""
        micro_batches = MicroBatches("choice of structures", self.device)
        return torch.cat(micro_batches.map(self._features, batch))

    @torch.no_grad()
    def _features(self, batch: Batch) -> torch.Tensor:
        features = self.model(batch.inputs, training=False, compute_force=False)["node_feats"]
        irreps = self.model.products[0].linear.irreps_out  # type: ignore[index,union-attr]
        invariants: torch.Tensor = extract_invariant(
            features,
            num_layers=int(self.model.num_interactions),  # type: ignore[arg-type]
            num_features=irreps.dim // (irreps.lmax + 1) ** 2,
            l_max=irreps.lmax,
        )
        return invariants.cpu().double()

"""Frames as graphs, built once per task and shared by training, validation and evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import ase
import numpy as np
import torch
from mace.data import get_neighborhood
from rich.console import Console
from rich.progress import track

from mo_hpc.core.errors import BadDataError


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """One frame with its neighbour list.

    Attributes:
        positions: Å, shape (n_atoms, 3).
        node_attrs: One-hot elements, shape (n_atoms, n_elements).
        edge_index: Senders and receivers, shape (2, n_edges).
        shifts: Cell shift of each edge in Å, shape (n_edges, 3).
        cell: Å, shape (3, 3).
        energy: Label, eV, shape (1,).
        forces: Label, eV/Å, shape (n_atoms, 3).
    """

    positions: torch.Tensor
    node_attrs: torch.Tensor
    edge_index: torch.Tensor
    shifts: torch.Tensor
    cell: torch.Tensor
    energy: torch.Tensor
    forces: torch.Tensor

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return self.positions.shape[0]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Several graphs as one.

    Attributes:
        inputs: What a MACE model takes: positions, node_attrs, edge_index, shifts, cell,
            batch, ptr, head.
        energy: Labels, eV, shape (n_structures,).
        forces: Labels, eV/Å, shape (n_atoms, 3).
        n_atoms: Atoms of each structure, shape (n_structures,).
    """

    inputs: dict[str, torch.Tensor]
    energy: torch.Tensor
    forces: torch.Tensor
    n_atoms: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device; itself where it already is there."""
        if self.energy.device == device:
            return self
        return Batch(
            inputs={key: value.to(device) for key, value in self.inputs.items()},
            energy=self.energy.to(device),
            forces=self.forces.to(device),
            n_atoms=self.n_atoms.to(device),
        )

    def slices(self, size: int | None) -> Iterator[Batch]:
        """Consecutive parts of at most so many structures; None: the batch itself."""
        n_structures = len(self.energy)
        if size is None or size >= n_structures:
            yield self
            return
        for start in range(0, n_structures, size):
            yield self._slice(start, min(start + size, n_structures))

    def _slice(self, start: int, stop: int) -> Batch:
        first, last = (int(self.inputs["ptr"][number]) for number in (start, stop))
        structures, atoms = slice(start, stop), slice(first, last)
        senders = self.inputs["edge_index"][0]
        edges = (senders >= first) & (senders < last)
        inputs = {
            # A model that has seen the batch has made its positions require gradients.
            "positions": self.inputs["positions"].detach()[atoms],
            "node_attrs": self.inputs["node_attrs"][atoms],
            "edge_index": self.inputs["edge_index"][:, edges] - first,
            "shifts": self.inputs["shifts"][edges],
            "cell": self.inputs["cell"][3 * start : 3 * stop],
            "batch": self.inputs["batch"][atoms] - start,
            "ptr": self.inputs["ptr"][start : stop + 1] - first,
            "head": self.inputs["head"][structures],
        }
        return Batch(
            inputs=inputs,
            energy=self.energy[structures],
            forces=self.forces[atoms],
            n_atoms=self.n_atoms[structures],
        )


def build_graphs(
    frames: Sequence[ase.Atoms],
    atomic_numbers: Sequence[int],
    r_max_ang: float,
    *,
    show_progress: bool = False,
) -> list[Graph]:
    """Builds the neighbour lists of all frames, in torch's default type.

    Args:
        frames: Labelled frames (``info["REF_energy"]``, ``arrays["REF_forces"]``).
        atomic_numbers: The elements of the model, in its order.
        r_max_ang: Cutoff in Å.
        show_progress: Whether to draw a bar on stderr.

    Raises:
        BadDataError: If a frame has no finite labels or an element outside the model's.
    """
    column = {number: index for index, number in enumerate(atomic_numbers)}
    shown = track(
        frames,
        description="neighbour lists",
        disable=not show_progress,
        console=Console(stderr=True),
        transient=True,
    )
    return [_graph(frame, column, r_max_ang) for frame in shown]


def collate(graphs: Sequence[Graph]) -> Batch:
    """Joins graphs into one batch."""
    n_atoms = torch.tensor([graph.n_atoms for graph in graphs])
    ptr = torch.zeros(len(graphs) + 1, dtype=torch.int64)
    torch.cumsum(n_atoms, dim=0, out=ptr[1:])
    offsets = ptr.tolist()
    inputs = {
        "positions": torch.cat([graph.positions for graph in graphs]),
        "node_attrs": torch.cat([graph.node_attrs for graph in graphs]),
        "edge_index": torch.cat(
            [graph.edge_index + start for graph, start in zip(graphs, offsets, strict=False)], dim=1
        ),
        "shifts": torch.cat([graph.shifts for graph in graphs]),
        "cell": torch.cat([graph.cell for graph in graphs]),
        "batch": torch.repeat_interleave(torch.arange(len(graphs)), n_atoms),
        "ptr": ptr,
        "head": torch.zeros(len(graphs), dtype=torch.int64),
    }
    return Batch(
        inputs=inputs,
        energy=torch.cat([graph.energy for graph in graphs]),
        forces=torch.cat([graph.forces for graph in graphs]),
        n_atoms=n_atoms,
    )


def batches_of(graphs: Sequence[Graph], batch_size: int) -> list[Batch]:
    """Consecutive batches in the order of the graphs."""
    return [
        collate(graphs[start : start + batch_size]) for start in range(0, len(graphs), batch_size)
    ]


def _graph(frame: ase.Atoms, column: dict[int, int], r_max_ang: float) -> Graph:
    name = frame.info.get("frame_id", frame.get_chemical_formula())
    energy, forces = frame.info.get("REF_energy"), frame.arrays.get("REF_forces")
    if energy is None or forces is None or not np.isfinite(forces).all() or not np.isfinite(energy):
        raise BadDataError(f"Frame {name} has no finite reference energy and forces.")
    unknown = sorted(set(frame.numbers.tolist()) - set(column))
    if unknown:
        raise BadDataError(f"Frame {name} has atomic numbers {unknown}, which the model lacks.")
    edge_index, shifts, _, cell = get_neighborhood(
        positions=frame.positions,
        cutoff=r_max_ang,
        pbc=tuple(frame.pbc.tolist()),
        cell=np.array(frame.cell),
    )
    node_attrs = torch.zeros(len(frame), len(column))
    node_attrs[torch.arange(len(frame)), [column[number] for number in frame.numbers.tolist()]] = 1
    return Graph(
        positions=_real(frame.positions),
        node_attrs=node_attrs,
        edge_index=torch.tensor(edge_index, dtype=torch.int64),
        shifts=_real(shifts),
        cell=_real(cell),
        energy=_real([energy]),
        forces=_real(forces),
    )


def _real(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.get_default_dtype())

"""Three training steps: the loss falls, and the trained model obeys the laws it must obey."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import ase
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.selfchecks.small_training import Trained, train_three_steps
from mo_hpc.training.evaluate import Values, batch_values
from mo_hpc.training.graphs import build_graphs, collate
from mo_hpc.training.model import model_elements
from mo_hpc.training.reproducible import reproducible

_ROTATION = Rotation.from_rotvec([0.4, -1.1, 0.7])
_SHIFT_ANG = 1e-3
# Of the largest force. Double precision leaves 1e-11, a wrong term is of the order of 1.
_SAME = 1e-8
# A central difference is wrong by the square of the shift.
_SAME_AS_DIFFERENCE = 1e-3
_REBUILD = "Install requirements.lock into a fresh environment, or build the image anew."


def step_findings(group: Group, folder: Path) -> Iterator[Finding]:
    """Trains on the CPU and examines what came of it.

    Args:
        group: The heading.
        folder: For the demo's data and the training's files.
    """
    trained = train_three_steps(folder / "cache", folder / "on_cpu", torch.device("cpu"))
    yield loss_finding(group, trained.losses)
    yield rotation_finding(group, trained)
    yield force_finding(group, trained)


def loss_finding(group: Group, losses: Sequence[float]) -> Finding:
    """Whether three steps on one batch have made its loss smaller."""
    found = " → ".join(f"{loss:.4f}" for loss in losses)
    if not all(math.isfinite(loss) for loss in losses):
        return group.problem("three steps", f"the loss is not finite: {found}", _REBUILD)
    if losses[-1] >= losses[0]:
        return group.problem("three steps", f"the loss did not fall: {found}", _REBUILD)
    return group.ok("three steps", f"the loss fell: {found}")


def rotation_finding(group: Group, trained: Trained) -> Finding:
    """Whether energies stay as they are when crystals are turned, and forces turn with them.

    Both are measured by the largest force (for energies: times 1 Å), because the model of three
    steps predicts little more than the reference energies, which turn with anything.
    """
    energies, forces = _values(trained, trained.frames)
    turned_energies, turned_forces = _values(trained, [_rotated(f) for f in trained.frames])
    scale = float(np.abs(forces).max())
    energy = float(np.abs(turned_energies - energies).max()) / scale
    force = float(np.abs(turned_forces - _turned(forces)).max()) / scale
    found = (
        f"of the largest force ({scale:.1e} eV/Å) a rotation changes energies by {energy:.0e} and "
        f"forces, turned back, by {force:.0e}"
    )
    if scale > 0 and energy < _SAME and force < _SAME:
        return group.ok("rotation", found)
    return group.problem("rotation", found, _REBUILD)


def force_finding(group: Group, trained: Trained) -> Finding:
    """Whether the largest force is minus the derivative of the energy."""
    frame = trained.frames[0]
    _, forces = _values(trained, [frame])
    atom, axis = np.unravel_index(np.abs(forces).argmax(), forces.shape)
    moved = [frame.copy(), frame.copy()]
    moved[0].positions[atom, axis] += _SHIFT_ANG
    moved[1].positions[atom, axis] -= _SHIFT_ANG
    energies, _ = _values(trained, moved)
    force = float(forces[atom, axis])
    slope = -float(energies[0] - energies[1]) / (2 * _SHIFT_ANG)
    found = f"{force:.6e} eV/Å, and {slope:.6e} eV/Å by differences of the energy"
    if abs(force - slope) < _SAME_AS_DIFFERENCE * abs(force):
        return group.ok("a force", found)
    return group.problem("a force", found, _REBUILD)


def _values(trained: Trained, frames: Sequence[ase.Atoms]) -> Values:
    """Energies, eV, shape (n_frames,), and forces, eV/Å, shape (n_atoms, 3)."""
    device = next(trained.model.parameters()).device
    with reproducible(seed=0, dtype="float64", n_threads=1, device=device):
        graphs = build_graphs(frames, model_elements(trained.model), trained.data.r_max_ang)
        return batch_values(trained.model, collate(graphs).to(device), forces=True)


def _rotated(frame: ase.Atoms) -> ase.Atoms:
    turned = frame.copy()
    turned.set_cell(_turned(frame.cell.array), scale_atoms=False)
    turned.positions = _turned(frame.positions)
    return turned


def _turned(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(_ROTATION.apply(vectors))

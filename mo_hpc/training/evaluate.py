"""Predictions of one model for all parts of a split: one evaluator for every paradigm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import ase
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from mo_hpc.core.errors import StopRequested
from mo_hpc.metrics.predictions import Predictions
from mo_hpc.training.distributed import Communicator
from mo_hpc.training.graphs import Batch
from mo_hpc.training.micro_batches import MicroBatches
from mo_hpc.training.signals import StopFlag
from mo_hpc.training.validation import frozen

Values = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Frames of one part of a split, with their batches in the same order.

    Attributes:
        frames: Labelled frames.
        batches: The same frames, batched.
        with_forces: Whether forces are predicted, too.
    """

    frames: Sequence[ase.Atoms]
    batches: Sequence[Batch]
    with_forces: bool


def predict(
    model: torch.nn.Module,
    parts: Mapping[str, Part],
    communicator: Communicator,
    stop: StopFlag,
    *,
    show_progress: bool = False,
) -> Predictions | None:
    """Predicts all parts, each rank a share of the batches.

    Args:
        model: The model, on the communicator's device.
        parts: ``train``, ``valid`` and ``test``.
        communicator: The ranks.
        stop: Ends the evaluation between batches; it is started again with the task.
        show_progress: Whether to draw a bar on stderr.

    Returns:
        The predictions on rank 0, None on the others.

    Raises:
        StopRequested: After a signal.
        torch.cuda.OutOfMemoryError: If a single structure does not fit.
    """
    jobs = [(batch, part.with_forces) for part in parts.values() for batch in part.batches]
    mine: dict[int, Values] = {}
    micro_batches = MicroBatches("evaluation", communicator.device)
    with frozen(model):
        for number in track(
            communicator.share(list(range(len(jobs)))),
            description="evaluation",
            disable=not show_progress or communicator.rank != 0,
            console=Console(stderr=True),
            transient=True,
        ):
            if stop.is_set:
                break
            batch, with_forces = jobs[number]
            work = partial(batch_values, model, forces=with_forces)
            mine[number] = _joined(micro_batches.map(work, batch))
    # All ranks leave together: one that waited for another's predictions would fail.
    if communicator.any(stop.is_set):
        raise StopRequested("Evaluation was asked to stop; the trained state is saved.")
    gathered = communicator.gather(mine)
    if gathered is None:
        return None
    values = {number: value for share in gathered for number, value in share.items()}
    return _assembled(parts, [values[number] for number in range(len(jobs))])


def batch_values(model: torch.nn.Module, batch: Batch, *, forces: bool) -> Values:
    """Energies (n_structures,) in eV and forces (n_atoms or 0, 3) in eV/Å of one batch."""
    with torch.set_grad_enabled(forces):
        output = model(batch.inputs, training=False, compute_force=forces)
    energy = output["energy"].detach().cpu().double().numpy()
    if not forces:
        return energy, np.empty((0, 3))
    return energy, output["forces"].detach().cpu().double().numpy()


def _joined(parts: Sequence[Values]) -> Values:
    energies, forces = zip(*parts, strict=True)
    return np.concatenate(energies), np.concatenate(forces)


def _assembled(parts: Mapping[str, Part], values: Sequence[Values]) -> Predictions:
    frames = [frame for part in parts.values() for frame in part.frames]
    names = [name for name, part in parts.items() for _ in part.frames]
    has_forces = np.array([parts[name].with_forces for name in names])
    labelled = [frame for frame, wanted in zip(frames, has_forces, strict=True) if wanted]
    none = np.empty((0, 3))
    return Predictions(
        frame_ids=np.array([frame.info["frame_id"] for frame in frames]),
        part=np.array(names),
        host=np.array([frame.info.get("host", "-") for frame in frames]),
        n_atoms=np.array([len(frame) for frame in frames]),
        numbers=np.concatenate([frame.numbers for frame in frames]),
        energy_ref_ev=np.array([frame.info["REF_energy"] for frame in frames], dtype=np.float64),
        energy_pred_ev=np.concatenate([energy for energy, _ in values]),
        has_forces=has_forces,
        forces_ref_ev_per_ang=np.concatenate([none, *(f.arrays["REF_forces"] for f in labelled)]),
        forces_pred_ev_per_ang=np.concatenate([none, *(forces for _, forces in values)]),
        group=np.array([frame.info.get("group", frame.info["frame_id"]) for frame in frames]),
    )

"""Frames whose metrics are known in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from mo_hpc.core.elements import ATOMIC_NUMBERS
from mo_hpc.metrics.predictions import Predictions

Frame = tuple[str, str, dict[str, int], float, float]
"""Part, host, composition, reference energy in eV, predicted energy in eV."""

MakeFrames = Callable[..., Predictions]


@pytest.fixture
def make_frames() -> MakeFrames:
    """Builds predictions from a list of frames; all forces are zero, their errors given."""
    return _make_frames


def _make_frames(
    frames: Sequence[Frame],
    force_errors_ev_per_ang: np.ndarray | None = None,
    group: Sequence[str] = (),
) -> Predictions:
    numbers = [
        ATOMIC_NUMBERS[symbol]
        for _, _, composition, _, _ in frames
        for symbol, count in composition.items()
        for _ in range(count)
    ]
    n_atoms = [sum(frame[2].values()) for frame in frames]
    errors = np.zeros((0, 3)) if force_errors_ev_per_ang is None else force_errors_ev_per_ang
    return Predictions(
        frame_ids=np.array([f"synthetic#{number}" for number in range(len(frames))]),
        part=np.array([frame[0] for frame in frames]),
        host=np.array([frame[1] for frame in frames]),
        n_atoms=np.array(n_atoms),
        numbers=np.array(numbers),
        energy_ref_ev=np.array([frame[3] for frame in frames]),
        energy_pred_ev=np.array([frame[4] for frame in frames]),
        has_forces=np.full(len(frames), force_errors_ev_per_ang is not None),
        forces_ref_ev_per_ang=np.zeros_like(errors),
        forces_pred_ev_per_ang=errors,
        group=np.array(group, dtype=np.str_),
    )

"""Checkpoints (plain tensors and numbers, never unpickled as code) and finished models."""

from __future__ import annotations

import io
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import write_atomic


def save_checkpoint(path: Path, document: dict[str, Any]) -> None:
    """Writes a checkpoint; a reader sees the old one or the new one."""
    buffer = io.BytesIO()
    torch.save(document, buffer)
    write_atomic(path, buffer.getvalue())


def save_model(path: Path, model: torch.nn.Module) -> None:
    """Moves a model to the CPU and writes it as `mace.calculators.MACECalculator` loads it.

    The model is moved and not copied: e3nn compiles its code anew for every copy.
    """
    buffer = io.BytesIO()
    torch.save(model.cpu(), buffer)
    write_atomic(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU.

    ``weights_only`` is given explicitly: importing MACE switches torch's default to loading
    any pickle, and only an explicit argument wins over that.

    Raises:
        UserError: If the file holds anything but tensors and plain data, or is damaged.
    """
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise UserError(
            f"The checkpoint cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            remedy="Remove the file; the task then starts from the beginning.",
        ) from None
    assert isinstance(document, dict)
    return document


def random_states() -> dict[str, Any]:
    """The states of all random generators, as plain data."""
    state: Any = np.random.get_state()  # noqa: NPY002
    name, keys, position, has_gauss, cached = state
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Puts the generators back to where `random_states` was taken."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])

"""Settings of torch and e3nn under which equal input gives equal bits."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import e3nn
import numpy as np
import torch

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@contextmanager
def reproducible(
    *, seed: int, dtype: Literal["float32", "float64"], n_threads: int, device: torch.device
) -> Iterator[None]:
    """Runs a block with everything fixed that changes the numbers, and restores it after.

    TorchScript optimises a function anew in its second and third call, so that the first calls
    of a resumed process would differ from the same calls of one that went on; its optimiser is
    off, and e3nn's generated code stays plain Python. A CPU gives equal bits only for an equal
    number of threads. On a GPU the deterministic scatter of torch costs several times the
    training step; there runs agree to rounding, and the flag stays off.

    Args:
        seed: Seed of torch, numpy and Python.
        dtype: Type of parameters and features.
        n_threads: Threads of torch's operators.
        device: Where the model will live.
    """
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        stack.callback(
            torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled()
        )
        memory: Any = torch.utils.deterministic
        stack.callback(
            setattr, memory, "fill_uninitialized_memory", memory.fill_uninitialized_memory
        )
        stack.callback(e3nn.set_optimization_defaults, **e3nn.get_optimization_defaults())
        jit: Any = torch.jit
        stack.enter_context(jit.optimized_execution(False))
        torch.set_default_dtype(DTYPES[dtype])
        torch.set_num_threads(n_threads)
        torch.use_deterministic_algorithms(device.type == "cpu")
        # Nothing here reads memory that it has not written; filling it would cost time.
        memory.fill_uninitialized_memory = False
        e3nn.set_optimization_defaults(jit_script_fx=False)
        set_seeds(seed)
        yield


def set_seeds(seed: int) -> None:
    """Seeds every generator that a library may draw from."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - MACE and e3nn draw from the global generator
    torch.manual_seed(seed)

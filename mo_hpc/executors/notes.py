"""Notes that libraries print on import and that a user can do nothing about."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

_WARNING = "Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD detected"
"""MACE sets the variable itself; e3nn then loads its constants under it."""

_PRINTED = "cuequivariance or cuequivariance_torch is not available"
"""An optional accelerator of MACE."""


@contextmanager
def without_known_notes() -> Iterator[None]:
    """Leaves exactly these notes out for the duration of the block; others are passed on."""
    printed = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(printed):
            warnings.filterwarnings("ignore", message=_WARNING)
            yield
    finally:
        for line in printed.getvalue().splitlines():
            if not line.startswith(_PRINTED):
                print(line)

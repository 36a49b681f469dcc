"""Thread counts of the numerical libraries."""

from __future__ import annotations

import os
import sys

_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def set_threads(count: int) -> None:
    """Limits numerical libraries to so many threads; call it before they are imported.

    The variables are read when a library is loaded. A torch that is already there, as in a
    forked worker, is told directly.
    """
    for variable in _VARIABLES:
        os.environ[variable] = str(count)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)

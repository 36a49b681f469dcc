"""The libraries that only some commands need: what this Python lacks, and the way out. Light."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec

from mo_hpc.core.errors import UserError
from mo_hpc.core.installation import lock_file
from mo_hpc.core.shell import pasteable

READING = ("ase", "matscipy", "numpy", "scipy")
"""To read, check, generate and index data."""

TRAINING = ("torch", "mace", "e3nn", "torch_ema", *READING)
"""To run a task, and to look into a model."""

TABLES = ("matplotlib", "numpy", "pandas", "tabulate")
"""To make tables, figures and reports."""


_BY_LAUNCH = "python -m mo_hpc.launch ... site.container=IMAGE"


def missing_libraries(names: Iterable[str]) -> list[str]:
    """Those of the modules that this Python cannot import; nothing is imported to find out."""
    return [name for name in names if not _is_there(name)]


def require_libraries(names: Iterable[str], *, for_what: str, in_image: Sequence[str] = ()) -> None:
    """Refuses what this Python cannot carry out.

    Args:
        names: The modules it imports.
        for_what: What is wanted, as the subject of a sentence, such as ``Making tables``.
        in_image: The command's words after ``apptainer run IMAGE``; none where a launch with
            ``site.container`` does it.

    Raises:
        UserError: Naming the libraries that are missing, and both ways to have them.
    """
    if missing := missing_libraries(names):
        image = pasteable("apptainer run IMAGE", in_image) if in_image else _BY_LAUNCH
        raise UserError(
            f"{for_what} needs libraries that this Python lacks: {', '.join(missing)}.",
            where=sys.executable,
            remedy=f"Install them:\n{_installation()}\nor use an image that has them:\n{image}",
        )


def _is_there(name: str) -> bool:
    # A folder of that name in the working directory passes for a package, without an origin.
    spec = find_spec(name)
    return spec is not None and spec.origin is not None


def _installation() -> str:
    lock = lock_file()
    return pasteable(
        "python -m pip install 'mo_hpc[all]'", [f"--constraint={lock}"] if lock else []
    )

"""Starts a module of this package in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mo_hpc


def run_module(
    module: str,
    arguments: Sequence[str],
    python: Sequence[str] = (sys.executable,),
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m module arguments`` and waits for it.

    The child finds the package that is running here, installed or not, from any folder.

    Args:
        module: The module's dotted name.
        arguments: Its command line.
        python: The words that start Python: this one, or one in an image.
        options: Passed on to `subprocess.run`.
    """
    package_parent = str(Path(mo_hpc.__file__).resolve().parent.parent)
    search_path = [package_parent, os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [*python, "-m", module, *arguments],
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, search_path))},
        **options,
    )

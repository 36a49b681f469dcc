"""A module of this package in a process of its own: starting it, and what it tells of errors.

What reads structures imports ASE and NumPy, which a launch does not. Such a child shows its
stderr as it comes; what went wrong it reports as JSON on stdout: the arguments of a `UserError`
or of an `OSError`, which the parent raises anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import mo_hpc
from mo_hpc.core.errors import EXIT_BAD_INPUT, EXIT_DONE, UserError


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


def reported(work: Callable[[], None]) -> int:
    """Does the work of a child and reports what went wrong; returns the exit status."""
    try:
        # Whatever a library prints must not stand in the document.
        with redirect_stdout(sys.stderr):
            work()
    except UserError as error:
        fields = {"where": error.where, "valid": error.valid, "remedy": error.remedy}
        return _report({"user_error": {"what": error.what, **fields}})
    except OSError as error:
        path = str(error.filename) if error.filename else None
        return _report({"os_error": [error.errno, error.strerror or str(error), path]})
    return EXIT_DONE


def raise_reported(printed: str) -> None:
    """Raises what a child reported on stdout; a child that crashed reports nothing.

    Raises:
        UserError: If the child ended with one.
        OSError: If the child ended with one.
    """
    try:
        problem: dict[str, Any] = json.loads(printed)
    except ValueError:
        return
    if "os_error" in problem:
        raise OSError(*problem["os_error"])
    raise UserError(**problem["user_error"])


def _report(problem: dict[str, Any]) -> int:
    print(json.dumps(problem))
    return EXIT_BAD_INPUT

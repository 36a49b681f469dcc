"""`python -m mo_hpc.selfcheck`: can this installation, or this image, do the work?"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import mo_hpc
from mo_hpc.core.errors import EXIT_DONE, EXIT_INCOMPLETE, UserError, run_command

if TYPE_CHECKING:
    from mo_hpc.executors.checkup.finding import Finding

SELFCHECK_SCHEMA_VERSION = 1

_DESCRIPTION = """\
Tests whether this installation can do the work: imports every library,
compares versions with requirements.lock, trains three steps and checks what
came of them. Then, without --quick: GPUs, NCCL, MPI, two ranks against one,
folders, and a short training of the demo grid. Writes to a temporary folder
alone.
"""

_EPILOG = """\
examples:
  python -m mo_hpc.selfcheck --quick
  apptainer run --nv mo_hpc.sif selfcheck --folder /scratch/runs

exit status: 0 all right, maybe with warnings, 1 a problem, 2 wrong input,
130 interrupted.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; see ``--help``."""
    options = _parser().parse_args(arguments)
    findings = _examine(_folder(options.folder), options)
    from mo_hpc.executors.checkup.report import checks_of, closing, has_problem

    if options.json:
        document = {
            "schema_version": SELFCHECK_SCHEMA_VERSION,
            "mo_hpc": mo_hpc.__version__,
            "image_sha256": os.environ.get("MO_HPC_IMAGE_SHA256"),
            "quick": options.quick,
            "all_right": not has_problem(findings),
            "checks": checks_of(findings),
        }
        print(json.dumps(document, indent=1))
    else:
        print(f"\n{closing(findings)}")
    return EXIT_INCOMPLETE if has_problem(findings) else EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.selfcheck",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help="libraries and three steps on the CPU only"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument(
        "--folder", default="runs", metavar="DIR", help="where runs would lie (default: runs)"
    )
    return parser


def _folder(words: str) -> Path:
    """Where runs would lie.

    Raises:
        UserError: If there is something else than a folder.
    """
    folder = Path(words).absolute()
    if folder.exists() and not folder.is_dir():
        raise UserError(
            f"{folder} is not a folder.",
            where="--folder",
            remedy="Name the folder where runs lie or shall lie.",
        )
    return folder


def _examine(folder: Path, options: argparse.Namespace) -> list[Finding]:
    """Runs the checks; for people the findings are printed as they come."""
    from rich.console import Console

    from mo_hpc.executors.checkup.report import printed
    from mo_hpc.selfchecks.examination import Examination

    findings = Examination(folder, quick=options.quick).findings()
    if not options.json:
        return list(printed(findings))
    with redirect_stdout(sys.stderr), Console(stderr=True).status("checking"):
        return list(findings)


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))

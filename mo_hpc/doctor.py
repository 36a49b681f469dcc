"""`python -m mo_hpc.doctor`: is a site all right, and if not, what to do about it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mo_hpc.core.config import compose, names
from mo_hpc.core.errors import EXIT_DONE, EXIT_INCOMPLETE, UserError, run_command
from mo_hpc.core.schema import RunConfig, validated

if TYPE_CHECKING:
    from mo_hpc.executors.checkup.finding import Finding

_DEFAULT_WAIT_S = 300

_DESCRIPTION = """\
Checks a Slurm site before a grid is launched there: Slurm, the partition and
what tasks ask of it, accounts, folders, container, clocks, and versions on both
sides. Says of each check what was found and what to do. A test job of a few
seconds looks at a compute node; nothing else is submitted, and nothing stays.
"""

_EPILOG = """\
examples:
  python -m mo_hpc.doctor
  python -m mo_hpc.doctor site=mycluster grid=lodo_full runs_root=/scratch/runs
  python -m mo_hpc.doctor site=mycluster resources.gpus_per_node=4 --no-job

keys are those of python -m mo_hpc.launch; resources come from grid=NAME
(default: demo).

exit status: 0 all right, maybe with warnings, 1 a problem, 2 wrong input,
130 interrupted.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; see ``--help``."""
    options = _parser().parse_intermixed_args(arguments)
    config = _configuration(options.words)
    findings = _examine(config, options)
    from mo_hpc.executors.checkup.report import closing, document_of, has_problem

    if options.json:
        print(json.dumps(document_of(config, findings), indent=1))
    else:
        print(f"\n{closing(findings)}")
    return EXIT_INCOMPLETE if has_problem(findings) else EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.doctor",
        description=_DESCRIPTION,
        epilog=f"sites: {', '.join(names('site'))}\n\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="site=NAME and overrides")
    parser.add_argument("--no-job", action="store_true", help="submit no test job")
    parser.add_argument(
        "--wait-s",
        type=int,
        default=_DEFAULT_WAIT_S,
        metavar="N",
        help="how long the test job may wait in the queue (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _configuration(words: Sequence[str]) -> RunConfig:
    """The composed configuration of a launch on Slurm with these words.

    Raises:
        UserError: If a word is wrong, or names another executor.
    """
    given = {word.partition("=")[0]: word for word in words}
    executor = given.get("executor", "executor=slurm")
    if executor != "executor=slurm":
        raise UserError(
            f"Only a site with Slurm can be examined, not {executor}.",
            where="executor",
            valid=["slurm"],
        )
    defaults = {"grid": "grid=demo", "executor": executor}
    document, _ = compose([*(defaults | given).values()])
    return validated(RunConfig, document, where="")


def _examine(config: RunConfig, options: argparse.Namespace) -> list[Finding]:
    """Examines the site; for people the findings are printed as they come."""
    from rich.console import Console

    from mo_hpc.executors.checkup.examination import Examination
    from mo_hpc.executors.checkup.report import opening, printed

    if not options.json:
        print(opening(config))
    with Console(stderr=True).status("looking") as status:
        examination = Examination(
            config, with_job=not options.no_job, wait_s=options.wait_s, say=status.update
        )
        findings = examination.findings()
        return list(findings if options.json else printed(findings))


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))

"""`python -m mo_hpc COMMAND`: all commands of the suite behind one name, as an image runs them."""

from __future__ import annotations

import difflib
import importlib
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import mo_hpc
from mo_hpc.core.errors import EXIT_DONE, run_command, unknown_name


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        does: What it does, in one sentence.
        example: Words after its name.
        module: Where its ``main`` is.
    """

    does: str
    example: str
    module: str


COMMANDS = {
    "launch": Command("Plans a grid and submits what is missing.", "grid=demo", "mo_hpc.launch"),
    "status": Command(
        "Shows the tasks of a run: states, progress, cost.", "grid=demo", "mo_hpc.status"
    ),
    "collect": Command(
        "Makes tables, figures and a report.", "grid=demo --partial", "mo_hpc.collect"
    ),
    "difficulty": Command(
        "Ranks unseen dopants by what is known of them beforehand.",
        "elements=[Al,Zn]",
        "mo_hpc.difficulty",
    ),
    "export": Command(
        "Makes a calculator, LAMMPS forms and a model card.",
        "grid=demo lodo_relaxed-W-fine_tune-foundation",
        "mo_hpc.export",
    ),
    "data": Command(
        "Lists, fetches, checks and builds datasets.", "check demo", "mo_hpc.data.__main__"
    ),
    "logs": Command(
        "Shows what a task printed, and why it failed.", "grid=demo scratch-iid-W", "mo_hpc.logs"
    ),
    "cancel": Command("Takes back what is queued or running.", "grid=demo", "mo_hpc.cancel"),
    "retry": Command("Submits failed tasks again.", "grid=demo class=python_error", "mo_hpc.retry"),
    "doctor": Command(
        "Examines a Slurm site before a grid is launched.", "site=default", "mo_hpc.doctor"
    ),
    "nightly": Command("Compares a small grid with a reference.", "run", "mo_hpc.nightly"),
    "follow": Command(
        "Goes on with a run when arrays have ended; jobs call it.", "grid=demo", "mo_hpc.follow"
    ),
    "worker": Command("Runs one task; executors call it.", "FOLDER", "mo_hpc.worker"),
    "enter": Command(
        "Starts Python in the site's image, as tasks do.",
        "site.container=image.sif -- -m mo_hpc.selfcheck",
        "mo_hpc.enter",
    ),
    "selfcheck": Command(
        "Tests whether this installation can do the work.", "--quick", "mo_hpc.selfcheck"
    ),
}

_HELP = ("-h", "--help")


def main(arguments: Sequence[str]) -> int:
    """Runs the command that the first word names, with the rest.

    Raises:
        UserError: If there is no such command.
    """
    if not arguments or arguments[0] in _HELP:
        print(_usage())
        return EXIT_DONE
    name, *rest = arguments
    if name == "--version":
        print(f"mo_hpc {mo_hpc.__version__}")
        return EXIT_DONE
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS, remedy=_proposal(name))
    module = importlib.import_module(COMMANDS[name].module)
    code: int = module.main(rest)
    return code


def console() -> int:
    """The program `mo_hpc`."""
    return run_command(main, sys.argv[1:])


def _proposal(name: str) -> str:
    nearest = difflib.get_close_matches(name, COMMANDS, n=1)
    if nearest:
        return f"Did you mean 'python -m mo_hpc {nearest[0]}'?"
    return "See 'python -m mo_hpc --help'."


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.does}" for name, command in COMMANDS.items()]
    examples = [f"  python -m mo_hpc {name} {each.example}" for name, each in COMMANDS.items()]
    return "\n".join(
        [
            "usage: python -m mo_hpc COMMAND [words]",
            "",
            *textwrap.wrap(
                "Trains and compares machine-learned interatomic potentials in grids of tasks. "
                "'python -m mo_hpc COMMAND' is 'python -m mo_hpc.COMMAND'; each command has "
                "--help.",
                80,
            ),
            "",
            "commands:",
            *lines,
            "",
            "examples:",
            *examples,
            "",
            "options: --help, --version",
            "exit status: that of the command; 2 if there is no such command.",
        ]
    )


if __name__ == "__main__":
    sys.exit(console())

"""`python -m mo_hpc.export`: a finished model, in the forms that other programs load."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from mo_hpc.container.script import Bind
from mo_hpc.core.errors import EXIT_DONE, UserError, run_command
from mo_hpc.core.libraries import TRAINING, missing_libraries, require_libraries
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.record import read_task
from mo_hpc.executors.in_image import run_container
from mo_hpc.exports.chosen import ChosenModel, chosen_models
from mo_hpc.exports.folder import FORMS, LammpsForm, default_folder, require_new
from mo_hpc.plan.manifest import read_manifest
from mo_hpc.plan.runs import RUN_WORDS, find_run, read_run_config
from mo_hpc.watch.words import named_tasks, split_words

EXPORT_SCHEMA_VERSION = 1

_DESCRIPTION = """\
Exports the model of a finished task, or the models of several as a committee,
into a new folder: the model files, a module that makes the ASE calculator, the
forms that LAMMPS loads, and a model card with data, errors and limits. What is
written is compared with the model before the folder gets its name.
"""

_EPILOG = """\
examples:
  python -m mo_hpc.export grid=demo lodo_relaxed-W-fine_tune-foundation
  python -m mo_hpc.export grid=demo TASK --to mo_w --lammps mliap --lammps mace
  python -m mo_hpc.export run=runs/demo/0123abcd4567 TASK TASK TASK

A task is named by its id, or by a beginning or part that only it has. Without
--to the folder is made below 'exports' of the run. Nothing is replaced. The
forms for LAMMPS are 'mliap' (pair_style mliap unified) and 'mace' (pair_style
mace).

exit status: 0 exported, 1 a form differs from its model, 2 wrong input,
130 interrupted.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; see ``--help``."""
    options = _parser().parse_intermixed_args(arguments)
    words, names = split_words(options.words, RUN_WORDS)
    run = find_run(words)
    manifest = read_manifest(run)
    if not names:
        raise UserError(
            "Name the task whose model is wanted, or several for a committee.",
            where="task",
            valid=[task.id for task in manifest.tasks],
        )
    task_ids = named_tasks(manifest, names)
    folder = Path(options.to) if options.to else default_folder(run, task_ids)
    require_new(folder)
    chosen = chosen_models(run, task_ids)
    if missing_libraries(TRAINING):
        _enter_image(run, options, task_ids, folder)
    require_libraries(TRAINING, for_what="Exporting a model", in_image=["export", *arguments])
    card = _export(chosen, folder, list(dict.fromkeys(options.lammps)))
    _show(run, folder, card, as_json=options.json)
    return EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.export",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="+", metavar="WORD", help="run=DIR or grid=NAME, and tasks")
    parser.add_argument("--to", metavar="DIR", help="the folder to make")
    parser.add_argument(
        "--lammps", action="append", default=[], choices=FORMS, help="a form; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _enter_image(
    run: RunPaths, options: argparse.Namespace, task_ids: Sequence[str], folder: Path
) -> None:
    """Goes on inside the image that the run's tasks ran in, if they ran in one."""
    tasks = [read_task(run.task(task_id)) for task_id in task_ids]
    container = run_container(run, read_run_config(run), tasks)
    if container is None:
        return
    target = folder.absolute()
    binds = (*container.binds, Bind(target.parent, writable=True))
    words = [f"run={run.folder.absolute()}", *task_ids, f"--to={target}"]
    words += [f"--lammps={form}" for form in options.lammps] + ["--json"] * options.json
    replace(container, binds=binds).enter(["-m", "mo_hpc.export", *words])


def _export(
    chosen: Sequence[ChosenModel], folder: Path, forms: Sequence[LammpsForm]
) -> dict[str, Any]:
    # Libraries print what they like, at import already; stdout is for the document.
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        # MACE and e3nn open their own files so; the model's hash was compared before.
        warnings.filterwarnings("ignore", message=".*WEIGHTS_ONLY_LOAD")
        from mo_hpc.exports.make import make_export

        return make_export(chosen, folder, forms)


def _show(run: RunPaths, folder: Path, card: dict[str, Any], *, as_json: bool) -> None:
    from mo_hpc.exports.make import usage

    if as_json:
        document = {
            "schema_version": EXPORT_SCHEMA_VERSION,
            "run_dir": str(run.folder),
            "folder": str(folder),
            "usage": usage(folder),
            "card": card,
        }
        print(json.dumps(document, indent=1, allow_nan=False))
        return
    for warning in card["warnings"]:
        print(textwrap.fill(warning, 80), file=sys.stderr)
    print(f"Exported to {folder}:")
    for path in sorted(folder.iterdir()):
        print(f"  {path.name}")
    print("Largest differences after export:")
    for each in card["parity"]:
        force = each["force_ev_per_ang"]
        shown = "no forces" if force is None else f"{force:.1e} eV/Å"
        print(
            f"  {each['form']:<6} {each['energy_ev_per_atom']:.1e} eV/atom  {shown}  "
            f"against {each['against']}"
        )
    print(f"Use it:\n{textwrap.indent(usage(folder), '  ')}")


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))

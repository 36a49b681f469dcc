"""`python -m mo_hpc.collect`: from the records of a run to tables, figures and a report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mo_hpc.core.errors import EXIT_DONE, EXIT_INCOMPLETE, run_command
from mo_hpc.core.libraries import TABLES, missing_libraries, require_libraries
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.words import parse_words
from mo_hpc.executors.in_image import run_container
from mo_hpc.plan.runs import RUN_WORDS, find_run, read_run_config

if TYPE_CHECKING:
    from pathlib import Path

    from mo_hpc.analysis.records import RunRecords
    from mo_hpc.analysis.table import Table

COLLECT_SCHEMA_VERSION = 1

_DESCRIPTION = """\
Merges the records of a run into tables (Markdown, CSV, LaTeX), figures (PDF,
PNG) and a report, and prints the main tables. A run that is incomplete is
refused, with the names of what is missing, unless --partial is given; so is one
whose records come from different images, unless --mixed-images is.
"""

_EPILOG = """\
examples:
  python -m mo_hpc.collect grid=demo
  python -m mo_hpc.collect run=runs/demo/0a1b2c3d4e5f --partial

exit status: 0 all tasks are in, 1 some are missing, 2 wrong input.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; see ``--help``."""
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.collect",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="+", metavar="key=value", help="run=DIR or grid=NAME")
    parser.add_argument("--partial", action="store_true", help="collect what there is")
    parser.add_argument(
        "--mixed-images", action="store_true", help="collect records of different images"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_intermixed_args(arguments)
    run = find_run(parse_words(options.words, RUN_WORDS))
    if missing_libraries(TABLES):
        _enter_image(run, options)
    require_libraries(TABLES, for_what="Making tables", in_image=["collect", *arguments])
    return _collect(
        run, partial=options.partial, mixed_images=options.mixed_images, as_json=options.json
    )


def _enter_image(run: RunPaths, options: argparse.Namespace) -> None:
    """Goes on inside the image that the run's tasks ran in, if they ran in one."""
    container = run_container(run, read_run_config(run))
    if container is None:
        return
    flags = [("--partial", options.partial), ("--mixed-images", options.mixed_images)]
    words = [word for word, given in [*flags, ("--json", options.json)] if given]
    container.enter(["-m", "mo_hpc.collect", f"run={run.folder.absolute()}", *words])


def _collect(run: RunPaths, *, partial: bool, mixed_images: bool, as_json: bool) -> int:
    from mo_hpc.analysis.images import require_one_image
    from mo_hpc.analysis.tables import make_tables
    from mo_hpc.analysis.terminal import print_tables
    from mo_hpc.analysis.write import write_all

    records = _read(run)
    tables: list[Table] = []
    paths: list[Path] = []
    if not mixed_images:
        require_one_image(records)
    if partial or not records.missing:
        tables = make_tables(records)
        paths = write_all(records, tables, show_progress=sys.stderr.isatty())
    if as_json:
        print(json.dumps(_document(records, tables, paths), indent=1, allow_nan=False))
    elif paths:
        print_tables(records, tables)
    if not partial:
        records.require_complete()
    return EXIT_INCOMPLETE if records.missing else EXIT_DONE


def _read(run: RunPaths) -> RunRecords:
    """Reads the run; the scheduler is asked only where something is missing."""
    from mo_hpc.analysis.records import read_run

    records = read_run(run, {}, lambda _: None)
    if not records.missing:
        return records
    from mo_hpc.executors.activity import activity
    from mo_hpc.executors.failures.diagnosis import Diagnostician

    return read_run(run, activity(run).tasks, Diagnostician(run))


def _document(records: RunRecords, tables: list[Table], paths: list[Path]) -> dict[str, Any]:
    from mo_hpc.analysis.images import NO_IMAGE, images_of
    from mo_hpc.analysis.table import to_rows

    return {
        "schema_version": COLLECT_SCHEMA_VERSION,
        "run_dir": str(records.run.folder),
        "grid": records.manifest.grid,
        "paths": [str(path) for path in paths],
        "tables": {table.name: to_rows(table) for table in tables},
        "missing": [
            {"id": task.id, "state": task.state, "reason": task.reason} for task in records.missing
        ],
        "images": [
            {"sha256": None if image == NO_IMAGE else image, "n_tasks": len(made)}
            for image, made in images_of(records).items()
        ],
        "from_earlier_foundations": records.from_earlier_foundations,
        "n_done": records.n_done,
        "n_tasks": records.n_tasks,
    }


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))

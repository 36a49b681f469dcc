"""Writing what the collector makes: every table in every format, figures, the report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from mo_hpc.analysis.collection import Collection, last_collection, replace
from mo_hpc.analysis.figures import drawn_from, figures_of
from mo_hpc.analysis.long_form import long_form
from mo_hpc.analysis.parallel import Job, run_all
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.report import report_html
from mo_hpc.analysis.table import CSV_FLOATS, Table, to_csv, to_latex, to_markdown
from mo_hpc.core.files import write_atomic

_FORMATS = {"md": to_markdown, "csv": to_csv, "tex": to_latex}


def write_all(
    records: RunRecords, tables: list[Table], *, show_progress: bool = True
) -> list[Path]:
    """Writes tables, figures and the report; equal records give equal bytes.

    Drawing takes seconds, so figures whose origin has not changed are left as they are. Tables
    and figures that only an earlier collection made are removed.

    Returns:
        The files written.

    Raises:
        UserError: If the predictions of a task are missing or not those of its record.
    """
    run = records.run
    figures = figures_of(records)
    figure_paths = [path for figure in figures for path in figure.paths]
    earlier, origin = last_collection(run), drawn_from(records, figures)
    contents = _contents(records, tables)
    jobs: list[Job] = [partial(_write, path, content) for path, content in contents.items()]
    if earlier.origin != origin or not all(path.exists() for path in figure_paths):
        jobs.extend(figure.write for figure in figures)
    run_all(jobs, description="Tables and figures", show_progress=show_progress)
    write_atomic(run.report, report_html(records, tables, figures))
    current = Collection(
        origin,
        tables=tuple(path.name for path in contents),
        figures=tuple(path.name for path in figure_paths),
    )
    replace(run, earlier, current)
    return [*contents, *figure_paths, run.report]


def _contents(records: RunRecords, tables: list[Table]) -> dict[Path, Callable[[], str]]:
    """What makes the content of each file in the folder of tables, the longest first."""
    contents: dict[str, Callable[[], str]] = {
        "metrics_long.csv": partial(long_form, records),
        "tasks.csv": partial(_csv, records.frame),
    }
    for table in tables:
        for ending, render in _FORMATS.items():
            contents[f"{table.name}.{ending}"] = partial(render, table)
    return {records.run.tables / name: content for name, content in contents.items()}


def _write(path: Path, content: Callable[[], str]) -> None:
    write_atomic(path, content())


def _csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, float_format=CSV_FLOATS, lineterminator="\n")

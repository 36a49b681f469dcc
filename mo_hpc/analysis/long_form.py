"""Everything in long form: one row for each task, part of the test frames and metric."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.table import CSV_FLOATS
from mo_hpc.core.record import TrainRecord

_SETTINGS = (
    *("task_id", "stage", "dataset", "paradigm", "size", "protocol", "element"),
    *("energy_reference", "grouped", "repeat", "seed"),
)
_VALUES = ("scope", "of", "metric", "value", "low_95", "high_95", "n_frames", "n_force_atoms")


def long_form(records: RunRecords) -> str:
    """One row per value, of the tasks that are done, as CSV.

    Ten thousand tasks have half a million rows, which is why no data frame holds them.

    Returns:
        Columns: the task's settings, ``scope`` (``all``, ``element`` or ``host``), ``of``
        (which one), ``metric`` (its key, with the unit), ``value``, ``low_95``, ``high_95``,
        ``n_frames`` and ``n_force_atoms``.
    """
    lines = [_cells((*_SETTINGS, *_VALUES))]
    settings_of = itemgetter(*_SETTINGS)
    for task in records.frame[list(_SETTINGS)].to_dict("records"):
        record = records.records.get(str(task["task_id"]))
        if record is not None:
            settings = _cells(settings_of(task))
            lines.extend(f"{settings},{values}" for values in _values(record))
    return "\n".join([*lines, ""])


def _cells(values: Sequence[Any]) -> str:
    """Cells of a line, quoted where they need it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


def _values(record: TrainRecord) -> Iterator[str]:
    intervals = record.metrics.get("intervals_95", {})
    yield from _scope("all", "-", record.metrics, intervals)
    for scope in ("element", "host"):
        for name, means in sorted(record.metrics.get(f"by_{scope}", {}).items()):
            yield from _scope(scope, name, means, {})


def _scope(
    scope: str, of: str, means: Mapping[str, Any], intervals: Mapping[str, Any]
) -> Iterator[str]:
    """The further cells of each metric: names and numbers, which need no quotes."""
    for metric, value in means.items():
        if metric.startswith(("energy_", "force_")):
            low, high = intervals.get(metric) or (None, None)
            n_frames = means[_frames_behind(metric, means)]
            yield (
                f"{scope},{of},{metric},{_printed(value)},{_printed(low)},{_printed(high)},"
                f"{n_frames},{means['n_force_atoms']}"
            )


def _printed(value: float | None) -> str:
    return "" if value is None else CSV_FLOATS % value


def _frames_behind(metric: str, means: Mapping[str, Any]) -> str:
    """The key of the number of frames that a value is a mean over."""
    fewer = "n_frames_offset_removed"
    return fewer if metric.endswith("_offset_removed") and fewer in means else "n_frames"

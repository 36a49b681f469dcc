"""Tables on new elements: each way to give a model elements that it never saw, and each element."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from mo_hpc.analysis.aggregate import ENERGY_MAES, counts, mean_and_std, span
from mo_hpc.analysis.beside_paper import beside
from mo_hpc.analysis.error_columns import error_columns
from mo_hpc.analysis.notes import caption, notes
from mo_hpc.analysis.records import NONE, RunRecords
from mo_hpc.analysis.settings import groups, named, title, varying
from mo_hpc.analysis.strategies import heading_of, published_means, published_notes
from mo_hpc.analysis.table import Column, Table
from mo_hpc.core.record import TrainRecord

VARIANTS = "new_elements"
"""Name of the table of all variants."""
_FORCE = "force_mae_mev_per_ang_component"
_VARIANT = ("stage", "protocol", "new_elements", "new_element_energy")
_MEANING = (
    "Test set: all new held out, every frame with a new element, none of which trained; new only, "
    "as many as a tenth of all frames, all of them with a new element; joint, a random tenth of "
    "all frames. Weights of new: those of a known element, its proxy, or those of the foundation "
    "put back (slice); E0 of new: the proxy's (borrowed), the foundation's, the foundation's "
    "with the mean shift of the known elements (estimated), or explicit."
)


def new_element_tables(
    records: RunRecords, frame: pd.DataFrame, settings: list[str]
) -> Iterator[Table]:
    """The errors of every variant, over all test frames and by new element.

    Args:
        records: The run.
        frame: Its tasks on new elements, one row each.
        settings: Settings that tell studies apart.
    """
    keys = list(dict.fromkeys([*settings, *_VARIANT]))
    differing = varying(frame, keys)
    leading = [
        Column(name, "test set" if name == "protocol" else title(name))
        for name in keys
        if name in _VARIANT or name in differing
    ]
    yield _variants(records, frame, keys, leading)
    by_element = _by_element(records, frame, keys, leading)
    if by_element.rows:
        yield by_element


def _variants(
    records: RunRecords, frame: pd.DataFrame, keys: list[str], leading: list[Column]
) -> Table:
    rows = []
    for values, tasks in groups(frame, keys):
        seen = {"n_new_in_train": _span(tasks, "n_train_with_held_out_element")}
        row = named(values) | counts(tasks) | seen | mean_and_std(tasks)
        rows.append(row | beside(row, published_means(records, tasks), with_ratio=True))
    return Table(
        name=VARIANTS,
        title=caption(records, "New elements: errors of each variant"),
        columns=(
            *leading,
            Column("n_done", "n"),
            Column("n_new_in_train", "new in train"),
            *error_columns(rows, heading_of(frame)),
        ),
        rows=tuple(rows),
        notes=notes(
            records,
            frame,
            "Mean ± sample standard deviation over n tasks (repeats of the split); new in train: "
            f"training frames with a new element. {_MEANING}",
        )
        + published_notes(records, frame),
    )


def _by_element(
    records: RunRecords, frame: pd.DataFrame, keys: list[str], leading: list[Column]
) -> Table:
    rows: list[dict[str, Any]] = []
    rules = set()
    for values, tasks in groups(frame, keys):
        done = [
            record
            for name in tasks["task_id"]
            if isinstance(record := records.records.get(name), TrainRecord)
        ]
        rules.add(len(rows))
        elements = {element for record in done for element in record.split.config.new_elements}
        rows.extend(
            named(values) | row
            for element in sorted(elements)
            if (row := _element_row(element, done))
        )
    return Table(
        name=f"{VARIANTS}_by_element",
        title=caption(records, "New elements, one by one"),
        columns=(
            *leading,
            Column("element", "element"),
            Column("proxy", "proxy"),
            Column("e0_ev", "E0 (eV)", 2),
            Column("e0_source", "E0 from"),
            Column("n_tasks", "n"),
            Column("n_frames", "frames"),
            Column(ENERGY_MAES[0], "E MAE", 2, with_std=True),
            Column(ENERGY_MAES[1], "E MAE, offset removed", 2, with_std=True),
            Column(ENERGY_MAES[2], "E MAE, linear", 2, with_std=True),
            Column(_FORCE, "F MAE", 2, with_std=True),
        ),
        rows=tuple(rows),
        notes=notes(
            records,
            frame,
            "Energies of the test frames that hold the element, forces on its own atoms; mean ± "
            f"sample standard deviation over the n tasks that test it. {_MEANING}",
        ),
        rules=frozenset(rules),
    )


def _element_row(element: str, done: list[TrainRecord]) -> dict[str, Any]:
    """The errors of one element over the tasks that test it; nothing where none does."""
    testing = [record for record in done if element in record.metrics["by_element"]]
    if not testing:
        return {}
    means = pd.DataFrame([record.metrics["by_element"][element] for record in testing])
    new = [record.new_elements for record in testing if record.new_elements is not None]
    energies = [record.energy_references for record in testing]
    return {
        "element": element,
        "proxy": _words([each.proxies.get(element, NONE) for each in new]),
        "e0_ev": sum(each.values_ev[element] for each in energies) / len(energies),
        "e0_source": _words([each.sources[element] for each in energies]),
        "n_tasks": len(testing),
        "n_frames": _span(means, "n_frames"),
        **mean_and_std(means, (*ENERGY_MAES, _FORCE)),
    }


def _words(found: list[str]) -> str:
    return ", ".join(dict.fromkeys(found)) or NONE


def _span(frame: pd.DataFrame, column: str) -> int | str | None:
    values = frame[column] if column in frame else pd.Series(dtype=float)
    return span(pd.to_numeric(values).dropna())

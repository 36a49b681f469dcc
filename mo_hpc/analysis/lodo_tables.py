"""The tables of leave-one-element-out folds: the paper's Table 2, and a comparison of settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from mo_hpc.analysis import reference_values
from mo_hpc.analysis.aggregate import ENERGY_MAES, fold_means, mean_and_std
from mo_hpc.analysis.beside_paper import MeanAndDeviation, beside, paper_notes
from mo_hpc.analysis.error_columns import error_columns, force_scale_columns, short_title
from mo_hpc.analysis.notes import caption, notes
from mo_hpc.analysis.records import RunRecords
from mo_hpc.analysis.settings import (
    described,
    groups,
    named,
    order,
    ordered,
    shown,
    slug,
    title,
    varying,
)
from mo_hpc.analysis.table import Column, Table

TABLE2 = "table2_lodo_"
"""Beginning of the names of the tables in the layout of the paper's Table 2."""


def lodo_tables(records: RunRecords, frame: pd.DataFrame, settings: list[str]) -> list[Table]:
    """The paper's Table 2 for each combination of settings: a row for each held-out element."""
    naming = varying(frame, settings) or ["paradigm"]
    return [
        _lodo_table(records, tasks, settings, {name: values[name] for name in naming})
        for values, tasks in groups(frame, settings)
    ]


def _lodo_table(
    records: RunRecords, frame: pd.DataFrame, settings: list[str], naming: dict[str, Any]
) -> Table:
    folds = fold_means(frame, settings)
    rows: list[dict[str, Any]] = []
    rules = set()
    constant = {
        name: frame[name].iloc[0] for name in ("paradigm", "dataset", "size", "energy_reference")
    }
    of_paper = constant["paradigm"] == "fine_tune"
    same = reference_values.paper_set(str(constant["dataset"])) == reference_values.TABLE2_OF[0]
    for values, block in groups(folds, ["protocol"]):
        rules.add(len(rows))
        for elements, row in _fold_rows(block, str(values["protocol"])):
            paper = _table2_paper(elements, str(values["protocol"])) if of_paper else {}
            rows.append(row | beside(row, paper, with_ratio=same))
    n_tasks = "a task" if len(frame) == len(folds) else "the mean over repeats and seeds"
    return Table(
        name=f"{TABLE2}{slug(naming)}",
        title=caption(records, f"Leave one element out: {described(constant | naming)}"),
        columns=(
            Column("protocol", "LODO"),
            Column("element", "held out"),
            *error_columns(
                rows,
                reference_values.table2_heading(str(constant["dataset"]), str(constant["size"])),
            ),
        ),
        rows=tuple(rows),
        notes=(
            *notes(
                records,
                frame,
                f"Each element's row is {n_tasks}; MeanAll: mean ± sample standard deviation over "
                "the n elements that are done, MeanNC the same without Cr. The paper's means are "
                "over the same elements, where it has them all.",
            ),
            *(_paper_notes(frame) if of_paper else ()),
        ),
        rules=frozenset(rules),
    )


def _fold_rows(block: pd.DataFrame, protocol: str) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """The folds of one protocol, then their means, each with the elements that it is of."""
    for fold in block.to_dict("records"):
        row = {str(key): value for key, value in fold.items()}
        yield [str(row["element"])], row | {"protocol": shown(protocol)}
    done = [str(element) for element in block.loc[block["n_done"] > 0, "element"]]
    means = {"MeanAll": done}
    if "Cr" in set(block["element"]) and len(block) > 1:
        means["MeanNC, without Cr"] = [element for element in done if element != "Cr"]
    for name, chosen in means.items():
        summary = mean_and_std(block[block["element"].isin(chosen)])
        named_row = {"protocol": shown(protocol), "element": f"{name} (n={len(chosen)})"}
        yield chosen, summary | named_row


def _paper_notes(frame: pd.DataFrame) -> tuple[str, ...]:
    structures, size = reference_values.TABLE2_OF
    same = frame["dataset"].map(reference_values.paper_set) == structures
    return paper_notes(
        frame[same],
        f"Table 2 ({structures}, {size})",
        lambda *_: reference_values.protocol("fine_tune", structures, size),
    )


def comparison_table(records: RunRecords, frame: pd.DataFrame, settings: list[str]) -> Table:
    """All combinations of settings, strict beside relaxed, as means over the folds."""
    folds = fold_means(frame, settings)
    columns = [*ENERGY_MAES, "force_mae_mev_per_ang_component"]
    protocols = sorted(folds["protocol"].unique(), key=order)
    rows = []
    for values, block in groups(folds, settings):
        row = named(values)
        for protocol in protocols:
            part = block[block["protocol"] == protocol]
            row[f"{protocol}_n_folds"] = int((part["n_done"] > 0).sum())
            row |= {f"{protocol}_{key}": value for key, value in mean_and_std(part).items()}
        rows.append(row)
    naming = [name for name in settings if name in ("paradigm", *varying(frame, settings))]
    printed = [Column(name, title(name)) for name in naming]
    for protocol in protocols:
        printed.append(Column(f"{protocol}_n_folds", f"{shown(protocol)}: n"))
        printed.extend(
            Column(f"{protocol}_{key}", f"{shown(protocol)}: {short_title(key)}", 2, with_std=True)
            for key in columns
        )
        printed.extend(force_scale_columns(rows, f"{protocol}_", f"{shown(protocol)}: "))
    datasets = ", ".join(str(name) for name in ordered(list(frame["dataset"])))
    return Table(
        name="lodo_comparison",
        title=caption(records, f"Leave one element out, means over the folds: {datasets}"),
        columns=tuple(printed),
        rows=tuple(rows),
        notes=notes(
            records, frame, "Mean ± sample standard deviation over n folds (held-out elements)."
        ),
    )


def _table2_paper(elements: list[str], protocol: str) -> dict[str, MeanAndDeviation]:
    """The paper's values for an element, or their mean and deviation over several.

    A mean over fewer elements than ours would not compare, so there is none.
    """
    paper: dict[str, MeanAndDeviation] = {}
    for metric in reference_values.PAPER_KEYS:
        found = [reference_values.table2_value(element, protocol, metric) for element in elements]
        values = pd.Series([] if None in found else found, dtype=float)
        paper[metric] = (
            float(values.mean()) if len(values) else None,
            float(values.std(ddof=1)) if len(values) > 1 else None,
        )
    return paper

"""``list``: the registered datasets and foundations, and which of them are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mo_hpc.core.config import dataset_config, foundation_config, names
from mo_hpc.core.errors import UserError
from mo_hpc.core.files import sha256_file
from mo_hpc.core.schema import DatasetConfig
from mo_hpc.data.ensure import stored_index
from mo_hpc.data.location import dataset_files
from mo_hpc.data.trust import accepted, foundation_file

LISTING_SCHEMA_VERSION = 1


def listing(data_root: Path, cache_root: Path) -> dict[str, Any]:
    """All registered datasets and foundations as plain data, for ``--json``."""
    return {
        "schema_version": LISTING_SCHEMA_VERSION,
        "data_root": str(data_root),
        "cache_root": str(cache_root),
        "datasets": [_dataset_row(name, data_root, cache_root) for name in names("dataset")],
        "foundations": [
            _foundation_row(name, data_root, cache_root) for name in names("foundation")
        ],
    }


def print_listing(document: dict[str, Any]) -> None:
    """Prints the listing as two tables."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_table("dataset", document["datasets"], ("state", "frames", "labels", "licence")))
    console.print()
    console.print(_table("foundation", document["foundations"], ("state", "parameters", "licence")))
    console.print(f"\ndata_root {document['data_root']}", soft_wrap=True)
    for row in (*document["datasets"], *document["foundations"]):
        if row["problem"]:
            console.print(f"{row['name']} is invalid: {row['problem']}", markup=False)


def _table(title: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title, no_wrap=True)
    for column in columns:
        justify: Any = "right" if column in ("frames", "parameters") else "left"
        table.add_column(column, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(row["name"], *(_cell(row.get(column)) for column in columns))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _dataset_row(name: str, data_root: Path, cache_root: Path) -> dict[str, Any]:
    try:
        config = dataset_config(name)
    except UserError as error:
        return _invalid_row(name, error)
    index = stored_index(config, data_root, cache_root)
    return {
        "name": config.name,
        "description": config.description,
        "state": _dataset_state(config, data_root, cache_root),
        "problem": None,
        "frames": len(index.frames) if index else None,
        "labels": config.labels,
        "synthetic": config.synthetic,
        "licence": config.source.licence,
        "subsets": sorted(config.subsets),
        "how_to_get": config.source.how_to_get,
    }


def _dataset_state(config: DatasetConfig, data_root: Path, cache_root: Path) -> str:
    try:
        dataset_files(config, data_root, cache_root)
    except UserError:
        return "made on use" if config.generator else "missing"
    return "present"


def _invalid_row(name: str, error: UserError) -> dict[str, Any]:
    """One broken file does not hide the others."""
    return {"name": name, "state": "invalid", "problem": error.what}


def _foundation_row(name: str, data_root: Path, cache_root: Path) -> dict[str, Any]:
    try:
        config = foundation_config(name)
    except UserError as error:
        return _invalid_row(name, error)
    path = foundation_file(config, data_root)
    state = "missing"
    if path.is_file():
        state = "trusted" if accepted(cache_root, sha256_file(path)) else "not trusted yet"
    return {
        "name": config.name,
        "description": config.description,
        "state": state,
        "problem": None,
        "parameters": config.n_parameters,
        "licence": config.licence,
    }

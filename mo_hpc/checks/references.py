"""Reference values that checks stand beside, shipped as CSV with their sources. Light."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import cast

_VALUES = "mo_hpc.checks"


@dataclass(frozen=True, slots=True)
class Reference:
    """A value from somewhere else.

    Attributes:
        value: The number, in the unit of the name it belongs to.
        labels: What it was computed or measured with, as tables print it.
        citation: Where it comes from.
    """

    value: float
    labels: str
    citation: str


def references(host: str, name: str, subject: str) -> tuple[Reference, ...]:
    """All reference values of one number; none where nothing trustworthy is shipped.

    Args:
        host: Element of the crystal.
        name: The number's name, with its unit.
        subject: What it is of.
    """
    return _table(host).get((name, subject), ())


@cache
def _table(host: str) -> dict[tuple[str, str], tuple[Reference, ...]]:
    sources = {row["source"]: row for row in _rows("sources")}
    found: dict[tuple[str, str], tuple[Reference, ...]] = {}
    for row in _rows(host):
        source = sources[row["source"]]
        value = Reference(float(row["value"]), source["labels"], source["citation"])
        key = (row["name"], row["subject"])
        found[key] = (*found.get(key, ()), value)
    return found


def _rows(name: str) -> Iterator[dict[str, str]]:
    path = files(_VALUES) / "reference" / f"{name}.csv"
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as handle:
        yield from csv.DictReader(line for line in cast("Iterator[str]", handle) if line[0] != "#")

"""What the last collection wrote, which tells its own files from a user's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mo_hpc.core.files import read_json, write_json
from mo_hpc.core.paths import RunPaths


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection.

    Attributes:
        origin: Name → hash of all that the figures depend on.
        tables: File names in the folder of tables.
        figures: File names in the folder of figures.
    """

    origin: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()


def last_collection(run: RunPaths) -> Collection:
    """The last collection of a run, an empty one where there was none."""
    document = read_json(run.drawn_from) if run.drawn_from.exists() else {}
    return Collection(
        origin=document.get("origin", {}),
        tables=tuple(document.get("tables", ())),
        figures=tuple(document.get("figures", ())),
    )


def replace(run: RunPaths, earlier: Collection, current: Collection) -> None:
    """Removes what the earlier collection wrote and the current one no longer makes.

    Files that no collection wrote are left alone.
    """
    for folder, before, after in (
        (run.tables, earlier.tables, current.tables),
        (run.figures, earlier.figures, current.figures),
    ):
        for name in set(before) - set(after):
            # The names come from a file; none of them may lead out of the folder.
            (folder / Path(name).name).unlink(missing_ok=True)
    write_json(run.drawn_from, asdict(current))

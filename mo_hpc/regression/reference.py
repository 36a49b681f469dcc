"""The reference: what a team has accepted, and why. It changes by `accept` alone.

Every acceptance adds a line with its reason and the reference's digest to the log before the
reference is replaced. A reference that is not the one of the last line was changed by other
means, and is refused.
"""

from __future__ import annotations

import getpass
import statistics
from collections.abc import Mapping
from typing import Literal

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import append_line, digest, read_json, read_lines, write_json
from mo_hpc.core.provenance import utc_now
from mo_hpc.core.strict import Strict
from mo_hpc.core.validation import validated
from mo_hpc.regression.folder import NightlyFolder
from mo_hpc.regression.history import Night, Origin
from mo_hpc.regression.measured import CellResult
from mo_hpc.regression.tolerance import K, kind_of, tolerance, unit_of

REFERENCE_SCHEMA_VERSION = 1
_ACCEPT = 'python -m mo_hpc.nightly accept --reason "…"'

SpreadFrom = Literal["seeds", "other cells", "unknown"]


class MetricReference(Strict):
    """What one metric of one cell is compared with."""

    value: float
    unit: str
    tolerance: float
    """In the same unit; see `mo_hpc.regression.tolerance`."""
    seed_std: float | None
    spread_from: SpreadFrom


class CellReference(Strict):
    """The reference of one cell."""

    seeds: tuple[int, ...]
    metrics: dict[str, MetricReference]


class Reference(Strict):
    """The whole reference (``reference.json``)."""

    schema_version: int = REFERENCE_SCHEMA_VERSION
    accepted: str
    accepted_by: str
    reason: str
    night: str
    grid: str
    words: tuple[str, ...]
    origin: Origin
    standard_errors: float
    """The k of the tolerances."""
    cells: dict[str, CellReference]

    @property
    def digest(self) -> str:
        """The identity of its content."""
        return digest(self.model_dump(mode="json"))


class Change(Strict):
    """One value that an acceptance changed; None where there was or is none."""

    cell: str
    metric: str
    unit: str
    old: float | None
    old_tolerance: float | None
    new: float | None
    new_tolerance: float | None


class Acceptance(Strict):
    """One line of the reference log."""

    accepted: str
    accepted_by: str
    reason: str
    night: str
    commits: tuple[str, ...]
    dirty: bool
    old_digest: str | None
    reference_digest: str
    changes: tuple[Change, ...]


def reference_of(night: Night, reason: str) -> Reference:
    """What a night's results are as a reference; nothing is written.

    Args:
        night: A night whose tasks are all done.
        reason: Why it is right.

    Raises:
        UserError: If the reason is empty or the night is not complete.
    """
    if not reason.strip():
        raise UserError("A reference needs a reason.", where="--reason", remedy=_ACCEPT)
    if night.unfinished or not night.cells:
        names = ", ".join(task.id for task in night.unfinished[:3]) or "all of them"
        raise UserError(
            f"The night {night.night} has tasks that are not done: {names}.",
            where="night",
            remedy="Mend the cause, then: python -m mo_hpc.nightly run",
        )
    return Reference(
        accepted=utc_now(),
        accepted_by=getpass.getuser(),
        reason=reason.strip(),
        night=night.night,
        grid=night.grid,
        words=night.words,
        origin=night.origin,
        standard_errors=K,
        cells={name: _cell(cell, night.cells) for name, cell in night.cells.items()},
    )


def accept(folder: NightlyFolder, new: Reference) -> Acceptance:
    """Makes a reference the one that counts, and records the reason first."""
    old = _stored(folder)
    line = Acceptance(
        accepted=new.accepted,
        accepted_by=new.accepted_by,
        reason=new.reason,
        night=new.night,
        commits=new.origin.commits,
        dirty=new.origin.dirty,
        old_digest=old.digest if old else None,
        reference_digest=new.digest,
        changes=tuple(changes(old, new)),
    )
    append_line(folder.reference_log, line.model_dump(mode="json"))
    write_json(folder.reference, new.model_dump(mode="json"))
    return line


def read_reference(folder: NightlyFolder) -> Reference | None:
    """The reference, or None where nothing was accepted yet.

    Raises:
        UserError: If it is not the one that was accepted last.
    """
    stored = _stored(folder)
    if stored is None and not folder.reference.exists():
        return None
    log = [line for line in read_lines(folder.reference_log) if isinstance(line, dict)]
    accepted = log[-1].get("reference_digest") if log else None
    if stored is None or stored.digest != accepted:
        raise UserError(
            f"The reference is not the one that {folder.reference_log.name} accepted last; "
            "it was changed without a reason on record.",
            where=str(folder.reference),
            remedy=f"Restore both files from version control, or accept a night anew:\n{_ACCEPT}",
        )
    return stored


def changes(old: Reference | None, new: Reference) -> list[Change]:
    """The values that differ between two references, by cell and metric."""
    before, after = _values(old), _values(new)
    found = []
    for key in sorted({*before, *after}):
        was, now = before.get(key), after.get(key)
        if was == now:
            continue
        found.append(
            Change(
                cell=key[0],
                metric=key[1],
                unit=unit_of(key[1]),
                old=was.value if was else None,
                old_tolerance=was.tolerance if was else None,
                new=now.value if now else None,
                new_tolerance=now.tolerance if now else None,
            )
        )
    return found


def _stored(folder: NightlyFolder) -> Reference | None:
    """What the file holds; None where there is none or it is not whole."""
    try:
        document = read_json(folder.reference)
        return validated(Reference, document, where=str(folder.reference))
    except UserError:
        return None


def _values(reference: Reference | None) -> dict[tuple[str, str], MetricReference]:
    cells = reference.cells if reference else {}
    return {
        (name, metric): value
        for name, cell in cells.items()
        for metric, value in cell.metrics.items()
    }


def _cell(cell: CellResult, all_cells: Mapping[str, CellResult]) -> CellReference:
    return CellReference(
        seeds=cell.seeds,
        metrics={name: _metric(name, cell, all_cells) for name in cell.metrics},
    )


def _metric(metric: str, cell: CellResult, all_cells: Mapping[str, CellResult]) -> MetricReference:
    measured = cell.metrics[metric]
    std, origin = measured.std, _spread_from(measured.std, "seeds")
    if std is None and kind_of(metric) == "error":
        # A zero-shot model is one training, too: the one that made its foundation.
        std = _borrowed_std(metric, measured.mean, all_cells)
        origin = _spread_from(std, "other cells")
    return MetricReference(
        value=measured.mean,
        unit=unit_of(metric),
        tolerance=tolerance(metric, measured.mean, std, len(cell.seeds)),
        seed_std=std,
        spread_from=origin,
    )


def _spread_from(std: float | None, origin: SpreadFrom) -> SpreadFrom:
    return "unknown" if std is None else origin


def _borrowed_std(metric: str, value: float, all_cells: Mapping[str, CellResult]) -> float | None:
    """The median of std / mean over the cells with several seeds, for a value without."""
    known = [
        measured.std / abs(measured.mean)
        for cell in all_cells.values()
        if (measured := cell.metrics.get(metric)) and measured.std is not None and measured.mean
    ]
    return statistics.median(known) * abs(value) if known else None

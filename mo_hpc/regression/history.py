"""The history: one line for each night, and since when a metric has been where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mo_hpc.core.errors import UserError, unknown_name
from mo_hpc.core.files import append_line, read_lines
from mo_hpc.core.record import Record
from mo_hpc.core.strict import Strict
from mo_hpc.core.validation import validated
from mo_hpc.regression.folder import NightlyFolder
from mo_hpc.regression.measured import CellResult, Throughput

HISTORY_SCHEMA_VERSION = 1

Verdict = Literal["pass", "improved", "regression", "no_reference"]


class Origin(Strict):
    """What the tasks of a night were computed with, from their own records."""

    commits: tuple[str, ...]
    """One, unless the checkout moved on during the night; none where it is no checkout."""
    dirty: bool
    """Whether tracked files differed from the commit."""
    version: str
    lock_sha256: str | None
    libraries: dict[str, str | None]
    processors: tuple[str, ...]
    """Models of the CPUs and GPUs that tasks ran on."""

    @property
    def commit(self) -> str | None:
        """The commit, None where there is none or more than one."""
        return self.commits[0] if len(self.commits) == 1 else None

    @property
    def short_commit(self) -> str:
        """The commit as people quote it."""
        if not self.commits:
            return f"version {self.version}"
        name = self.commits[0][:8] if len(self.commits) == 1 else f"{len(self.commits)} commits"
        return name + ("+" if self.dirty else "")


class UnfinishedTask(Strict):
    """A task that was not done when the night ended."""

    id: str
    state: str
    failure_class: str | None
    reason: str | None


class Night(Strict):
    """One line of the history."""

    schema_version: int = HISTORY_SCHEMA_VERSION
    night: str
    started: str
    ended: str
    run_dir: str
    grid: str
    words: tuple[str, ...]
    origin: Origin
    cells: dict[str, CellResult]
    unfinished: tuple[UnfinishedTask, ...]
    throughput: Throughput
    verdict: Verdict
    moved: tuple[str, ...]
    """``<cell>: <metric>`` of what was out of tolerance."""
    reference_digest: str | None


@dataclass(frozen=True, slots=True)
class Since:
    """When a metric left its band.

    Attributes:
        first_bad: The first night of those, up to the last, that are out of the band.
        last_good: The night before it that was inside; None where there is none.
        changed: What differs between the two beside the result.
    """

    first_bad: Night
    last_good: Night | None
    changed: tuple[str, ...]


def origin_of(records: Sequence[Record], here: dict[str, Any]) -> Origin:
    """What the records were computed with.

    Args:
        records: Of the tasks that are done.
        here: Provenance of this process, for a night without a record.
    """
    sources = [record.provenance for record in records] or [here]
    commits = {str(each["commit"]) for source in sources if (each := source.get("git"))}
    machines = [source.get("machine") or {} for source in sources]
    models = {str(each) for machine in machines for each in [machine.get("cpu"), *_gpus(machine)]}
    return Origin(
        commits=tuple(sorted(commits)),
        dirty=any((source.get("git") or {}).get("dirty") for source in sources),
        version=str(sources[0].get("mo_hpc")),
        lock_sha256=sources[0].get("lock_sha256"),
        libraries=sources[0].get("libraries") or {},
        processors=tuple(sorted(models)),
    )


def append_night(folder: NightlyFolder, night: Night) -> None:
    """Adds a night to the history."""
    append_line(folder.history, night.model_dump(mode="json"))


def read_history(folder: NightlyFolder) -> list[Night]:
    """All nights, oldest first; lines of another schema or cut short are left out."""
    nights = []
    for number, line in enumerate(read_lines(folder.history)):
        try:
            nights.append(validated(Night, line, where=f"{folder.history}:{number + 1}"))
        except UserError:
            continue
    return nights


def find_night(folder: NightlyFolder, name: str | None) -> Night:
    """A night of the history by name, or the last one.

    Raises:
        UserError: If there is none.
    """
    nights = {night.night: night for night in read_history(folder)}
    if not nights:
        raise UserError(
            "The history has no night yet.",
            where=str(folder.history),
            remedy="Run one: python -m mo_hpc.nightly run",
        )
    name = list(nights)[-1] if name is None else name
    if name not in nights:
        raise unknown_name("night", name, nights)
    return nights[name]


def value_of(night: Night, cell: str, metric: str) -> float | None:
    """A metric's value in one night, None where it has none."""
    found = night.cells.get(cell)
    mean = found.metrics.get(metric) if found else None
    return None if mean is None else mean.mean


def since(nights: Iterable[Night], is_bad: Callable[[Night], bool | None]) -> Since | None:
    """When a metric left its band, looking back from the last night.

    Args:
        nights: Oldest first.
        is_bad: Whether a night is out of the band; None where it has no value, which neither
            begins nor ends a series.

    Returns:
        None if the last night that has a value is not bad.
    """
    first_bad: Night | None = None
    for night in reversed(list(nights)):
        bad = is_bad(night)
        if bad is None:
            continue
        if not bad:
            return Since(first_bad, night, _changed(night, first_bad)) if first_bad else None
        first_bad = night
    return Since(first_bad, None, ()) if first_bad else None


def _changed(good: Night, bad: Night) -> tuple[str, ...]:
    """Names of what differs between two nights and may explain a move."""
    before, after = good.origin, bad.origin
    pairs = {
        "commit": (before.commits, after.commits),
        "uncommitted changes": (before.dirty, after.dirty),
        "version": (before.version, after.version),
        "lock file": (before.lock_sha256, after.lock_sha256),
        "libraries": (before.libraries, after.libraries),
        "processors": (before.processors, after.processors),
        "words": (good.words, bad.words),
    }
    return tuple(name for name, (old, new) in pairs.items() if old != new)


def _gpus(machine: dict[str, Any]) -> list[str]:
    return list(machine.get("gpus") or [])

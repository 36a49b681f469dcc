"""One night: a fresh run, its results, the comparison and the line in the history.

Tasks are known by their content, so a second launch into the same folder would find everything
done and compare nothing but files. Every night therefore runs below a folder of its own,
``<runs_root>/<night>``; the last nights are kept to look into, the history for good.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mo_hpc.core.errors import UserError
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.provenance import provenance, utc_now
from mo_hpc.core.words import parse_words
from mo_hpc.regression.compare import Comparison, compare
from mo_hpc.regression.folder import NightlyFolder, forget_old_nights, new_night
from mo_hpc.regression.grid_run import Ended, run_grid
from mo_hpc.regression.history import Night, append_night, origin_of, read_history
from mo_hpc.regression.measured import cells, read_records, throughput
from mo_hpc.regression.reference import Reference, read_reference

OWN_WORDS = ("nightly_root", "runs_root", "keep", "wait_hours")
_GRID = "nightly"
_SEEDS = "[1,2,3,4,5]"
"""Five seeds give a spread that a tolerance can stand on, in minutes on two cores."""

_PARTITION = "nightly"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a nightly command was told.

    Attributes:
        folder: The nightly folder.
        runs: Where the nights' runs go.
        keep: Nights whose runs are kept.
        wait_s: Seconds after which tasks in the queue count as not done.
        words: Of the launch, without ``runs_root``.
    """

    folder: NightlyFolder
    runs: Path
    keep: int
    wait_s: float
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """A night in the history and, where there is a reference, what it is worth."""

    night: Night
    history: list[Night]
    reference: Reference | None
    comparison: Comparison | None


def settings_of(given: Sequence[str]) -> Settings:
    """Reads the nightly command's own words; all others are the launch's.

    Raises:
        UserError: If a word is not of the form key=value, or a number is not one.
    """
    # Which keys there are is for the launch to say.
    words = parse_words(given, [word.partition("=")[0] for word in given])
    folder = NightlyFolder(Path(words.get("nightly_root", "nightly")))
    rest = {key: value for key, value in words.items() if key not in OWN_WORDS}
    return Settings(
        folder=folder,
        runs=Path(words["runs_root"]) if "runs_root" in words else folder.runs,
        keep=int(_number(words, "keep", "7", at_least=1)),
        wait_s=3600 * _number(words, "wait_hours", "12", at_least=0),
        words=tuple(f"{key}={value}" for key, value in (_defaults(rest) | rest).items()),
    )


def run_night(settings: Settings) -> Result:
    """Runs the grid afresh, compares, and adds the night to the history.

    Raises:
        UserError: If the reference was changed by other means than an acceptance.
    """
    reference = read_reference(settings.folder)
    started = datetime.now(UTC)
    name = new_night(settings.runs, started)
    clock = time.monotonic()
    words = [*settings.words, f"runs_root={settings.runs / name}"]
    ended = run_grid(words, wait_s=settings.wait_s)
    night = _night(name, started, ended, settings, wall_time_s=time.monotonic() - clock)
    history = read_history(settings.folder)
    comparison = compare(reference, [*history, night]) if reference else None
    night = _judged(night, reference, comparison)
    append_night(settings.folder, night)
    forget_old_nights(settings.runs, settings.keep)
    return Result(night, [*history, night], reference, comparison)


def _defaults(given: Mapping[str, str]) -> dict[str, str]:
    """The grid with several seeds, and under Slurm its partition, unless words say otherwise."""
    defaults = {"grid": _GRID}
    if given.get("grid", _GRID) == _GRID:
        defaults["axes.seed"] = _SEEDS
    if given.get("executor") == "slurm":
        defaults["site.partition"] = _PARTITION
    return defaults


def _number(words: Mapping[str, str], key: str, default: str, *, at_least: float) -> float:
    text = words.get(key, default)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not value >= at_least or (key == "keep" and not value.is_integer()):
        kind = "a whole number" if key == "keep" else "a number"
        raise UserError(f"The value '{text}' is not {kind} from {at_least} on.", where=key)
    return value


def _night(
    name: str, started: datetime, ended: Ended, settings: Settings, *, wall_time_s: float
) -> Night:
    records = read_records(RunPaths(ended.run_dir), ended.done)
    return Night(
        night=name,
        started=started.isoformat(timespec="seconds"),
        ended=utc_now(),
        run_dir=str(ended.run_dir),
        grid=ended.grid,
        words=settings.words,
        origin=origin_of(records, provenance()),
        cells=cells(records),
        unfinished=ended.unfinished,
        throughput=throughput(records, wall_time_s),
        verdict="no_reference",
        moved=(),
        reference_digest=None,
    )


def _judged(night: Night, reference: Reference | None, comparison: Comparison | None) -> Night:
    if reference is None or comparison is None:
        return night
    moves = (*comparison.regressions, *comparison.improvements)
    return night.model_copy(
        update={
            "verdict": comparison.verdict,
            "moved": tuple(f"{move.cell}: {move.metric}" for move in moves),
            "reference_digest": reference.digest,
        }
    )

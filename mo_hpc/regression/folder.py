"""The nightly folder: what a team commits, what is kept for some nights, and the lock."""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mo_hpc.core.errors import WorkIncomplete

_NIGHT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z(-\d+)?")


@dataclass(frozen=True, slots=True)
class NightlyFolder:
    """Files of one nightly check; ``reference*`` and ``history.jsonl`` are worth a commit."""

    root: Path

    @property
    def reference(self) -> Path:
        """What each metric is compared with."""
        return self.root / "reference.json"

    @property
    def reference_log(self) -> Path:
        """One line for each acceptance, with its reason."""
        return self.root / "reference_log.jsonl"

    @property
    def history(self) -> Path:
        """One line for each night."""
        return self.root / "history.jsonl"

    @property
    def figures(self) -> Path:
        """The trend of each metric."""
        return self.root / "figures"

    @property
    def runs(self) -> Path:
        """The runs of the last nights, a folder each."""
        return self.root / "runs"

    @property
    def script(self) -> Path:
        """What cron or Slurm starts, as ``install`` writes it."""
        return self.root / "nightly.sh"

    @property
    def log(self) -> Path:
        """What the scheduled nights print."""
        return self.root / "nightly.log"

    @property
    def lock(self) -> Path:
        """Held as long as a night is under way."""
        return self.root / "nightly.lock"


@contextmanager
def locked(folder: NightlyFolder) -> Iterator[None]:
    """Keeps two nights, or a night and an acceptance, from working at the same time.

    Raises:
        WorkIncomplete: If another process holds the lock.
    """
    folder.root.mkdir(parents=True, exist_ok=True)
    with folder.lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkIncomplete(f"Another nightly run is at work in {folder.root}.") from None
        yield


def new_night(runs: Path, started: datetime) -> str:
    """A name for a night that no folder has: its start, UTC, such as 2026-11-20T033000Z."""
    name = started.strftime("%Y-%m-%dT%H%M%SZ")
    taken = {entry.name for entry in runs.glob(f"{name}*")}
    names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 2)))
    return next(each for each in names if each not in taken)


def forget_old_nights(runs: Path, keep: int) -> list[Path]:
    """Removes the runs of all nights but the newest; other folders are never touched.

    Returns:
        The folders that were removed.
    """
    nights = sorted(
        entry for entry in runs.glob("*") if entry.is_dir() and _NIGHT.fullmatch(entry.name)
    )
    old = nights[: max(0, len(nights) - keep)]
    for entry in old:
        shutil.rmtree(entry)
    return old

"""A marked block in a user's crontab or scrontab; every other line stays as it is."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mo_hpc.core.errors import UserError

_EMPTY = "no crontab for"
_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Crontab:
    """The table of one program.

    Attributes:
        program: ``crontab`` or ``scrontab``; both list with ``-l`` and take a file.
    """

    program: str

    def read(self) -> str:
        """The user's table, empty where there is none.

        Raises:
            UserError: If the program is missing or refuses; writing would then lose lines.
        """
        if shutil.which(self.program) is None:
            raise self._unusable(f"{self.program} is not on the path")
        done = self._run("-l")
        if done.returncode == 0:
            return done.stdout
        # Both programs end with 1 for an empty table, as they do for a refusal.
        if _EMPTY in done.stdout + done.stderr:
            return ""
        said = (done.stderr or done.stdout).strip().splitlines()
        raise self._unusable(said[-1] if said else f"it ended with status {done.returncode}")

    def write(self, text: str) -> None:
        """Replaces the user's table.

        Raises:
            UserError: If the program refuses it.
        """
        with tempfile.NamedTemporaryFile("w", suffix=".crontab") as handle:
            handle.write(text)
            handle.flush()
            done = self._run(handle.name)
        if done.returncode:
            raise self._unusable((done.stderr or done.stdout).strip())

    def _run(self, argument: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, argument],
            # scrontab asks what to do with a line that it refuses; the answer is no.
            input="n\n",
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )

    def _unusable(self, why: str) -> UserError:
        return UserError(f"{self.program} cannot be used: {why}.", where="--method")


def with_block(text: str, lines: list[str], root: Path) -> str:
    """A table with the block of one nightly folder, in place of an earlier one.

    Args:
        text: The table as it is.
        lines: What the block holds.
        root: The nightly folder, which names the block.
    """
    kept = without_block(text, root)
    if kept and not kept.endswith("\n"):
        kept += "\n"
    return kept + "\n".join([_begin(root), *lines, _end(root)]) + "\n"


def without_block(text: str, root: Path) -> str:
    """A table without the block of one nightly folder.

    Raises:
        UserError: If one of the two marks is missing: what lies after it is not ours to drop.
    """
    lines = text.splitlines(keepends=True)
    marks = [line.strip() for line in lines if line.strip() in (_begin(root), _end(root))]
    if marks not in ([], [_begin(root), _end(root)]):
        raise UserError(
            "The marks around the nightly block of the crontab are not a pair.",
            where=_begin(root),
            remedy="Remove the block by hand, with the -e option of the program; then try again.",
        )
    kept, inside = [], False
    for line in lines:
        inside = inside or line.strip() == _begin(root)
        if not inside:
            kept.append(line)
        inside = inside and line.strip() != _end(root)
    return "".join(kept)


def has_block(text: str, root: Path) -> bool:
    """Whether a table has the block of a nightly folder."""
    return _begin(root) in text.splitlines()


def _begin(root: Path) -> str:
    return f"# BEGIN mo_hpc nightly {root}"


def _end(root: Path) -> str:
    return f"# END mo_hpc nightly {root}"

"""Findings of a dataset check: one line each, with file, frame and remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]

FINDINGS_SCHEMA_VERSION = 1
_SHOWN_PER_KIND = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found in one frame, or in a file as a whole.

    Attributes:
        kind: Stable name such as ``missing_forces``.
        severity: An *error* makes the frame unusable, and the index leaves it out; a
            *warning* is worth a look; an *info* is worth knowing.
        file: Name of the file.
        frame: Position in the file, from 0; None: the file as a whole.
        message: What was found, with the value seen.
        remedy: What to do about it.
    """

    kind: str
    severity: Severity
    file: str
    frame: int | None
    message: str
    remedy: str

    def line(self) -> str:
        """The finding as one line of text."""
        place = self.file if self.frame is None else f"{self.file}#{self.frame}"
        return f"{self.severity}: {place}: {self.message} {self.remedy}"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All findings of one dataset or file."""

    dataset: str
    n_frames: int
    n_usable: int
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        """Number of findings of one severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def document(self) -> dict[str, Any]:
        """The report as plain data, for ``--json``."""
        return {
            "schema_version": FINDINGS_SCHEMA_VERSION,
            "dataset": self.dataset,
            "n_frames": self.n_frames,
            "n_usable": self.n_usable,
            "counts": {name: self.count(name) for name in ("error", "warning", "info")},
            "findings": [asdict(finding) for finding in self.findings],
        }

    def text(self, *, show_all: bool) -> str:
        """The report for people: errors first, each kind cut to a few lines.

        Args:
            show_all: True: every finding has its line.
        """
        lines: list[str] = []
        for severity in ("error", "warning", "info"):
            chosen = [finding for finding in self.findings if finding.severity == severity]
            for kind in dict.fromkeys(finding.kind for finding in chosen):
                same = [finding for finding in chosen if finding.kind == kind]
                lines.extend(_shown(kind, same, None if show_all else _SHOWN_PER_KIND))
        lines.append(self._summary())
        return "\n".join(lines)

    def _summary(self) -> str:
        verdict = "clean" if not self.count("error") else f"{self.count('error')} errors"
        return (
            f"{self.dataset}: {self.n_frames} frames, {self.n_usable} usable: {verdict}, "
            f"{self.count('warning')} warnings, {self.count('info')} notes."
        )


def _shown(kind: str, findings: Sequence[Finding], limit: int | None) -> list[str]:
    lines = [finding.line() for finding in findings[:limit]]
    if limit is not None and len(findings) > limit:
        rest = len(findings) - limit
        lines.append(f"  … and {rest} more of the kind {kind}; --all shows them")
    return lines

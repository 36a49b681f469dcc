"""What one check found: a verdict, the fact behind it, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "problem", "not checked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        group: The heading it stands under.
        name: What was looked at.
        verdict: Whether a grid can run like this. A warning is no obstacle.
        found: What was found, as a short sentence.
        remedy: What to do; None where nothing need be done.
    """

    group: str
    name: str
    verdict: Verdict
    found: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Makes the findings that stand under one heading."""

    title: str

    def ok(self, name: str, found: str) -> Finding:
        """All is well."""
        return Finding(self.title, name, "ok", found)

    def warning(self, name: str, found: str, remedy: str) -> Finding:
        """It works, but not as well as it might."""
        return Finding(self.title, name, "warning", found, remedy)

    def problem(self, name: str, found: str, remedy: str) -> Finding:
        """Tasks would fail or never start."""
        return Finding(self.title, name, "problem", found, remedy)

    def not_checked(self, name: str, found: str, remedy: str | None = None) -> Finding:
        """It could not be looked at; ``found`` says why."""
        return Finding(self.title, name, "not checked", found, remedy)

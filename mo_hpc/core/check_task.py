"""A domain check: what is asked of which model, and what it answered."""

from __future__ import annotations

from mo_hpc.core.calculation import CalculatorConfig
from mo_hpc.core.checks import CheckConfig, CheckName
from mo_hpc.core.record import Record
from mo_hpc.core.strict import Strict
from mo_hpc.core.task import FoundationRef, TaskSpec


class CheckTask(TaskSpec):
    """One check of one model."""

    check: CheckName
    potential: str
    """What tables call the model."""
    calculator: CalculatorConfig | None
    """What computes energies and forces where no model file does."""
    foundation: FoundationRef | None
    """The model file; exactly one of the two is given."""
    labels: str | None
    """What computed the labels that the model was trained on; None where that is not known."""
    synthetic: bool
    """Whether these labels are known not to be from first principles."""
    settings: CheckConfig


class ReferenceValue(Strict):
    """A value from somewhere else, in the unit of the number it stands beside."""

    value: float
    labels: str
    """What it was computed or measured with."""
    citation: str


class CheckedValue(Strict):
    """One number of a check."""

    name: str
    """With its unit at the end."""
    subject: str
    """Of what, such as ``Ti`` or ``(110)``; empty: of the crystal."""
    value: float | None
    """None where the model gives none."""
    problem: str
    """Why there is none; empty where there is one."""
    references: tuple[ReferenceValue, ...]


class CheckedCurve(Strict):
    """Numbers that belong together point by point."""

    name: str
    subject: str
    columns: dict[str, tuple[float, ...]]
    """Name with its unit at the end → values, all of one length."""


class CheckRecord(Record):
    """What a check found."""

    check: CheckName
    potential: str
    calculator: CalculatorConfig | None
    foundation: FoundationRef | None
    """With the hash of the file that was opened."""
    labels: str | None
    """What computed the labels that the model was trained on; None where that is not known."""
    synthetic: bool
    """Whether these labels are known not to be from first principles."""
    settings: CheckConfig
    values: tuple[CheckedValue, ...]
    curves: tuple[CheckedCurve, ...]
    verdict: str
    """A sentence, for a check that is a question; empty for one that is a number."""

"""A night against the reference: what moved, what is missing, and since when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from mo_hpc.regression.history import Night, Since, UnfinishedTask, Verdict, since, value_of
from mo_hpc.regression.measured import CellResult
from mo_hpc.regression.reference import CellReference, MetricReference, Reference
from mo_hpc.regression.tolerance import kind_of


@dataclass(frozen=True, slots=True)
class Move:
    """One metric that is out of tolerance.

    Attributes:
        cell: Name of the cell.
        metric: Name of the metric.
        reference: What it is compared with.
        value: Mean over the seeds of this night.
        since: When it left its band.
    """

    cell: str
    metric: str
    reference: MetricReference
    value: float
    since: Since

    @property
    def change(self) -> float:
        """This night less the reference, in the metric's unit."""
        return self.value - self.reference.value

    @property
    def change_in_tolerances(self) -> float | None:
        """The change in units of the tolerance; None for what must not move at all."""
        tolerance = self.reference.tolerance
        return self.change / tolerance if tolerance else None

    @property
    def is_improvement(self) -> bool:
        """Whether an error fell; counts and the baseline cannot improve."""
        return kind_of(self.metric) == "error" and self.change < 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a night is worth.

    Attributes:
        regressions: Metrics that are worse, or that must not move and did.
        improvements: Errors that fell by more than the tolerance.
        unfinished: Tasks that are not done.
        absent: One sentence for each cell or metric of the reference without a result.
        not_compared: Cells that the reference does not have.
        n_compared: Metrics that have a reference and a value.
    """

    regressions: tuple[Move, ...]
    improvements: tuple[Move, ...]
    unfinished: tuple[UnfinishedTask, ...]
    absent: tuple[str, ...]
    not_compared: tuple[str, ...]
    n_compared: int

    @property
    def verdict(self) -> Verdict:
        """An improvement is no regression; a missing result is."""
        if self.regressions or self.unfinished or self.absent:
            return "regression"
        return "improved" if self.improvements else "pass"


def is_out(value: float, reference: MetricReference) -> bool:
    """Whether a value is out of the band of the reference, either way."""
    return abs(value - reference.value) > reference.tolerance


def compare(reference: Reference, nights: Sequence[Night]) -> Comparison:
    """Compares the last night with the reference.

    A cell counts if all seeds of its reference are there: another mean would differ without
    anything being wrong. What is missing is a finding of its own.

    Args:
        reference: The accepted values.
        nights: The history with the night in question as its last.
    """
    night = nights[-1]
    moves = list(_moves(reference, nights))
    return Comparison(
        regressions=tuple(move for move in moves if not move.is_improvement),
        improvements=tuple(move for move in moves if move.is_improvement),
        unfinished=night.unfinished,
        absent=tuple(_absent(reference, night)),
        not_compared=tuple(sorted(set(night.cells) - set(reference.cells))),
        n_compared=sum(1 for _ in _compared(reference, night)),
    )


def _moves(reference: Reference, nights: Sequence[Night]) -> Iterator[Move]:
    for cell, metric, expected, value in _compared(reference, nights[-1]):
        if is_out(value, expected):
            seeds = reference.cells[cell].seeds
            found = since(nights, partial(_is_bad, cell, metric, expected, seeds))
            assert found is not None
            yield Move(cell, metric, expected, value, found)


def _is_bad(
    cell: str, metric: str, expected: MetricReference, seeds: tuple[int, ...], night: Night
) -> bool | None:
    value = value_of(night, cell, metric)
    if value is None or night.cells[cell].seeds != seeds:
        return None
    return is_out(value, expected)


def _compared(
    reference: Reference, night: Night
) -> Iterator[tuple[str, str, MetricReference, float]]:
    """(cell, metric, reference, value) of all that can be compared."""
    for name, cell in reference.cells.items():
        found = night.cells.get(name)
        if found is None or found.seeds != cell.seeds:
            continue
        for metric, expected in cell.metrics.items():
            if metric in found.metrics:
                yield name, metric, expected, found.metrics[metric].mean


def _absent(reference: Reference, night: Night) -> Iterator[str]:
    for name, cell in reference.cells.items():
        found = night.cells.get(name)
        if found is None:
            yield f"{name} has no result"
        elif found.seeds != cell.seeds:
            yield f"{name} has {_seeds(found)}, the reference {_seeds(cell)}"
        else:
            gone = [metric for metric in cell.metrics if metric not in found.metrics]
            yield from (f"{name} has no {metric}" for metric in gone)


def _seeds(cell: CellResult | CellReference) -> str:
    return f"seed{'s' * (len(cell.seeds) != 1)} {', '.join(map(str, cell.seeds))}"

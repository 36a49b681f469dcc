"""What a night or an acceptance says: lines for people and plain data for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mo_hpc.regression.compare import Comparison, Move
from mo_hpc.regression.history import Night, Since, UnfinishedTask
from mo_hpc.regression.reference import Acceptance, Reference

_MOST_SHOWN = 12
_WHOLE_FROM = 1000


def lines_of(night: Night, comparison: Comparison) -> Iterator[str]:
    """The report on one night; what matters most comes first."""
    yield from _headline(comparison)
    yield from _listed([text for task in comparison.unfinished for text in _task(task)])
    yield from _listed([f"  {sentence}" for sentence in comparison.absent])
    for heading, moves in (
        ("Moved the wrong way:", comparison.regressions),
        ("Fell by more than the tolerance:", comparison.improvements),
    ):
        if moves:
            yield heading
            yield from _moves(moves)
    if comparison.not_compared:
        yield f"Not in the reference: {', '.join(comparison.not_compared)}."
    if comparison.improvements:
        yield "If this is meant, accept it: the tolerance is then about the new values."
    yield _speed(night)
    yield f"Run directory: {night.run_dir}"


def document_of(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain data."""
    return {
        "verdict": comparison.verdict,
        "n_compared": comparison.n_compared,
        "regressions": [_move_document(move) for move in comparison.regressions],
        "improvements": [_move_document(move) for move in comparison.improvements],
        "unfinished": [task.model_dump(mode="json") for task in comparison.unfinished],
        "absent": list(comparison.absent),
        "not_compared": list(comparison.not_compared),
    }


def lines_of_acceptance(acceptance: Acceptance) -> Iterator[str]:
    """What an acceptance changed."""
    known = [change for change in acceptance.changes if None not in (change.old, change.new)]
    for change in known[:_MOST_SHOWN]:
        yield f"  {change.cell}: {change.metric}"
        yield (
            f"    {change.old:.4g} ± {change.old_tolerance:.2g} → "
            f"{change.new:.4g} ± {change.new_tolerance:.2g} {change.unit}"
        ).rstrip()
    if len(known) > _MOST_SHOWN:
        yield f"  and {len(known) - _MOST_SHOWN} more"
    added = sum(change.old is None for change in acceptance.changes)
    removed = sum(change.new is None for change in acceptance.changes)
    yield f"{len(known)} values changed, {added} added, {removed} removed."


def lines_of_history(nights: Sequence[Night], reference: Reference | None) -> Iterator[str]:
    """The reference and some nights, oldest first."""
    if reference is None:
        yield "Reference: none yet."
    else:
        yield (
            f"Reference: night {reference.night} at {reference.origin.short_commit}, accepted by "
            f"{reference.accepted_by}"
        )
        yield f"  {reference.accepted}: {reference.reason}"
    for night in nights:
        yield (
            f"{night.night:<20} {night.origin.short_commit:<14} {night.verdict:<12} "
            f"{len(night.moved):>3} moved {len(night.unfinished):>3} not done "
            f"{night.throughput.wall_time_s:>6.0f} s"
        )
    if not nights:
        yield "No night yet."


def history_document(nights: Sequence[Night], reference: Reference | None) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "reference": reference.model_dump(mode="json") if reference else None,
        "nights": [night.model_dump(mode="json") for night in nights],
    }


def _headline(comparison: Comparison) -> Iterator[str]:
    n_metrics = f"{comparison.n_compared} metrics compared"
    if comparison.verdict == "pass":
        yield f"PASS: {n_metrics}, all within tolerance."
    elif comparison.verdict == "improved":
        yield f"PASS: {n_metrics}, {len(comparison.improvements)} of them improved."
    else:
        yield (
            f"REGRESSION: {n_metrics}, {len(comparison.regressions)} moved; "
            f"{len(comparison.unfinished)} tasks not done, {len(comparison.absent)} results absent."
        )


def _task(task: UnfinishedTask) -> Iterator[str]:
    kind = f" ({task.failure_class})" if task.failure_class else ""
    yield f"  {task.state}{kind}: {task.id}"
    if task.reason:
        yield f"    {task.reason}"


def _listed(lines: list[str]) -> Iterator[str]:
    yield from lines[: 2 * _MOST_SHOWN]
    if len(lines) > 2 * _MOST_SHOWN:
        yield f"  and {len(lines) - 2 * _MOST_SHOWN} lines more; see --json"


def _moves(moves: tuple[Move, ...]) -> Iterator[str]:
    """The furthest moves first; moves with one origin usually come in families."""
    ordered = sorted(moves, key=_distance, reverse=True)
    for move in ordered[:_MOST_SHOWN]:
        unit = move.reference.unit or "frames, atoms or coefficients"
        yield f"  {move.cell}: {move.metric}"
        yield (
            f"    {_number(move.reference.value)} → {_number(move.value)} {unit} "
            f"({move.change:+.3g}{_in_tolerances(move)})"
        )
        yield f"    {_since(move.since)}"
    if len(ordered) > _MOST_SHOWN:
        yield f"  and {len(ordered) - _MOST_SHOWN} metrics more; see --json"


def _distance(move: Move) -> float:
    ratio = move.change_in_tolerances
    return float("inf") if ratio is None else abs(ratio)


def _in_tolerances(move: Move) -> str:
    ratio = move.change_in_tolerances
    if ratio is None:
        return "; it must not move"
    return f"; {abs(ratio):.1f} tolerances of {move.reference.tolerance:.2g}"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= _WHOLE_FROM else f"{value:.4g}"


def _since(found: Since) -> str:
    bad = found.first_bad
    text = f"since {bad.origin.short_commit} ({bad.night})"
    if found.last_good is None:
        return f"{text}; no earlier night was within tolerance"
    good = found.last_good
    changed = ", ".join(found.changed) or "nothing that is recorded"
    return f"{text}; good at {good.origin.short_commit} ({good.night}); changed: {changed}"


def _speed(night: Night) -> str:
    speed = night.throughput
    rate = speed.train_frames_per_s
    training = f", {rate:.3g} training structures/s" if rate is not None else ""
    return (
        f"Took {speed.wall_time_s:.0f} s, {speed.task_wall_time_s:.0f} s of tasks{training} "
        "(for information)."
    )


def _move_document(move: Move) -> dict[str, Any]:
    good = move.since.last_good
    return {
        "cell": move.cell,
        "metric": move.metric,
        "unit": move.reference.unit,
        "reference": move.reference.value,
        "value": move.value,
        "change": move.change,
        "tolerance": move.reference.tolerance,
        "change_in_tolerances": move.change_in_tolerances,
        "first_bad": _night_document(move.since.first_bad),
        "last_good": _night_document(good) if good else None,
        "changed": list(move.since.changed),
    }


def _night_document(night: Night) -> dict[str, Any]:
    return {
        "night": night.night,
        "commits": list(night.origin.commits),
        "dirty": night.origin.dirty,
    }

"""A snapshot for people: 80 columns, and ids in one piece where they fit."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mo_hpc.plan.manifest import ManifestTask
from mo_hpc.plan.state import STATES, counts
from mo_hpc.watch.estimate import UNDER_WAY
from mo_hpc.watch.outlook import Outlook, last_lines
from mo_hpc.watch.snapshot import MANY_TASKS, Snapshot
from mo_hpc.watch.wording import cost_sentence, duration, error, number_of, tally

_WIDTH = 80
_BAR_WIDTH = 60
_MOST_FAILURES = 10

_MARKS = {
    "done": ("█", "green"),
    "running": ("▓", "cyan"),
    "requeued": ("▒", "yellow"),
    "queued": ("▒", "blue"),
    "waiting": ("░", "blue"),
    "failed": ("×", "red"),
    "blocked": ("×", "magenta"),
    "missing": ("·", "dim"),
}
_FOOTNOTE = """\
F MAE: of the last validation and the best so far, by component, in meV/Å.
left: at the present pace to the last epoch; training may stop earlier."""


def show(snapshot: Snapshot, console: Console, *, show_all: bool) -> None:
    """Prints the whole account of a run."""
    # Ids and paths that do not fit are left in one piece, so that they can be copied.
    console.print(render(snapshot, show_all=show_all), crop=False)


def render(snapshot: Snapshot, *, show_all: bool = False, most_rows: int = 50) -> RenderableType:
    """The whole account of a run.

    Args:
        snapshot: The run.
        show_all: List every task and every failure, however many there are.
        most_rows: Rows of tasks under way in a large grid.
    """
    return Group(*_parts(snapshot, show_all=show_all, most_rows=most_rows))


def _parts(snapshot: Snapshot, *, show_all: bool, most_rows: int) -> Iterator[RenderableType]:
    yield from _header(snapshot)
    tasks = snapshot.manifest.tasks
    if len(tasks) > MANY_TASKS and not show_all:
        yield _stages(snapshot)
        tasks = tuple(t for t in tasks if snapshot.states[t.id].name in ("running", "requeued"))
        more, tasks = tasks[most_rows:], tasks[:most_rows]
    else:
        more = ()
    if tasks:
        yield _table(snapshot, tasks)
        if more:
            yield Text(f"… and {len(more)} more at work; --all lists every task.")
        yield Text(_FOOTNOTE, style="dim")
    yield from _failures(snapshot, show_all=show_all)
    yield from _idle(snapshot)
    yield from _footer(snapshot)


def _header(snapshot: Snapshot) -> Iterator[RenderableType]:
    found = counts(snapshot.states)
    manifest = snapshot.manifest
    yield _prose(f"{manifest.grid}: {number_of(len(snapshot.states), 'task')}: {tally(found)}.")
    bar = Text()
    for name, (mark, style) in _MARKS.items():
        bar.append(mark * _share(found.get(name, 0), len(snapshot.states)), style)
    yield bar


def _share(number: int, total: int) -> int:
    """Marks in the bar; a single task shows, however many there are."""
    return max(1, round(_BAR_WIDTH * number / total)) if number else 0


def _stages(snapshot: Snapshot) -> Table:
    by_stage: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for task in snapshot.manifest.tasks:
        by_stage[task.stage][snapshot.states[task.id].name] += 1
    seen = [name for name in STATES if any(each[name] for each in by_stage.values())]
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("stage", overflow="fold")
    for name in seen:
        table.add_column(name, justify="right")
    for stage, found in by_stage.items():
        table.add_row(Text(stage), *(str(found[name] or "–") for name in seen))
    return table


def _table(snapshot: Snapshot, tasks: tuple[ManifestTask, ...]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("task", overflow="fold")
    table.add_column("state", no_wrap=True)
    for heading in ("epoch", "F MAE", "best", "left"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("node", overflow="fold")
    for task in tasks:
        name = snapshot.states[task.id].name
        progress = snapshot.progress.get(task.id)
        epoch = "–"
        if progress:
            most = f"/{progress.max_epochs}" if progress.max_epochs else ""
            epoch = f"{progress.epoch}{most}"
        table.add_row(
            Text(task.id),
            Text(name, _MARKS[name][1]),
            epoch,
            error(progress.force_mae_mev_per_ang if progress else None),
            error(progress.best_force_mae_mev_per_ang if progress else None),
            duration(snapshot.left_s(task)),
            Text((snapshot.node(task.id) or "–") if name in UNDER_WAY else "–"),
        )
    return table


def _failures(snapshot: Snapshot, *, show_all: bool) -> Iterator[RenderableType]:
    failed = [id_ for id_, state in snapshot.states.items() if state.name == "failed"]
    if not failed:
        return
    outlook = Outlook(snapshot)
    shown = failed if show_all else failed[:_MOST_FAILURES]
    for task_id in shown:
        yield from _failure(snapshot, outlook, task_id)
    if len(failed) > len(shown):
        yield _prose(f"… and {len(failed) - len(shown)} more that failed; --all lists them:")
        yield from _by_class(snapshot, failed)


def _failure(snapshot: Snapshot, outlook: Outlook, task_id: str) -> Iterator[RenderableType]:
    state = snapshot.states[task_id]
    yield _line(f"failed: {task_id}", "red")
    if failure := state.diagnosis:
        where = f" on {failure.node}" if failure.node else ""
        attempt = f", attempt {failure.attempt}" if failure.attempt else ""
        # Some reasons name both.
        place = "" if state.reason.startswith("Attempt") else where + attempt
        yield _prose(f"{failure.failure_class}{place}: {state.reason}", indent=2)
    for line in last_lines(snapshot, task_id, state):
        yield _line(f"  │ {_cut(line, _WIDTH - 4)}", "dim")
    yield _prose(outlook.next(task_id), indent=2)


def _by_class(snapshot: Snapshot, failed: list[str]) -> Iterator[RenderableType]:
    classes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for task_id in failed:
        if failure := snapshot.states[task_id].diagnosis:
            classes[failure.failure_class][failure.node or "no node"] += 1
    for name, nodes in classes.items():
        where = ", ".join(f"{node} {number}" for node, number in nodes.most_common(5))
        yield _prose(f"{nodes.total():>6} {name} ({where})")


def _idle(snapshot: Snapshot) -> Iterator[RenderableType]:
    """What is blocked or missing, in one line for each reason."""
    reasons: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for task_id, state in snapshot.states.items():
        if state.name in ("blocked", "missing") and state.reason:
            reasons[state.name, state.reason].append(task_id)
    for (name, reason), tasks in list(reasons.items())[:_MOST_FAILURES]:
        which = tasks[0] if len(tasks) == 1 else f"{len(tasks)} tasks, such as {tasks[0]}"
        yield _line(f"{name}: {which}")
        yield _prose(reason, indent=2)
    if len(reasons) > _MOST_FAILURES:
        yield _prose(f"… and {len(reasons) - _MOST_FAILURES} more reasons; --json has them all.")


def _footer(snapshot: Snapshot) -> Iterator[RenderableType]:
    found = counts(snapshot.states)
    if launcher := snapshot.launcher:
        yield _prose(f"A launch is at work: process {launcher.pid} on {launcher.node}.")
    if found.get("waiting"):
        job = snapshot.activity.followers[0]
        yield _prose(f"Job {job} follows the arrays and submits what waits.")
    if snapshot.activity.held:
        held = ", ".join(snapshot.activity.held[:_MOST_FAILURES])
        yield _prose(f"Slurm could not start {held} and holds them; launching again lets them go.")
    left = snapshot.left
    if left.total_s is not None:
        now = "it alone runs" if left.at_once == 1 else f"{left.at_once} tasks run at once as now"
        yield _prose(f"About {duration(left.total_s)} left if {now}; an estimate.")
    elif left.reason:
        yield _prose(f"The time left is not known: {left.reason}.")
    if snapshot.cost.used.core_hours or snapshot.cost.used.gpu_hours:
        yield _prose(cost_sentence(snapshot.cost))
    if classes := _not_again(snapshot):
        yield _prose("Mend the cause, then try again:")
        yield _line(f"  python -m mo_hpc.retry run={snapshot.run.folder} class={','.join(classes)}")
    yield _line(f"Run directory: {snapshot.run.folder}")


def _not_again(snapshot: Snapshot) -> list[str]:
    """Classes of the failures that wait for a person."""
    failures = (state.diagnosis for state in snapshot.states.values() if state.name == "failed")
    return sorted({each.failure_class for each in failures if each and not each.again})


def _line(text: str, style: str = "") -> Text:
    """A line that is not broken, however long."""
    return Text(text, style, no_wrap=True, overflow="ignore")


def _prose(text: str, *, indent: int = 0) -> Text:
    """Sentences, wrapped between words: paths and commands in them stay in one piece."""
    margin = " " * indent
    return _line(
        textwrap.fill(
            text,
            width=_WIDTH,
            initial_indent=margin,
            subsequent_indent=margin,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"

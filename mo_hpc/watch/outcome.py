"""What a submission did, for people and for programs."""

from __future__ import annotations

import json
import sys

from mo_hpc.core.paths import RunPaths
from mo_hpc.executors.resubmission import Outcome
from mo_hpc.plan.manifest import Manifest
from mo_hpc.plan.state import counts
from mo_hpc.watch.wording import tally

LAUNCH_SCHEMA_VERSION = 1


def report(run: RunPaths, manifest: Manifest, outcome: Outcome, *, as_json: bool) -> None:
    """Prints what was submitted and what state the run is in: JSON on stdout, text on stderr."""
    if as_json:
        print(json.dumps(_document(run, manifest, outcome), indent=1))
    else:
        print("\n".join(_lines(run, manifest, outcome)), file=sys.stderr)


def _document(run: RunPaths, manifest: Manifest, outcome: Outcome) -> dict[str, object]:
    submitted = set(outcome.submitted)
    return {
        "schema_version": LAUNCH_SCHEMA_VERSION,
        "run_dir": str(run.folder),
        "grid": manifest.grid,
        "executor": manifest.executor,
        "tasks": [
            {"id": task.id, "axes": task.axes, "state": outcome.states[task.id].name}
            for task in manifest.tasks
        ],
        "submitted": outcome.submitted,
        "skipped": [task.id for task in manifest.tasks if task.id not in submitted],
    }


def _lines(run: RunPaths, manifest: Manifest, outcome: Outcome) -> list[str]:
    n_tasks = len(manifest.tasks)
    now = tally(counts(outcome.states))
    lines = [f"{len(outcome.submitted)} of {n_tasks} tasks submitted; now {now}."]
    if outcome.n_waiting:
        lines += [
            f"{outcome.n_waiting} found no room in the queue; a job that follows the arrays",
            "submits them.",
        ]
    lines += [
        f"  {state.name}: {task_id}\n    {state.reason}"
        for task_id, state in outcome.states.items()
        if state.name in ("failed", "blocked")
    ]
    if any(state.name == "failed" for state in outcome.states.values()):
        lines.append(f"Mend the cause, then: python -m mo_hpc.retry run={run.folder}")
    return [*lines, f"Run directory: {run.folder}"]

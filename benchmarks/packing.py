"""Times short tasks on the cluster at hand, one in each array element and packed.

Usage: python benchmarks/packing.py [--tasks N] [--repeats N] [--folder DIR] [key=value ...]

The tasks import what a training imports and do nothing else. Words such as ``site=NAME`` are
those of the launch. A repeat runs every way once; the table gives medians of the time from the
submission to the last record.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

NOOP = Path(__file__).parent / "noop"
# Jobs inherit it, and with it the task kind.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(NOOP), os.getenv("PYTHONPATH"))))
sys.path.insert(0, str(NOOP))
import sitecustomize  # noqa: E402, F401 - the registration; another one may have come first

from mo_hpc.core.config import compose  # noqa: E402
from mo_hpc.core.files import digest, write_json  # noqa: E402
from mo_hpc.core.paths import RunPaths  # noqa: E402
from mo_hpc.core.registry import TASK_KINDS  # noqa: E402
from mo_hpc.core.schema import RunConfig, validated  # noqa: E402
from mo_hpc.core.task import TaskSpec  # noqa: E402
from mo_hpc.executors.completion import is_done  # noqa: E402
from mo_hpc.executors.slurm.executor import SlurmExecutor  # noqa: E402
from mo_hpc.plan.planner import make_plan  # noqa: E402

GRID = (
    *("grid=nightly", "executor=slurm", "executor.collect=false", "executor.follow=false"),
    *("resources.cpus_per_task=1", "resources.memory_gb=1", "resources.time_min=5"),
)
WAYS: dict[str, dict[str, Any]] = {
    "one task in each element": {},
    "10 in turn in each element": {"tasks_per_element": 10},
    "10 in each element, 2 at once": {"tasks_per_element": 10, "at_once": 2},
}
POLL_S = 0.2


def main() -> int:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="key=value", default=[])
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="on a shared file system")
    options = parser.parse_intermixed_args()
    TASK_KINDS["noop"] = replace(TASK_KINDS["train"], runner="noop_kind:run_noop")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="packing-", dir="."))
    document, explicit = compose([*GRID, *options.words])
    config = validated(RunConfig, document, where="")
    pattern = make_plan(config, explicit).tasks[0].spec
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for repeat in range(options.repeats):
        for number, (way, fields) in enumerate(WAYS.items()):
            run = RunPaths(folder / f"{repeat}-{number}")
            tasks = write_tasks(run, pattern, options.tasks)
            executor = config.executor.model_copy(update=fields)
            seconds = timed(run, config.model_copy(update={"executor": executor}), tasks)
            print(f"repeat {repeat + 1}: {way}: {seconds:.1f} s", file=sys.stderr)
            times[way].append(seconds)
    print(f"| {options.tasks} tasks | median s | all s | tasks per minute |")
    print("| --- | --- | --- | --- |")
    for way, seconds in times.items():
        median = statistics.median(seconds)
        shown = ", ".join(f"{each:.0f}" for each in sorted(seconds))
        print(f"| {way} | {median:.0f} | {shown} | {60 * options.tasks / median:.0f} |")
    return 0


def write_tasks(run: RunPaths, pattern: TaskSpec, n_tasks: int) -> list[TaskSpec]:
    """Folders of so many tasks that need nothing."""
    tasks = []
    for number in range(n_tasks):
        name = f"noop-{number:04d}"
        update = {"id": name, "digest": digest(name), "kind": "noop", "needs": (), "axes": {}}
        task = pattern.model_copy(update={**update, "foundation": None})
        write_json(run.task(name).task, task.model_dump(mode="json"))
        tasks.append(task)
    return tasks


def timed(run: RunPaths, config: RunConfig, tasks: Sequence[TaskSpec]) -> float:
    """Seconds from the submission to the last record."""
    begun = time.perf_counter()
    SlurmExecutor(run, config).submit(tasks)
    waiting = list(tasks)
    while waiting:
        time.sleep(POLL_S)
        waiting = [task for task in waiting if not is_done(run.task(task.id))]
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())

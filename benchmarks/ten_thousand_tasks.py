"""What ten thousand tasks cost: planning, submitting, status and collecting, beside its peers.

Usage: python benchmarks/ten_thousand_tasks.py --folder DIR [--seeds N] [--times N]
       [--only-here] [--hydra PYTHON]

A leave-one-element-out grid over the demo dataset (two protocols, three elements, ``--seeds``
seeds, one pretraining) is planned and submitted to Slurm, held, so that nothing starts; then
cancelled. Its seven trainings with one seed are really run, and their records, with other
numbers, stand in for those of all tasks when status and the collector are measured.

submitit submits as many calls of ``abs``, in a loop over arrays of 1,000. hydra-submitit-launcher
(``--hydra``: a Python that has it) submits one array of 1,000 and is then ended, because it
waits for an array to end before it submits the next.

Slurm's commands are counted by wrappers in front of them on the path. Without ``--only-here``
a Slurm cluster that takes arrays of 1,000 is needed, and room for 21,000 jobs below its
MaxJobCount: it remembers cancelled ones for minutes, which is why each launcher submits once.
What submits nothing is run ``--times`` times, and the middle time stands in the table.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mo_hpc.core.files import read_json
from mo_hpc.core.paths import RunPaths, TaskPaths, runs_below

GRID = "many"
GRID_FILE = """\
# @package _global_
defaults:
  - override /dataset: demo
  - override /model: tiny
  - override /train: demo
grid:
  name: many
  description: One pretraining and its fine-tunings, as many as there are seeds.
  stages:
    pretrain: {paradigm: scratch, subset: homogeneous, only_if_needed: true}
    transfer:
      foundation: stage:pretrain
      subset: doped
      axes: {protocol: [lodo_strict, lodo_relaxed], element: [Ta, V, W]}
      train: {allow_missing_energy_reference: true}
train: {max_epochs: 2}
resources: {cpus_per_task: 1, memory_gb: 3, time_min: 15}
executor: {collect: false}
"""
COUNTED = ("sbatch", "squeue", "scontrol", "sinfo", "sacctmgr", "sacct", "scancel")
WRAPPER = """\
#!/bin/sh
{real} "$@"
status=$?
echo "{name} $(date +%s.%N)" >> {calls}
exit $status
"""
ARRAY = 1000
SUBMITIT = """\
import sys, submitit
folder, n = sys.argv[1], int(sys.argv[2])
executor = submitit.SlurmExecutor(folder)
executor.update_parameters(
    job_name="many-peer", time=15, cpus_per_task=1, mem="3GB", additional_parameters={"hold": True}
)
for start in range(0, n, 1000):
    executor.map_array(abs, range(start, min(start + 1000, n)))
"""
HYDRA = """\
import hydra
from omegaconf import DictConfig

@hydra.main(version_base="1.3", config_path=None)
def main(config: DictConfig) -> None:
    print(config)

main()
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took: seconds, peak memory, calls of Slurm and files left behind."""

    what: str
    n_tasks: int
    wall_s: float
    cpu_s: float
    memory_mib: float
    calls: str = "0"
    files: int | None = None


class Bench:
    """The folder of one comparison: configuration, wrappers and runs."""

    def __init__(self, folder: Path, *, times: int) -> None:
        self.folder = folder
        self.times = times
        self._calls = folder / "calls.txt"
        grids = folder / "configs" / "grid"
        grids.mkdir(parents=True)
        (grids / f"{GRID}.yaml").write_text(GRID_FILE)
        wrappers = folder / "bin"
        wrappers.mkdir()
        for name in COUNTED:
            if real := shutil.which(name):
                calls = shlex.quote(str(self._calls))
                script = wrappers / name
                script.write_text(WRAPPER.format(real=real, name=name, calls=calls))
                script.chmod(0o755)
        self._environment = os.environ | {
            "MO_HPC_CONFIGS": str(folder / "configs"),
            "PATH": f"{wrappers}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
        }

    def median(self, what: str, n_tasks: int, command: Sequence[str]) -> Cost:
        """The middle cost of a command that is run several times."""
        costs = [self.once(what, n_tasks, command) for _ in range(self.times)]
        middle = statistics.median_low([cost.wall_s for cost in costs])
        return next(cost for cost in costs if cost.wall_s == middle)

    def once(self, what: str, n_tasks: int, command: Sequence[str]) -> Cost:
        """The cost of a command; it may end with status 1, incomplete."""
        self._calls.write_text("")
        with (self.folder / "log.txt").open("a") as log:
            began = time.monotonic()
            child = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
            _, status, used = os.wait4(child.pid, 0)
            wall_s = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in (0, 1):
            raise SystemExit(f"{shlex.join(command)} failed: see {self.folder / 'log.txt'}")
        cpu_s = used.ru_utime + used.ru_stime
        return Cost(what, n_tasks, wall_s, cpu_s, used.ru_maxrss / 1024, self._counted())

    def until_submitted(self, what: str, n_tasks: int, command: Sequence[str]) -> Cost:
        """The cost of a command up to its first ``sbatch``, after which it is ended."""
        self._calls.write_text("")
        with (self.folder / "log.txt").open("a") as log:
            began_epoch_s = time.time()
            child = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
            while "sbatch" not in self._calls.read_text() and child.poll() is None:
                time.sleep(0.05)
            submitted = [line for line in self._calls.read_text().splitlines() if "sbatch" in line]
            if not submitted:
                raise SystemExit(f"{shlex.join(command)} submitted nothing: see log.txt")
            child.send_signal(signal.SIGKILL)
            _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall_s = float(submitted[0].split()[1]) - began_epoch_s
        cpu_s = used.ru_utime + used.ru_stime
        return Cost(what, n_tasks, wall_s, cpu_s, used.ru_maxrss / 1024, self._counted())

    def _counted(self) -> str:
        names = [line.split()[0] for line in self._calls.read_text().splitlines()]
        counts = {name: names.count(name) for name in COUNTED if name in names}
        return ", ".join(f"{number} {name}" for name, number in counts.items()) or "0"


def main() -> int:
    """Prints the table of costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="new folder for all runs")
    parser.add_argument("--seeds", type=int, default=1667)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--only-here", action="store_true", help="without Slurm")
    parser.add_argument("--hydra", default=None, help="a Python with hydra-submitit-launcher")
    options = parser.parse_args()
    bench = Bench(options.folder.absolute(), times=options.times)
    run, costs = own_costs(bench, options.seeds, with_slurm=not options.only_here)
    if not options.only_here:
        costs += peer_costs(bench, costs[0].n_tasks, options.hydra)
    costs += costs_when_done(bench, run, costs[0].n_tasks)
    show(costs)
    return 0


def own_costs(bench: Bench, n_seeds: int, *, with_slurm: bool) -> tuple[RunPaths, list[Cost]]:
    """What planning costs and, on Slurm, submitting and looking at what is queued."""
    seeds = f"axes.seed=[{','.join(map(str, range(n_seeds)))}]"
    n_tasks = 6 * n_seeds + 1
    grid = [f"grid={GRID}", seeds, "executor=slurm", "executor.follow=false"]
    held = "site.sbatch={hold: true}"

    plan = module("launch", *grid, f"runs_root={bench.folder / '0'}", "--dry-run", "--json")
    launch = module("launch", *grid, held, f"runs_root={bench.folder / '0'}")
    costs = [bench.median("plan (--dry-run)", n_tasks, plan)]
    if not with_slurm:
        local = [*grid[:2], "executor=local", f"runs_root={bench.folder / '0'}"]
        write = [sys.executable, "-c", WRITE, *local]
        costs.append(bench.once("plan and write", n_tasks, write))
        return runs_below(bench.folder / "0")[0], costs
    try:
        submitted = bench.once("plan, write, submit", n_tasks, launch)
        run = runs_below(bench.folder / "0")[0]
        costs.append(replace(submitted, files=n_files(run.folder)))
        costs.append(bench.median("launch again", n_tasks, launch))
        status = module("status", f"run={run.folder}")
        costs.append(bench.median("status, all queued", n_tasks, status))
    finally:
        cancel("mo_hpc-many")
    return run, costs


WRITE = """\
import sys
from mo_hpc.launch import _configuration
from mo_hpc.plan.manifest import run_folder, write_run
from mo_hpc.plan.planner import make_plan
config, explicit, text = _configuration(sys.argv[1:])
plan = make_plan(config, explicit)
write_run(run_folder(config.runs_root, plan), plan, config, text)
"""


def peer_costs(bench: Bench, n_tasks: int, hydra_python: str | None) -> list[Cost]:
    """What submitit alone and hydra-submitit-launcher take to submit."""
    folder = bench.folder / "submitit"
    loop = [sys.executable, "-c", SUBMITIT, str(folder), str(n_tasks)]
    try:
        cost = bench.once("submitit alone: submit", n_tasks, loop)
        costs = [replace(cost, files=n_files(folder))]
        cancel("many-peer")
        if hydra_python:
            costs.append(hydra_cost(bench, hydra_python))
    finally:
        cancel("many-peer")
    return costs


def hydra_cost(bench: Bench, python: str) -> Cost:
    """What hydra-submitit-launcher takes for one array of 1,000."""
    app = bench.folder / "peer_app.py"
    app.write_text(HYDRA)
    folder = bench.folder / "hydra"
    words = [
        "--multirun",
        "hydra/launcher=submitit_slurm",
        f"hydra.sweep.dir={folder}",
        "hydra.launcher.name=many-peer",
        "hydra.launcher.timeout_min=15",
        "hydra.launcher.cpus_per_task=1",
        "hydra.launcher.mem_gb=3",
        "+hydra.launcher.additional_parameters={hold:true}",
        f"+seed=range(0,{ARRAY})",
    ]
    cost = bench.until_submitted("hydra launcher: submit", ARRAY, [python, str(app), *words])
    return replace(cost, files=n_files(folder))


def costs_when_done(bench: Bench, run: RunPaths, n_tasks: int) -> list[Cost]:
    """What status and the collector take when every task has its record."""
    trained = bench.folder / "trained"
    words = (f"grid={GRID}", "executor=inline", f"runs_root={trained}")
    bench.once("train", 7, module("launch", *words))
    fill(run, runs_below(trained)[0])
    status = module("status", f"run={run.folder}")
    done = bench.median("status, all done", n_tasks, status)
    collect = module("collect", f"run={run.folder}")
    first = bench.once("collect, first time", n_tasks, collect)
    again = bench.median("collect again", n_tasks, collect)
    return [done, first, again]


def fill(run: RunPaths, trained: RunPaths) -> None:
    """Gives every task of a run the record of the trained task of its fold, numbers changed."""
    changed = random.Random(0)  # noqa: S311 - made-up numbers
    made = {fold_of(task): task for task in read_json(trained.manifest)["tasks"]}
    for task in read_json(run.manifest)["tasks"]:
        source, target = trained.task(made[fold_of(task)]["id"]), run.task(task["id"])
        spec, record = read_json(target.task), read_json(source.metrics)
        metrics = {
            name: value * changed.uniform(0.9, 1.1) if isinstance(value, float) else value
            for name, value in record["metrics"].items()
        }
        record |= {name: spec[name] for name in ("digest", "axes", "split")}
        record |= {"task_id": spec["id"], "seed": spec["train"]["seed"], "metrics": metrics}
        target.metrics.write_text(json.dumps(record, indent=1))
        link(source, target)


def fold_of(task: dict[str, Any]) -> str:
    """What the trained task and its stand-ins share: all axes but the seed."""
    return str([task["stage"], task["axes"] | {"seed": None}])


def link(source: TaskPaths, target: TaskPaths) -> None:
    """Lets a task share the other files of the task whose record it has."""
    for name in ("model", "predictions", "progress"):
        path: Path = getattr(target, name)
        path.unlink(missing_ok=True)
        path.hardlink_to(getattr(source, name))


def cancel(name: str) -> None:
    """Cancels the jobs whose name begins so."""
    command = ["squeue", "-h", "-u", str(os.getuid()), "-o", "%F %j"]
    rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    jobs = sorted({row.split()[0] for row in rows if row.split()[1].startswith(name)})
    if jobs:
        subprocess.run(["scancel", *jobs], check=True)


def module(name: str, *words: str) -> list[str]:
    """The command line of one of the project's commands."""
    return [sys.executable, "-m", f"mo_hpc.{name}", *words]


def n_files(folder: Path) -> int:
    """Files below a folder."""
    return sum(path.is_file() for path in folder.rglob("*"))


def show(costs: Sequence[Cost]) -> None:
    """Prints the table."""
    table = Table(title="Wall and CPU seconds, peak memory", box=None, width=80)
    table.add_column("command")
    for heading in ("tasks", "wall s", "CPU s", "MiB", "files"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Slurm calls")
    for cost in costs:
        table.add_row(
            cost.what,
            str(cost.n_tasks),
            f"{cost.wall_s:.1f}",
            f"{cost.cpu_s:.1f}",
            f"{cost.memory_mib:.0f}",
            "–" if cost.files is None else str(cost.files),
            cost.calls,
        )
    Console(highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m mo_hpc.launch`: plans a grid, shows it, and submits what is missing."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from rich.console import Console

from mo_hpc.container.entering import python_with
from mo_hpc.core.config import compose, names
from mo_hpc.core.errors import (
    EXIT_DONE,
    EXIT_INCOMPLETE,
    UserError,
    run_command,
)
from mo_hpc.core.libraries import READING
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.schema import RunConfig, validated
from mo_hpc.core.task import TrainTask
from mo_hpc.executors.collecting import collect_if_ended
from mo_hpc.executors.in_image import enter_with_tasks, launch_container
from mo_hpc.executors.resubmission import executor_of, launch_lock, submit_missing
from mo_hpc.plan.manifest import run_folder, write_run
from mo_hpc.plan.planner import Plan, make_plan
from mo_hpc.plan.reconcile import Wish
from mo_hpc.status import show_status
from mo_hpc.watch.live import add_watch_option, require_interval, with_interval
from mo_hpc.watch.outcome import LAUNCH_SCHEMA_VERSION, report

_DESCRIPTION = """\
Plans a grid of trainings, submits what is missing, and nothing else: running
it again is always safe. What was interrupted is resumed; what failed is tried
again by the rules in configs/retry, a Python error only with retry=failed.
"""

_EPILOG = """\
examples:
  python -m mo_hpc.launch grid=demo
  python -m mo_hpc.launch grid=lodo_full --dry-run
  python -m mo_hpc.launch grid=lodo_full dataset=mo420_replica executor=slurm
  python -m mo_hpc.launch grid=demo executor=slurm --watch
  python -m mo_hpc.launch grid=lodo_nbmotaw axes.element=[Nb] train.max_epochs=5

often used keys:
  executor=inline|local|slurm|mpi
                                where tasks run
  site=NAME                     the cluster's settings (configs/site)
  axes.AXIS=[a,b]               narrow or add an axis: element, paradigm, size,
                                protocol, shots, selection, energy_reference,
                                repeat, seed, grouped
  foundation=NAME|PATH|run:GRID the pretrained model; of an earlier run of yours
  data_root=DIR  runs_root=DIR  where datasets and runs lie
  retry=failed|none             run every failed task again, or none

exit status: 0 done or submitted, 1 incomplete or failed, 2 wrong input,
130 interrupted; what was finished is kept.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; see ``--help``."""
    options = _parser().parse_intermixed_args(with_interval(arguments))
    if options.watch is not None:
        require_interval(options.watch)
    config, explicit, yaml_text = _configuration(options.words)
    container = launch_container(config)
    enter_with_tasks(container, config, "mo_hpc.launch", arguments)
    plan = make_plan(config, explicit, python_with(READING, container))
    run = run_folder(config.runs_root, plan)
    if options.dry_run:
        return _dry_run(plan, run, config, as_json=options.json)
    _refuse_unstaged(plan)
    # Before anything is written: a run that cannot start must not become the newest one.
    specs = [task.spec for task in plan.tasks]
    executor_of(run, config).require(specs)
    # Libraries that tasks load print what they like; stdout is for the JSON document.
    with launch_lock(run), redirect_stdout(sys.stderr):
        manifest = write_run(run, plan, config, yaml_text)
        outcome = submit_missing(run, config, manifest, specs, Wish(failed=config.retry.failed))
    report(run, manifest, outcome, as_json=options.json)
    collect_if_ended(run, config, outcome)
    if options.watch is not None and config.executor.name == "slurm":
        return _watch(run, options.watch, as_json=options.json)
    if options.watch is not None:
        print(f"executor={config.executor.name} has waited; nothing to watch.", file=sys.stderr)
    return EXIT_INCOMPLETE if outcome.is_incomplete else EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    grids = textwrap.fill(f"grids: {', '.join(names('grid'))}", width=80, subsequent_indent="  ")
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.launch",
        description=_DESCRIPTION,
        epilog=f"{grids}\n\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="grid=NAME and overrides")
    parser.add_argument("--dry-run", action="store_true", help="show the plan, submit nothing")
    add_watch_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _configuration(words: Sequence[str]) -> tuple[RunConfig, dict[str, Any], str]:
    import yaml

    document, explicit = compose(words)
    image = document["site"].get("container")
    if image and "://" not in image:
        # Later commands of the run may be started elsewhere.
        document["site"]["container"] = str(Path(image).expanduser().absolute())
    config = validated(RunConfig, document, where="")
    header = f"# python -m mo_hpc.launch {' '.join(words)}\n"
    return config, explicit, header + yaml.safe_dump(document, sort_keys=False)


def _dry_run(plan: Plan, run: RunPaths, config: RunConfig, *, as_json: bool) -> int:
    specs = [task.spec for task in plan.tasks]
    preview = executor_of(run, config).preview(specs)
    if as_json:
        document = {
            "schema_version": LAUNCH_SCHEMA_VERSION,
            "run_dir": str(run.folder),
            "grid": plan.grid,
            "executor": config.executor.name,
            "dry_run": True,
            "tasks": [{"id": spec.id, "axes": spec.axes, "state": "planned"} for spec in specs],
            "submitted": [],
            "skipped": [spec.id for spec in specs],
            "splits": {
                spec.id: spec.split.model_dump(mode="json", exclude={"config"})
                for spec in specs
                if isinstance(spec, TrainTask)
            },
            "not_staged": dict(plan.to_stage),
        }
        print(json.dumps(document, indent=1))
        return EXIT_DONE
    from mo_hpc.plan.show import show_plan

    console = Console(highlight=False)
    show_plan(plan, console)
    # A path or a batch script that is broken over lines cannot be copied.
    print(f"Run directory: {run.folder}")
    print(preview)
    return EXIT_DONE


def _watch(run: RunPaths, interval_s: int, *, as_json: bool) -> int:
    """Follows what was submitted to its end; one JSON document is on stdout already."""
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        return show_status(run, watch_s=interval_s)


def _refuse_unstaged(plan: Plan) -> None:
    if plan.to_stage:
        missing = ", ".join(plan.to_stage)
        raise UserError(
            f"The plan needs foundations that are not staged: {missing}.",
            where="foundation",
            remedy="\n".join(["Run:", *plan.to_stage.values()]),
        )


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))

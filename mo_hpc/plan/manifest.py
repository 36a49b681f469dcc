"""The manifest: what a run consists of, as launch, status and collect read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import write_atomic, write_json
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.schema import RunConfig, Thresholds
from mo_hpc.core.strict import Scalar, Strict
from mo_hpc.core.task import TrainTask
from mo_hpc.core.validation import read_validated

if TYPE_CHECKING:
    from mo_hpc.plan.planner import Plan
    from mo_hpc.plan.planning import PlannedTask

MANIFEST_SCHEMA_VERSION = 1


class ManifestTask(Strict):
    """One task as the manifest lists it."""

    id: str
    digest: str
    stage: str
    axes: dict[str, Scalar]
    needs: tuple[str, ...]


class Manifest(Strict):
    """The tasks of a run, in order, with what they were planned from."""

    schema_version: int = MANIFEST_SCHEMA_VERSION
    grid: str
    description: str
    run_digest: str
    executor: str
    site: str
    dataset: str | None
    """The configured dataset; None, like its labels, where no task trains on it."""
    labels: str | None
    synthetic: bool | None
    thresholds: Thresholds = Thresholds()
    tasks: tuple[ManifestTask, ...]


def run_folder(runs_root: str, plan: Plan) -> RunPaths:
    """Where a plan's run lives: ``<runs_root>/<grid>/<run digest>``."""
    return RunPaths(Path(runs_root) / plan.grid / plan.run_digest)


def write_run(run: RunPaths, plan: Plan, config: RunConfig, yaml_text: str) -> Manifest:
    """Writes the run directory of a plan; task files that say the same are left alone.

    The manifest is always written, and last: a run directory that has one is complete, and
    the newest manifest belongs to the run that was launched last. What a loss of power takes
    of the task files, the next launch restores.
    """
    for task in plan.tasks:
        _write_task(run, task)
    trains = any(isinstance(task.spec, TrainTask) for task in plan.tasks)
    manifest = Manifest(
        grid=plan.grid,
        description=config.grid.description,
        run_digest=plan.run_digest,
        executor=config.executor.name,
        site=config.site.name,
        dataset=config.dataset.name if trains else None,
        labels=config.dataset.labels if trains else None,
        synthetic=config.dataset.synthetic if trains else None,
        thresholds=config.grid.thresholds,
        tasks=tuple(
            ManifestTask(
                id=task.spec.id,
                digest=task.spec.digest,
                stage=task.spec.stage,
                axes=task.spec.axes,
                needs=task.spec.needs,
            )
            for task in plan.tasks
        ),
    )
    write_atomic(run.config, yaml_text)
    write_json(run.manifest, manifest.model_dump(mode="json"))
    return manifest


def read_manifest(run: RunPaths) -> Manifest:
    """Reads the manifest of a run.

    Raises:
        UserError: If there is none, or it is not a manifest of this version.
    """
    try:
        return read_validated(Manifest, run.manifest)
    except UserError as error:
        if not run.manifest.exists():
            raise
        remedy = "Launch the grid again with the same words; that writes it anew."
        raise UserError(error.what, where=error.where, valid=error.valid, remedy=remedy) from None


def _write_task(run: RunPaths, task: PlannedTask) -> None:
    paths = run.task(task.spec.id)
    for path, document in task.inputs(paths).items():
        _write_if_different(path, document)
    _write_if_different(paths.task, task.spec)


def _write_if_different(path: Path, document: Strict) -> None:
    """Restores what was changed or cut short and touches nothing else."""
    content = document.model_dump_json(indent=1).encode() + b"\n"
    if not path.is_file() or path.read_bytes() != content:
        # Ten thousand tasks would wait a minute for the disk.
        write_atomic(path, content, durable=False)

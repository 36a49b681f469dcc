"""One labelling from its structures to its record."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mo_hpc.core.errors import BadDataError, StopRequested
from mo_hpc.core.files import append_line, sha256_file
from mo_hpc.core.labelling import (
    LabelledStructure,
    LabelRecord,
    LabelTask,
    Structure,
    Structures,
    frames_file,
)
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.validation import read_validated
from mo_hpc.data.progress import tracked
from mo_hpc.labelling.calculators import calculator_of
from mo_hpc.labelling.frames import ENERGY, FORCES
from mo_hpc.labelling.relaxing import relaxed
from mo_hpc.training.signals import StopFlag


def run_labelling(
    paths: TaskPaths, task: LabelTask, *, provenance: dict[str, Any], show_progress: bool
) -> LabelRecord:
    """Labels the structures of a task, from where an earlier process stopped.

    Writes a file of frames for each structure; the caller writes the record.

    Args:
        paths: The task's files; its structures are read from them.
        task: The task.
        provenance: What the record says about code and machine.
        show_progress: Whether to draw a bar on stderr.

    Raises:
        UserError: If the calculator cannot be made.
        BadDataError: If the structures are not those that were planned, or the calculator
            gives a number that is not finite.
        StopRequested: After a signal; all frames computed so far are kept.
    """
    started = time.perf_counter()
    structures = _planned_structures(paths, task).structures
    paths.relaxations.mkdir(parents=True, exist_ok=True)
    labelled: list[LabelledStructure] = []
    with StopFlag() as stop, calculator_of(task) as calculator:

        def stop_if_asked() -> None:
            if stop.is_set:
                raise StopRequested

        for structure in tracked(structures, "labelling") if show_progress else structures:
            path = frames_file(paths, structure.structure_id)
            is_new = not path.exists()
            frames, converged = relaxed(
                structure,
                calculator,
                task.relaxation,
                labels=task.calculator.labels,
                path=path,
                before_step=stop_if_asked,
            )
            labelled.append(_outcome(structure, frames, path, converged=converged))
            if is_new:
                _note_progress(paths.progress, labelled[-1], time.perf_counter() - started)
    return LabelRecord(
        kind=task.kind,
        task_id=task.id,
        digest=task.digest,
        grid=task.grid,
        stage=task.stage,
        axes=task.axes,
        design=task.design,
        labels=task.calculator.labels,
        calculator=task.calculator,
        model=task.model,
        relaxation=task.relaxation,
        structures=tuple(labelled),
        wall_time_s=time.perf_counter() - started,
        provenance=provenance,
    )


def _planned_structures(paths: TaskPaths, task: LabelTask) -> Structures:
    structures = read_validated(Structures, paths.structures)
    if structures.digest != task.structures_digest:
        raise BadDataError(
            f"{paths.structures} is not what the task was planned with. Launch again."
        )
    return structures


def _outcome(
    structure: Structure, frames: list[Atoms], path: Path, *, converged: bool
) -> LabelledStructure:
    last = frames[-1]
    return LabelledStructure(
        structure_id=structure.structure_id,
        host=structure.host,
        dopants=structure.dopants,
        n_frames=len(frames),
        converged=converged,
        energy_ev=float(last.info[ENERGY]),
        max_force_ev_per_ang=float(np.linalg.norm(last.arrays[FORCES], axis=1).max()),
        sha256=sha256_file(path),
    )


def _note_progress(path: Path, outcome: LabelledStructure, wall_time_s: float) -> None:
    line = outcome.model_dump(mode="json", include={"structure_id", "n_frames", "converged"})
    append_line(path, line | {"wall_time_s": round(wall_time_s, 3)})

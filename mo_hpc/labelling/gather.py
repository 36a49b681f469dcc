"""From the labelled structures of a run to a dataset's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ase import Atoms

from mo_hpc.core.errors import UserError, WorkIncomplete
from mo_hpc.core.files import sha256_file
from mo_hpc.core.labelling import LabelledStructure, LabelRecord, LabelTask, frames_file
from mo_hpc.core.paths import RunPaths, TaskPaths
from mo_hpc.core.record import read_task, record_if_done
from mo_hpc.core.schema import LabelKeys
from mo_hpc.data.design.folder import extended_xyz
from mo_hpc.data.design.target import Target, require_replaceable, target_of, write_dataset
from mo_hpc.labelling.frames import ENERGY, FORCES, read_frames
from mo_hpc.plan.manifest import read_manifest

_MOST_NAMED = 10

_Labelled = tuple[TaskPaths, LabelRecord, LabelledStructure]


def gather_labels(run: RunPaths, dataset: str, data_root: Path, *, partial: bool = False) -> str:
    """Writes all frames of a run's labelled structures to a dataset's file.

    Args:
        run: The run.
        dataset: Name of the dataset.
        data_root: Below which its file is written.
        partial: Whether to write it without tasks that are not done and structures that did
            not converge.

    Returns:
        A few sentences on what was read and written.

    Raises:
        UserError: If the run labels nothing, the dataset is said to have other labels or
            cannot hold relaxations, or its file is not one that this command wrote.
        WorkIncomplete: If something is missing and ``partial`` is false, or nothing is there;
            nothing is written.
    """
    target = target_of(dataset, data_root)
    found, missing = _found(run)
    usable = [each for each in found if each[2].converged]
    missing += [
        f"{structure.structure_id}: not converged after {structure.n_frames - 1} steps, the "
        f"largest force is {structure.max_force_ev_per_ang:.3f} eV/Å"
        for _, _, structure in found
        if not structure.converged
    ]
    account = _account(len(usable), missing)
    if not usable or (missing and not partial):
        hint = "To leave these out: --partial" if usable else "None is usable."
        raise WorkIncomplete(f"{account}\nNothing was written. {hint}")
    _require_same_labels(target, [record for _, record, _ in usable])
    require_replaceable(target.path)
    written = _write(target, run, usable, missing)
    return "\n".join([*([account] if missing else []), written])


def _found(run: RunPaths) -> tuple[list[_Labelled], list[str]]:
    """The labelled structures of a run, and why tasks have none."""
    found: list[_Labelled] = []
    missing = []
    labellings = 0
    for listed in read_manifest(run).tasks:
        paths = run.task(listed.id)
        if not isinstance(read_task(paths), LabelTask):
            continue
        labellings += 1
        record = record_if_done(paths, listed.id, listed.digest)
        if isinstance(record, LabelRecord):
            found += [(paths, record, structure) for structure in record.structures]
        else:
            missing.append(f"{listed.id}: its {paths.metrics.name} {record}")
    if not labellings:
        raise UserError("The run has no task that labels structures.", where=str(run.folder))
    return found, missing


def _account(n_usable: int, missing: list[str]) -> str:
    lines = [f"{n_usable} structures are labelled and converged; left out:"]
    lines += [f"  {line}" for line in missing[:_MOST_NAMED]]
    if len(missing) > _MOST_NAMED:
        lines.append(f"  and {len(missing) - _MOST_NAMED} more")
    return "\n".join(lines)


def _require_same_labels(target: Target, records: list[LabelRecord]) -> None:
    """A dataset is printed with what its configuration says of its labels."""
    for labels in dict.fromkeys(record.labels for record in records):
        if labels != target.config.labels:
            raise UserError(
                f"Dataset '{target.config.name}' says that its labels are "
                f"'{target.config.labels}'; those of the run are '{labels}'.",
                where=f"dataset={target.config.name}: labels",
                valid=[labels],
                remedy="Write a dataset configuration of your own, with these words as labels, "
                "and a file of its own.",
            )


def _write(target: Target, run: RunPaths, usable: list[_Labelled], missing: list[str]) -> str:
    frames = [frame for each in usable for frame in _frames(*each, keys=target.config.keys)]
    first = usable[0][1]
    made_from = {
        "run": str(run.folder.absolute()),
        "design": first.design,
        "labels": first.labels,
        "calculator": first.calculator.model_dump(mode="json"),
        "model": first.model and first.model.model_dump(mode="json"),
        "relaxation": first.relaxation.model_dump(mode="json"),
        "n_structures": len(usable),
        "n_frames": len(frames),
        "left_out": missing,
    }
    write_dataset(target.path, extended_xyz(frames), made_from)
    written = f"{len(frames)} frames of {len(usable)} structures"
    return f"{target.config.name}: {written}, labels {first.labels}, in {target.path}"


def _frames(
    paths: TaskPaths, _record: LabelRecord, structure: LabelledStructure, *, keys: LabelKeys
) -> Iterator[Atoms]:
    path = frames_file(paths, structure.structure_id)
    if sha256_file(path) != structure.sha256:
        raise UserError(
            "The frames are not the file that the task's record was made from.",
            where=str(path),
            remedy="Remove this file and the task's metrics.json, and launch again.",
        )
    for frame in read_frames(path.read_text()):
        for ours, theirs, store in (
            (ENERGY, keys.energy, frame.info),
            (FORCES, keys.forces, frame.arrays),
        ):
            store[theirs] = store.pop(ours)
        frame.info.pop("converged")
        yield frame

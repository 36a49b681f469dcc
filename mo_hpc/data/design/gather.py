"""From finished runs to datasets: whole trajectories with their group, and their last frames."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ase import Atoms

from mo_hpc.core.config import dataset_config
from mo_hpc.core.design import DesignConfig, VaspConfig
from mo_hpc.core.errors import UserError, WorkIncomplete
from mo_hpc.core.files import read_json, sha256_file, write_atomic, write_json
from mo_hpc.core.provenance import provenance
from mo_hpc.core.schema import DatasetConfig, LabelKeys
from mo_hpc.data.design.folder import extended_xyz
from mo_hpc.data.design.outputs import RunProblem
from mo_hpc.data.design.relaxations import Relaxation, read_relaxation
from mo_hpc.data.design.structures import DesignedStructure, designed_structures
from mo_hpc.data.location import confined
from mo_hpc.data.progress import tracked

_MOST_NAMED = 10


@dataclass(frozen=True)
class _Gathered:
    relaxations: dict[str, tuple[DesignedStructure, Relaxation]]
    problems: dict[str, RunProblem]

    @property
    def n_structures(self) -> int:
        return len(self.relaxations) + len(self.problems)


def gather(
    design: DesignConfig,
    settings: VaspConfig,
    folder: Path,
    data_root: Path,
    *,
    partial: bool = False,
) -> str:
    """Reads the runs of a design and writes the datasets that it makes.

    Args:
        design: The design that the folder was built from.
        settings: How VASP treated the structures.
        folder: Where the structures' folders lie.
        data_root: Below which the datasets' files are written.
        partial: Whether to write datasets without the structures that have no usable run.

    Returns:
        A few sentences on what was read and written.

    Raises:
        UserError: If the folder does not exist; if a dataset has not one file of its own; or
            if its file is there and is not one that this command wrote.
        WorkIncomplete: If a structure has no usable run and ``partial`` is false, or if none has
            one; nothing is written.
    """
    if not folder.is_dir():
        raise UserError(
            f"There is no folder '{folder}'.",
            where="folder",
            remedy=f"Make it with 'python -m mo_hpc.data build {design.name}', or name it with "
            "folder=DIR.",
        )
    targets = _targets(design, data_root)
    gathered = _gathered(design, settings, folder)
    if not gathered.relaxations or (gathered.problems and not partial):
        raise WorkIncomplete(_account(gathered) + _remedy(gathered))
    for target in targets:
        _require_replaceable(target.path)
    lines = [_account(gathered)] if gathered.problems else []
    return "\n".join([*lines, *(_write(target, gathered, design, settings) for target in targets)])


def _gathered(design: DesignConfig, settings: VaspConfig, folder: Path) -> _Gathered:
    gathered = _Gathered({}, {})
    for structure in tracked(list(designed_structures(design)), "reading runs"):
        name = structure.structure_id
        try:
            relaxation = read_relaxation(folder / name, structure, settings)
        except RunProblem as problem:
            gathered.problems[name] = problem
        else:
            gathered.relaxations[name] = (structure, relaxation)
    return gathered


def _account(gathered: _Gathered) -> str:
    problems = gathered.problems
    n_usable, n_all = len(gathered.relaxations), gathered.n_structures
    lines = [f"{n_usable} of {n_all} structures have a finished, converged run."]
    for state in dict.fromkeys(problem.state for problem in problems.values()):
        names = [name for name, problem in problems.items() if problem.state == state]
        lines.append(f"{state}: {len(names)}")
        lines += [f"  {name}: {problems[name]}" for name in names[:_MOST_NAMED]]
        if len(names) > _MOST_NAMED:
            lines.append(f"  and {len(names) - _MOST_NAMED} more")
    return "\n".join(lines)


def _remedy(gathered: _Gathered) -> str:
    if not gathered.relaxations:
        return "\nNothing was written."
    return "\nNothing was written. To leave these structures out: --partial"


@dataclass(frozen=True)
class _Target:
    """A dataset's file that is to be written."""

    config: DatasetConfig
    path: Path
    last_frames_only: bool


def _targets(design: DesignConfig, data_root: Path) -> list[_Target]:
    named = [(design.trajectories, False), (design.equilibrium, True)]
    targets = [_target(name, data_root, last) for name, last in named if name is not None]
    files = {target.path.resolve(): target.config.name for target in targets}
    if len(files) < len(targets):
        raise UserError(
            f"Datasets '{design.trajectories}' and '{design.equilibrium}' have the same file; "
            "nothing was written.",
            where=str(next(iter(files))),
            remedy=f"Give one of them another path: dataset={design.equilibrium}: files",
        )
    return targets


def _target(name: str, data_root: Path, last_frames_only: bool) -> _Target:
    config = dataset_config(name)
    expected = {"reader": "extxyz", "group_key": "structure_id", "host_key": "host"}
    for field, value in expected.items():
        if getattr(config, field) != value:
            raise UserError(
                f"Dataset '{name}' cannot hold a design's relaxations: its {field} is "
                f"{getattr(config, field)}.",
                where=f"dataset={name}: {field}",
                valid=[value],
            )
    return _Target(config, data_root / _only_file(config), last_frames_only)


def _only_file(config: DatasetConfig) -> PurePosixPath:
    where = f"dataset={config.name}: files"
    if len(config.files) != 1 or set("*?[") & set(config.files[0]):
        raise UserError(
            f"Dataset '{config.name}' does not say which file to write: {list(config.files)}.",
            where=where,
            remedy="Give one path below the data root, without '*', '?' and '['.",
        )
    return confined(config.files[0], where=where)


def _origin(path: Path) -> Path:
    """Beside a dataset's file: what it was made from, and its hash."""
    return path.with_name(f"{path.name}.origin.json")


def _require_replaceable(path: Path) -> None:
    """Refuses to touch a file that this command has not written, or that was changed since."""
    if not path.exists():
        return
    origin = read_json(_origin(path)) if _origin(path).is_file() else {}
    if sha256_file(path) in (origin.get("sha256"), origin.get("replaced_sha256")):
        return
    raise UserError(
        "A dataset's file is there that this command has not written; nothing was written.",
        where=str(path),
        remedy="Move it away, or choose another data root with data_root=DIR.",
    )


def _write(target: _Target, gathered: _Gathered, design: DesignConfig, settings: VaspConfig) -> str:
    runs = gathered.relaxations.values()
    frames = [frame for run in runs for frame in _frames(*run, target.config.keys)]
    if target.last_frames_only:
        frames = [frame for frame in frames if frame.info["is_final"]]
    content = extended_xyz(frames).encode()
    left_out = sum(relaxation.n_left_out for _, relaxation in runs)
    document = {
        "schema_version": 1,
        "sha256": hashlib.sha256(content).hexdigest(),
        "replaced_sha256": sha256_file(target.path) if target.path.exists() else None,
        "design": design.model_dump(mode="json"),
        "vasp": settings.model_dump(mode="json"),
        "n_structures": len(runs),
        "n_frames": len(frames),
        "n_steps_left_out": left_out,
        "sources": _counted([relaxation.source for _, relaxation in runs]),
        "structures_left_out": {name: str(why) for name, why in gathered.problems.items()},
        "provenance": provenance(),
    }
    # First, and with the hash of what is replaced: a crash between the two leaves no file
    # that the next gathering would take for somebody else's.
    write_json(_origin(target.path), document)
    write_atomic(target.path, content)
    unused = f", {left_out} steps with unconverged electrons left out" if left_out else ""
    written = f"{len(frames)} frames of {len(runs)} structures{unused}"
    return f"{target.config.name}: {written}, in {target.path}"


def _frames(structure: DesignedStructure, relaxation: Relaxation, keys: LabelKeys) -> list[Atoms]:
    frames = []
    for step in relaxation.steps:
        frame = step.atoms.copy()
        frame.info = {
            keys.energy: step.energy_ev,
            **structure.description(),
            "frame": step.number,
            "is_final": step is relaxation.steps[-1],
        }
        frame.arrays[keys.forces] = step.forces_ev_per_ang
        frames.append(frame)
    return frames


def _counted(names: Sequence[str]) -> dict[str, int]:
    return {name: names.count(name) for name in sorted(set(names))}

"""From finished runs to datasets: whole trajectories with their group, and their last frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from mo_hpc.core.design import DesignConfig, VaspConfig
from mo_hpc.core.errors import UserError, WorkIncomplete
from mo_hpc.core.schema import LabelKeys
from mo_hpc.data.design.folder import extended_xyz
from mo_hpc.data.design.outputs import RunProblem
from mo_hpc.data.design.relaxations import Relaxation, read_relaxation
from mo_hpc.data.design.structures import DesignedStructure, designed_structures
from mo_hpc.data.design.target import Target, require_replaceable, target_of, write_dataset
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
    for target, _ in targets:
        require_replaceable(target.path)
    lines = [_account(gathered)] if gathered.problems else []
    lines += [
        _write(target, gathered, design, settings, last_frames_only=last)
        for target, last in targets
    ]
    return "\n".join(lines)


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


def _targets(design: DesignConfig, data_root: Path) -> list[tuple[Target, bool]]:
    """Each dataset to write, and whether it takes the last frames only."""
    named = [(design.trajectories, False), (design.equilibrium, True)]
    targets = [(target_of(name, data_root), last) for name, last in named if name is not None]
    files = {target.path.resolve(): target.config.name for target, _ in targets}
    if len(files) < len(targets):
        raise UserError(
            f"Datasets '{design.trajectories}' and '{design.equilibrium}' have the same file; "
            "nothing was written.",
            where=str(next(iter(files))),
            remedy=f"Give one of them another path: dataset={design.equilibrium}: files",
        )
    return targets


def _write(
    target: Target,
    gathered: _Gathered,
    design: DesignConfig,
    settings: VaspConfig,
    *,
    last_frames_only: bool,
) -> str:
    runs = gathered.relaxations.values()
    frames = [frame for run in runs for frame in _frames(*run, target.config.keys)]
    if last_frames_only:
        frames = [frame for frame in frames if frame.info["is_final"]]
    left_out = sum(relaxation.n_left_out for _, relaxation in runs)
    made_from = {
        "design": design.model_dump(mode="json"),
        "vasp": settings.model_dump(mode="json"),
        "n_structures": len(runs),
        "n_frames": len(frames),
        "n_steps_left_out": left_out,
        "sources": _counted([relaxation.source for _, relaxation in runs]),
        "structures_left_out": {name: str(why) for name, why in gathered.problems.items()},
    }
    write_dataset(target.path, extended_xyz(frames), made_from)
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

"""Checks the frames of a dataset and says what is wrong with them, frame by frame."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from mo_hpc.core.schema import DatasetConfig, LabelKeys
from mo_hpc.data.describe import ReadFrame, continues_run, displacements, read_frames
from mo_hpc.data.findings import CheckReport, Finding
from mo_hpc.data.fingerprints import (
    DUPLICATE_TOLERANCE,
    NEAR_TOLERANCE,
    Surroundings,
    families,
    surroundings,
)
from mo_hpc.data.labels import finding, label_findings
from mo_hpc.data.progress import tracked
from mo_hpc.data.single_file import file_config
from mo_hpc.data.units import agrees, is_plausible, likely_units, plausible_range_ev, work_ratio

_CROWDING_ERROR = 0.5
_SAME_ENERGY_EV_PER_ATOM = 0.005


@dataclass(frozen=True)
class CheckedFrames:
    """The outcome of a check.

    Attributes:
        report: All findings.
        usable: The frames without errors, in file order.
        fingerprints: Names of their families of duplicates.
        near: Names of their families of near-duplicates.
    """

    report: CheckReport
    usable: tuple[ReadFrame, ...]
    fingerprints: tuple[str, ...]
    near: tuple[str, ...]


def check_frames(config: DatasetConfig, frames: Sequence[ReadFrame]) -> CheckedFrames:
    """Checks all frames of a dataset.

    Args:
        config: The dataset; its keys say where labels are expected.
        frames: The frames as `mo_hpc.data.describe.read_frames` gives them.
    """
    findings: list[Finding] = [] if frames else [_no_frames(config)]
    around: dict[str, Surroundings] = {}
    for frame in tracked(frames, f"checking {config.name}", total=len(frames)):
        found = [*_cell_findings(frame), *label_findings(frame, config.keys)]
        if not any(item.kind in _NO_GEOMETRY for item in found):
            around[frame.id] = surroundings(frame.atoms)
            found.extend(_contact_findings(frame, around[frame.id]))
        if not any(item.severity == "error" for item in found):
            found.extend(_unit_findings(frame, config.keys))
        findings.extend(found)
    sound = _without_errors(frames, findings)
    findings.extend(_work_findings(sound, config.keys))
    usable = _without_errors(sound, findings)
    exact, near = _families(usable, around)
    findings.extend(_twin_findings(usable, exact, near, config.keys))
    findings.extend(_trajectory_findings(usable, config))
    report = CheckReport(config.name, len(frames), len(usable), tuple(findings))
    return CheckedFrames(report, tuple(usable), tuple(exact), tuple(near))


def check_file(
    path: Path, *, energy_key: str | None = None, forces_key: str | None = None
) -> CheckReport:
    """Checks one file that is not registered.

    Raises:
        UserError: If it cannot be parsed.
    """
    config = file_config(path, energy_key=energy_key, forces_key=forces_key)
    return check_frames(config, read_frames(config, [path])).report


def _no_frames(config: DatasetConfig) -> Finding:
    selection = " that 'where' selects" if config.where else ""
    return Finding(
        "no_frames",
        "error",
        ", ".join(config.files),
        None,
        f"There is no frame{selection}.",
        "A file cut short by a full disk or an interrupted copy has to be made or copied again.",
    )


_NO_GEOMETRY = ("no_cell", "not_periodic", "bad_positions")


def _without_errors(frames: Sequence[ReadFrame], findings: Sequence[Finding]) -> list[ReadFrame]:
    errors = [item for item in findings if item.severity == "error"]
    bad_frames = {(item.file, item.frame) for item in errors}
    return [
        frame
        for frame in frames
        if (frame.file, frame.position) not in bad_frames and (frame.file, None) not in bad_frames
    ]


def _cell_findings(frame: ReadFrame) -> Iterator[Finding]:
    atoms = frame.atoms
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        yield finding(
            frame,
            "bad_positions",
            "error",
            "Some positions or cell vectors are not finite numbers.",
            "Write the frame again or remove it.",
        )
    elif abs(atoms.cell.volume) < 1e-6 * max(len(atoms), 1):
        yield finding(
            frame,
            "no_cell",
            "error",
            "The frame has no cell.",
            'Add the cell (Lattice="…" in extended XYZ) of the crystal in Å.',
        )
    elif not atoms.pbc.any():
        yield finding(
            frame,
            "not_periodic",
            "error",
            "The frame has a cell but is not periodic.",
            'Set pbc="T T T"; isolated atoms belong to energy_reference=isolated, not here.',
        )
    elif not atoms.pbc.all():
        yield finding(
            frame,
            "partly_periodic",
            "warning",
            f"The frame is periodic only along {int(atoms.pbc.sum())} of 3 cell vectors.",
            'Set pbc="T T T" unless the vacuum is meant.',
        )


def _contact_findings(frame: ReadFrame, around: Surroundings) -> Iterator[Finding]:
    if around.crowding >= _CROWDING_ERROR:
        return
    from ase.data import chemical_symbols

    pair = "-".join(chemical_symbols[number] for number in around.closest_pair)
    yield finding(
        frame,
        "atoms_too_close",
        "error",
        f"Two atoms ({pair}) are {around.closest_ang:.3g} Å apart, {around.crowding:.0%} of "
        "the sum of their covalent radii.",
        "Check that positions and cell are in Å and belong together, or remove the frame.",
    )


def _unit_findings(frame: ReadFrame, keys: LabelKeys) -> Iterator[Finding]:
    symbols = frame.atoms.get_chemical_symbols()
    energy = float(frame.atoms.info[keys.energy])
    if is_plausible(energy, symbols):
        return
    low, high = plausible_range_ev(symbols)
    message = (
        f"The energy is {energy / len(symbols):.4g} per atom; eV per atom would lie between "
        f"{low:.1f} and {high:.1f}."
    )
    if units := likely_units(energy, symbols):
        remedy = f"It would be plausible as {' or '.join(units)}: convert it to eV per cell."
        yield finding(frame, "implausible_energy", "error", message, remedy)
    else:
        remedy = "Check its unit and its zero; all-electron totals need a reference subtracted."
        yield finding(frame, "unusual_energy", "warning", message, remedy)


def _work_findings(frames: Sequence[ReadFrame], keys: LabelKeys) -> Iterator[Finding]:
    by_file: dict[str, list[ReadFrame]] = defaultdict(list)
    for frame in frames:
        by_file[frame.file].append(frame)
    for file, members in by_file.items():
        steps = (
            (displacements(before.atoms, after.atoms), before.atoms, after.atoms)
            for before, after in pairwise(members)
            if before.group == after.group
            and continues_run(before.atoms, after.atoms)
            and np.allclose(before.atoms.cell.array, after.atoms.cell.array)
        )
        ratio = work_ratio(steps, keys.energy, keys.forces)
        if ratio is not None and not agrees(ratio):
            yield Finding(
                "units_disagree",
                "error",
                file,
                None,
                f"Along its trajectories energies change by {ratio:.3g} times the work of the "
                "forces, so they are not in eV and eV/Å.",
                "A ratio of 0.037 means energies in Hartree, 0.019 forces in Hartree/Bohr times "
                "27.2, 96.5 energies in kJ/mol, -1 forces of the wrong sign: convert.",
            )


def _families(
    frames: Sequence[ReadFrame], around: dict[str, Surroundings]
) -> tuple[list[str], list[str]]:
    compositions = [frame.atoms.get_chemical_formula() for frame in frames]
    profiles = [around[frame.id].profile for frame in frames]
    exact = families(compositions, profiles, DUPLICATE_TOLERANCE)
    return exact, families(compositions, profiles, NEAR_TOLERANCE)


def _twin_findings(
    frames: Sequence[ReadFrame], exact: Sequence[str], near: Sequence[str], keys: LabelKeys
) -> Iterator[Finding]:
    first_exact: dict[str, ReadFrame] = {}
    first_near: dict[str, ReadFrame] = {}
    for frame, name, family in zip(frames, exact, near, strict=True):
        twin = first_exact.setdefault(name, frame)
        relative = first_near.setdefault(family, frame)
        if twin is not frame:
            yield _duplicate(frame, twin, keys)
        elif relative is not frame and relative.group != frame.group:
            yield finding(
                frame,
                "near_duplicate",
                "warning",
                f"The structure is nearly that of {relative.id}, of another group.",
                "Give both the same group, so that no split separates them.",
            )


def _duplicate(frame: ReadFrame, twin: ReadFrame, keys: LabelKeys) -> Finding:
    n_atoms = len(frame.atoms)
    apart = abs(frame.atoms.info[keys.energy] - twin.atoms.info[keys.energy]) / n_atoms
    if apart > _SAME_ENERGY_EV_PER_ATOM:
        return finding(
            frame,
            "conflicting_labels",
            "warning",
            f"The structure is that of {twin.id}, but the energy differs by "
            f"{1000 * apart:.3g} meV/atom.",
            "Keep the better converged of the two.",
        )
    return finding(
        frame,
        "duplicate",
        "warning",
        f"The structure is that of {twin.id}.",
        "Remove one, or give both the same group.",
    )


def _trajectory_findings(frames: Sequence[ReadFrame], config: DatasetConfig) -> Iterator[Finding]:
    by_file: dict[str, list[ReadFrame]] = defaultdict(list)
    for frame in frames:
        by_file[frame.file].append(frame)
    for file, members in by_file.items():
        undeclared = [frame for frame in members if not frame.declared_group]
        yield from _undeclared_runs(undeclared, config)
        sizes = Counter(frame.group for frame in members if frame.declared_group)
        runs = [size for size in sizes.values() if size > 1]
        if runs:
            yield Finding(
                "trajectories",
                "info",
                file,
                None,
                f"{sum(runs)} frames belong to {len(runs)} trajectories of {_range(runs)} "
                f"frames, by '{config.group_key}'.",
                "Grouped splits (split.grouped=true) keep each together.",
            )


def _range(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return str(low) if low == high else f"{low} to {high}"


def _undeclared_runs(frames: Sequence[ReadFrame], config: DatasetConfig) -> Iterator[Finding]:
    runs: dict[str, list[ReadFrame]] = defaultdict(list)
    for frame in frames:
        runs[frame.group].append(frame)
    for run in runs.values():
        if len(run) > 1:
            key = config.group_key or "structure_id"
            yield finding(
                run[0],
                "undeclared_trajectory",
                "info",
                f"The {len(run)} frames from here to #{run[-1].position} look like one "
                "trajectory and are grouped as one.",
                f"Name the trajectory of each frame in its info entry '{key}' to be sure.",
            )

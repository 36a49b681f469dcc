"""Labels of one frame: are they there, under the right key, finite and of the right shape?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mo_hpc.core.schema import LabelKeys
from mo_hpc.data.findings import Finding, Severity

if TYPE_CHECKING:
    from ase import Atoms

    from mo_hpc.data.describe import ReadFrame

_LARGEST_FORCE_EV_PER_ANG = 100.0
_NET_FORCE_WARNING = 0.005
_NET_FORCE_ERROR = 0.1


def finding(frame: ReadFrame, kind: str, severity: Severity, message: str, remedy: str) -> Finding:
    """A finding about one frame."""
    return Finding(kind, severity, frame.file, frame.position, message, remedy)


def label_findings(frame: ReadFrame, keys: LabelKeys) -> Iterator[Finding]:
    """What is wrong with a frame's energy and forces, apart from the energy's unit."""
    yield from _energy_findings(frame, keys)
    yield from _forces_findings(frame, keys)


def _energy_findings(frame: ReadFrame, keys: LabelKeys) -> Iterator[Finding]:
    value = frame.atoms.info.get(keys.energy)
    if value is None:
        yield _missing(frame, "energy", keys.energy, _energy_like(frame.atoms))
    elif not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
        yield finding(
            frame,
            "bad_energy",
            "error",
            f"The energy '{keys.energy}' is {value!r}, not a finite number.",
            "Compute the frame again or remove it.",
        )


def _forces_findings(frame: ReadFrame, keys: LabelKeys) -> Iterator[Finding]:
    forces = frame.atoms.arrays.get(keys.forces)
    if forces is None:
        yield _missing(frame, "forces", keys.forces, _forces_like(frame.atoms))
    elif forces.shape != (len(frame.atoms), 3):
        yield finding(
            frame,
            "bad_forces",
            "error",
            f"The forces '{keys.forces}' have the shape {forces.shape}, "
            f"not {(len(frame.atoms), 3)}.",
            "Write three force components for each atom.",
        )
    elif forces.dtype.kind not in "fi" or not np.isfinite(forces).all():
        yield finding(
            frame,
            "bad_forces",
            "error",
            f"Some of the forces '{keys.forces}' are not finite numbers.",
            "Compute the frame again or remove it.",
        )
    else:
        yield from _force_size_findings(frame, forces)


def _force_size_findings(frame: ReadFrame, forces: Any) -> Iterator[Finding]:
    largest = float(np.abs(forces).max())
    net = float(np.linalg.norm(forces.sum(axis=0))) / len(forces)
    if largest > _LARGEST_FORCE_EV_PER_ANG:
        yield finding(
            frame,
            "implausible_forces",
            "error",
            f"The largest force component is {largest:.4g}, not plausible in eV/Å.",
            "Convert the forces to eV/Å: from meV/Å by 0.001, from kJ/(mol Å) by 0.0103643.",
        )
    elif net > _NET_FORCE_WARNING:
        yield finding(
            frame,
            "net_force",
            "error" if net > _NET_FORCE_ERROR else "warning",
            f"The forces sum to {net * len(forces):.3g} eV/Å ({net:.2g} per atom), not to zero.",
            "Look for constrained or missing atoms, or forces of another frame.",
        )


def _missing(frame: ReadFrame, label: str, key: str, similar: Iterable[str]) -> Finding:
    names = sorted(similar)
    if not names:
        return finding(
            frame,
            f"missing_{label}",
            "error",
            f"There is no {label} '{key}'.",
            f"Add it in {'eV per cell' if label == 'energy' else 'eV/Å'}, or remove the frame.",
        )
    found = "', '".join(names)
    return finding(
        frame,
        f"wrong_{label}_key",
        "error",
        f"There is no {label} '{key}', but '{found}'.",
        f"Rename it to '{key}', or say keys.{label}: {names[0]} in the dataset's configuration "
        f"({label}_key={names[0]} for the check of a file).",
    )


def _energy_like(atoms: Atoms) -> set[str]:
    names = {key for key in atoms.info if _is_label(key, ("energy", "etot", "toten"))}
    if atoms.calc is not None and "energy" in atoms.calc.results:
        names.add("energy")
    return names


def _forces_like(atoms: Atoms) -> set[str]:
    names = {key for key in atoms.arrays if _is_label(key, ("force",))}
    if atoms.calc is not None and "forces" in atoms.calc.results:
        names.add("forces")
    return names


def _is_label(key: str, parts: tuple[str, ...]) -> bool:
    return any(part in key.lower() for part in parts)

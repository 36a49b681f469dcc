"""The demo dataset: doped molybdenum in small, with synthetic labels, in seconds.

It has the shape of the paper's design (hosts BCC and FCC, pure, single and double dopants on
neighbour shells, one short relaxation each) and, to pretrain on, homogeneous crystals of the
same elements. Labels are those of an embedded-atom potential that was never fitted to these
alloys: they say nothing about real materials.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.io import write
from ase.optimize import BFGS
from scipy.optimize import minimize_scalar

from mo_hpc.core.files import write_atomic
from mo_hpc.data.eam import EamCalculator, energy_and_forces
from mo_hpc.data.eam_parameters import EAM_PARAMETERS
from mo_hpc.data.progress import tracked

HOST = "Mo"
DOPANTS = ("Ta", "V", "W", "Zr")
SEED = 20040414
LABEL = "eam-zhou-2004-synthetic"

_SHELLS = (1, 2)
_RATTLE_ANG = 0.08
_RELAXATION_STEPS = 12
_RELAXED_EV_PER_ANG = 0.05
_FRAMES_PER_RELAXATION = 4
_VOLUME_SCALES = (0.90, 0.95, 1.00, 1.06, 1.12)
_STRAINS = 3
_RATTLES_ANG = (0.04, 0.08, 0.12, 0.16)
_DECIMALS = 6
"""Of Å, eV and eV/Å in the file."""


def build_demo(path: Path) -> None:
    """Computes the demo dataset and writes it atomically as extended XYZ."""
    random = np.random.default_rng(SEED)
    frames = [
        *tracked(_doped_frames(random), "labelling doped crystals"),
        *tracked(_homogeneous_frames(random), "labelling homogeneous crystals"),
    ]
    text = io.StringIO()
    write(text, frames, format="extxyz")
    write_atomic(path, text.getvalue())


def _doped_frames(random: np.random.Generator) -> Iterator[Atoms]:
    for host in ("bcc", "fcc"):
        for dopants, shell in _dopings():
            crystal = _doped(_host_cell(host), dopants, shell)
            name = f"{host}_{'-'.join(dopants) or HOST}" + (f"_{shell}nn" if shell else "")
            described = {
                "kind": "doped",
                "host": host,
                "dopants": "-".join(dopants) or "none",
                "n_dopants": len(dopants),
                "shell": shell,
                "structure_id": name,
            }
            crystal.positions += random.normal(0.0, _RATTLE_ANG, crystal.positions.shape)
            steps = _relaxation(crystal)
            for number, atoms in enumerate(steps):
                final = {"frame": number, "is_final": number == len(steps) - 1}
                yield _labelled(atoms, described | final)


def _dopings() -> Iterator[tuple[tuple[str, ...], int]]:
    """Dopants and neighbour shell of every doped structure; shell 0: no pair."""
    yield (), 0
    for dopant in DOPANTS:
        yield (dopant,), 0
    for pair in combinations_with_replacement(DOPANTS, 2):
        for shell in _SHELLS:
            yield pair, shell


def _host_cell(host: str) -> Atoms:
    """Sixteen atoms of the host crystal, at the potential's own lattice constant."""
    if host == "bcc":
        return bulk(HOST, "bcc", a=_lattice_constant_ang("bcc", (HOST,)), cubic=True) * (2, 2, 2)
    # The face-centred lattice as a body-centred tetragonal one: the same atom count.
    edge = _lattice_constant_ang("fcc", (HOST,))
    cubic = bulk(HOST, "fcc", a=edge, cubic=True)
    tetragonal = [[1, 1, 0], [-1, 1, 0], [0, 0, 2]]
    return make_supercell(cubic, tetragonal)


def _doped(crystal: Atoms, dopants: Sequence[str], shell: int) -> Atoms:
    sites = [0]
    if shell:
        distances = np.round(crystal.get_distances(0, range(len(crystal)), mic=True), 3)
        radius = np.unique(distances)[shell]
        sites.append(int(np.flatnonzero(distances == radius)[0]))
    for site, dopant in zip(sites, dopants, strict=False):
        crystal.symbols[site] = dopant
    return crystal


def _relaxation(crystal: Atoms) -> list[Atoms]:
    """Frames of a short relaxation in a fixed cell, the rattled start first."""
    crystal.calc = EamCalculator()
    optimizer = BFGS(crystal, logfile=None)
    path = optimizer.irun(fmax=_RELAXED_EV_PER_ANG, steps=_RELAXATION_STEPS)
    steps = [crystal.copy() for _ in path]
    chosen = np.linspace(0, len(steps) - 1, _FRAMES_PER_RELAXATION).round().astype(int)
    return [steps[number] for number in chosen]


def _homogeneous_frames(random: np.random.Generator) -> Iterator[Atoms]:
    for prototype, symbols in _prototypes():
        ideal = _crystal(prototype, symbols, _lattice_constant_ang(prototype, symbols))
        described = {
            "kind": "homogeneous",
            "host": prototype,
            "structure_id": f"crystal_{prototype}_{'-'.join(symbols)}",
        }
        for number, (perturbation, atoms) in enumerate(_perturbed(ideal, random)):
            extra = {"frame": number, "perturbation": perturbation, "is_final": False}
            yield _labelled(atoms, described | extra)


def _prototypes() -> Iterator[tuple[str, tuple[str, ...]]]:
    for element in (HOST, *DOPANTS):
        yield "bcc", (element,)
        yield "fcc", (element,)
    for dopant in DOPANTS:
        yield "b2", (HOST, dopant)


def _perturbed(ideal: Atoms, random: np.random.Generator) -> Iterator[tuple[str, Atoms]]:
    for scale in _VOLUME_SCALES:
        yield "volume", _deformed(ideal, np.eye(3) * scale ** (1 / 3))
    for _ in range(_STRAINS):
        strain = random.normal(0.0, 0.03, (3, 3))
        strained = _deformed(ideal, np.eye(3) + 0.5 * (strain + strain.T))
        strained.positions += random.normal(0.0, 0.03, strained.positions.shape)
        yield "strain", strained
    for rattle in _RATTLES_ANG:
        scale = random.uniform(0.92, 1.10)
        rattled = _deformed(ideal, np.eye(3) * scale ** (1 / 3))
        rattled.positions += random.normal(0.0, rattle, rattled.positions.shape)
        yield "rattle", rattled


def _deformed(ideal: Atoms, deformation: Any) -> Atoms:
    atoms = ideal.copy()
    atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
    return atoms


def _crystal(prototype: str, symbols: Sequence[str], edge_ang: float) -> Atoms:
    if prototype == "b2":
        crystal = bulk(symbols[0], "bcc", a=edge_ang, cubic=True)
        crystal.symbols[1] = symbols[1]
        return crystal
    return bulk(symbols[0], prototype, a=edge_ang, cubic=True)


@lru_cache(maxsize=64)
def _lattice_constant_ang(prototype: str, symbols: tuple[str, ...]) -> float:
    """The cubic edge in Å at which the potential has its energy minimum."""
    bond = float(np.mean([EAM_PARAMETERS[symbol].re for symbol in symbols]))
    guess = bond * (np.sqrt(2.0) if prototype == "fcc" else 2.0 / np.sqrt(3.0))
    minimum = minimize_scalar(
        lambda edge: energy_and_forces(_crystal(prototype, symbols, edge))[0],
        bounds=(0.9 * guess, 1.1 * guess),
        method="bounded",
    )
    return float(round(minimum.x, 4))


def _labelled(atoms: Atoms, described: dict[str, Any]) -> Atoms:
    """A bare frame with its labels, for the file.

    Rounded, because linear algebra differs in the last digits between processors: the same
    file, and with it the same splits, everywhere.
    """
    labelled = Atoms(
        numbers=atoms.numbers,
        positions=atoms.positions.round(_DECIMALS),
        cell=atoms.cell.array.round(_DECIMALS),
        pbc=True,
    )
    energy, forces = energy_and_forces(labelled)
    labelled.info = {"REF_energy": round(energy, _DECIMALS), **described, "label": LABEL}
    labelled.arrays["REF_forces"] = forces.round(_DECIMALS)
    return labelled

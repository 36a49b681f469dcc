"""The embedded-atom labeller against published values and finite differences; the demo set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.units import GPa
from scipy.optimize import minimize_scalar

from mo_hpc.core.config import dataset_config
from mo_hpc.core.errors import UserError
from mo_hpc.core.index import DatasetIndex
from mo_hpc.data.demo import DOPANTS, build_demo
from mo_hpc.data.eam import CUTOFF_ANG, EamCalculator, energy_and_forces
from mo_hpc.data.eam_parameters import EAM_PARAMETERS
from mo_hpc.data.ensure import ensure_index
from mo_hpc.data.frames import load_frames


def _energy_per_atom(edge_ang: float) -> float:
    return energy_and_forces(bulk("Mo", "bcc", a=edge_ang))[0]


def test_molybdenum_has_the_published_lattice_energy_and_stiffness() -> None:
    best = minimize_scalar(_energy_per_atom, bounds=(3.0, 3.3), method="bounded")
    assert best.x == pytest.approx(3.150, abs=0.001)
    assert best.fun == pytest.approx(-6.81, abs=0.005)
    volume, step = best.x**3 / 2, 0.2
    energies = [_energy_per_atom((2 * (volume + dv)) ** (1 / 3)) for dv in (-step, 0.0, step)]
    curvature = (energies[0] - 2 * energies[1] + energies[2]) / step**2
    assert volume * curvature / GPa == pytest.approx(262, rel=0.02)


@pytest.mark.parametrize("symbols", [("Mo", "Zr"), ("W", "Ta"), ("V", "Al"), ("Cr", "Fe")])
def test_forces_are_the_derivative_of_the_energy(symbols: tuple[str, str]) -> None:
    atoms = bulk(symbols[0], "bcc", a=3.1, cubic=True) * (2, 2, 2)
    atoms.symbols[[0, 3, 9]] = symbols[1]
    atoms.positions += np.random.default_rng(5).normal(0.0, 0.15, atoms.positions.shape)
    _, forces = energy_and_forces(atoms)
    for atom, axis in ((0, 0), (3, 1), (7, 2)):
        energies = []
        for step in (1e-5, -1e-5):
            moved = atoms.copy()
            moved.positions[atom, axis] += step
            energies.append(energy_and_forces(moved)[0])
        assert forces[atom, axis] == pytest.approx((energies[1] - energies[0]) / 2e-5, abs=1e-6)
    assert np.abs(forces.sum(axis=0)).max() < 1e-10


@pytest.mark.parametrize("symbol", EAM_PARAMETERS)
def test_the_energy_goes_smoothly_to_zero_at_the_cutoff(symbol: str) -> None:
    def dimer(distance: float) -> float:
        return energy_and_forces(Atoms([symbol] * 2, [[0, 0, 0], [distance, 0, 0]], cell=[40] * 3))[
            0
        ]

    assert dimer(CUTOFF_ANG - 1e-3) == pytest.approx(dimer(CUTOFF_ANG + 1e-3), abs=1e-7)


def test_the_ase_calculator_gives_the_same_numbers() -> None:
    atoms = bulk("Mo", "bcc", a=3.1, cubic=True)
    atoms.positions[0] += 0.1
    energy, forces = energy_and_forces(atoms)
    atoms.calc = EamCalculator()
    assert atoms.get_potential_energy() == energy
    assert np.array_equal(atoms.get_forces(), forces)


def test_an_element_without_parameters_is_named() -> None:
    with pytest.raises(UserError, match="Nb"):
        energy_and_forces(bulk("Nb", "bcc", a=3.3))


@pytest.fixture(scope="module")
def demo_index(cache_root: Path) -> DatasetIndex:
    return ensure_index(dataset_config("demo"), cache_root / "no-data", cache_root)


def test_the_demo_has_the_shape_of_the_papers_design(demo_index: DatasetIndex) -> None:
    doped = [frame for frame in demo_index.frames if frame.tags["kind"] == "doped"]
    final = [frame for frame in doped if frame.tags["is_final"]]
    n_structures = 1 + len(DOPANTS) + 2 * len(DOPANTS) * (len(DOPANTS) + 1) // 2
    assert Counter(frame.host for frame in final) == {"bcc": n_structures, "fcc": n_structures}
    assert len(doped) == 4 * len(final)
    assert {frame.n_atoms for frame in doped} == {16}
    assert demo_index.n_problems == 0


def test_every_demo_fold_has_frames_to_test_and_to_train_on(demo_index: DatasetIndex) -> None:
    final = [frame for frame in demo_index.frames if frame.tags["is_final"]]
    for dopant in DOPANTS:
        holding = [frame for frame in final if dopant in frame.composition]
        alone = [frame for frame in final if frame.solutes("Mo") == {dopant}]
        assert 0 < len(alone) < len(holding) < len(final) / 2


def test_demo_structures_are_all_different_and_grouped(demo_index: DatasetIndex) -> None:
    assert len({frame.fingerprint for frame in demo_index.frames}) == len(demo_index.frames)
    kinds: dict[str, set[str]] = {}
    for frame in demo_index.frames:
        kinds.setdefault(frame.group, set()).add(str(frame.tags["kind"]))
    assert all(len(found) == 1 for found in kinds.values())


def test_demo_relaxations_go_downhill(cache_root: Path) -> None:
    frames = load_frames(dataset_config("demo"), cache_root / "no-data", cache_root)
    runs: dict[str, list[float]] = {}
    for frame in frames:
        if frame.info["tags"]["kind"] == "doped":
            runs.setdefault(frame.info["group"], []).append(frame.info["REF_energy"])
    assert all(energies[-1] < energies[0] for energies in runs.values())


def test_building_twice_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("one.xyz", "other.xyz"):
        build_demo(tmp_path / name)
    assert (tmp_path / "one.xyz").read_bytes() == (tmp_path / "other.xyz").read_bytes()

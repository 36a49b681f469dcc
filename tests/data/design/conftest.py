"""A small design, relaxations of it, and files as VASP would have left them (all synthetic)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.optimize import FIRE

from mo_hpc.core.design import DesignConfig, VaspConfig, design_config, vasp_config
from mo_hpc.data.design.structures import designed_structures
from mo_hpc.data.eam import EamCalculator

FREE_MINUS_EXTRAPOLATED_EV = -0.02
DATASET = """\
name: {name}
description: for tests
reader: extxyz
files: [{name}/{name}.xyz]
group_key: structure_id
host_key: host
tag_keys: [is_final, dopants, n_dopants, shell]
labels: EAM
source: {{kind: local, how_to_get: Ask the tester., licence: none}}
"""
DESIGN = """\
name: my_design
description: for tests
hosts: [{name: bcc, lattice: bcc, supercell_edge_ang: 6.3, repeat: [2, 2, 2]}]
dopants: [W, Ta]
pair_shells: [1]
vasp: materials_project
trajectories: my_steps
equilibrium: my_finals
"""


@pytest.fixture
def own_design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DesignConfig:
    """A design of six structures with its two datasets, in a folder of the user's own."""
    folder = tmp_path / "configs"
    for group in ("dataset", "design"):
        (folder / group).mkdir(parents=True)
    for name in ("my_steps", "my_finals"):
        (folder / "dataset" / f"{name}.yaml").write_text(DATASET.format(name=name))
    (folder / "design" / "my_design.yaml").write_text(DESIGN)
    monkeypatch.setenv("MO_HPC_CONFIGS", str(folder))
    return design_config("my_design")


@pytest.fixture
def settings() -> VaspConfig:
    """The settings that designs take."""
    return vasp_config("materials_project")


@dataclass
class Leaver:
    """Leaves the relaxation of a structure in its folder, as one program or another would."""

    nsw: int = 99
    nelm: int = 60
    ediffg: float = -0.02
    unconverged_steps: tuple[int, ...] = ()
    cut: bool = False

    def vasprun(self, folder: Path, frames: list[Atoms]) -> Path:
        """Writes the parts of a vasprun.xml that are read."""
        steps = "".join(self._calculation(n, frame) for n, frame in enumerate(frames))
        start = _xml_structure(frames[0], ' name="initialpos"')
        atoms = "".join(f"<rc><c>{s} </c><c> 1</c></rc>" for s in frames[0].symbols)
        text = (
            '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n'
            '<generator><i name="program" type="string">a test, synthetic</i></generator>\n'
            '<kpoints><varray name="kpointlist"><v>0 0 0</v></varray>'
            '<varray name="weights"><v>1.0</v></varray></kpoints>\n'
            f'<parameters><i type="int" name="NELM">  {self.nelm}</i>'
            f'<i type="int" name="NSW">  {self.nsw}</i>'
            f'<i name="EDIFFG">  {self.ediffg}</i></parameters>\n'
            f'<atominfo><array name="atoms"><set>{atoms}</set></array></atominfo>\n'
            f"{start}{steps}</modeling>\n"
        )
        return self._write(folder / "vasprun.xml", text)

    def _calculation(self, number: int, frame: Atoms) -> str:
        energy = frame.get_potential_energy()
        energies = (
            f'<energy><i name="e_fr_energy">{energy + FREE_MINUS_EXTRAPOLATED_EV:.8f}</i>'
            f'<i name="e_0_energy">{energy:.8f}</i></energy>'
        )
        n_electronic = self.nelm if number in self.unconverged_steps else 9
        forces = "".join(f"<v>{_numbers(row)}</v>" for row in frame.get_forces())
        return (
            "<calculation>\n"
            + f"<scstep>{energies}</scstep>\n" * n_electronic
            + _xml_structure(frame, "")
            + f'<varray name="forces">{forces}</varray>\n{energies}\n</calculation>\n'
        )

    def outcar(self, folder: Path, frames: list[Atoms]) -> Path:
        """Writes the parts of an OUTCAR that are read."""
        symbols = list(dict.fromkeys(frames[0].get_chemical_symbols()))
        counts = [frames[0].get_chemical_symbols().count(symbol) for symbol in symbols]
        potcars = "".join(f" POTCAR:    PAW_PBE {symbol} 01Jan2000\n" for symbol in symbols)
        header = (
            f" a test, synthetic\n{potcars}{potcars}"
            f"   ions per type =    {' '.join(map(str, counts))}\n"
            "   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1"
            "   number of bands    NBANDS=      1\n"
            " k-points in reciprocal lattice and weights: x\n   0.0 0.0 0.0   1.0\n\n"
            "   ISPIN  =      2    spin polarized calculation?\n"
            f"   NSW    =     {self.nsw}    number of steps for IOM\n"
            f"   EDIFFG = {self.ediffg:.1E}   stopping-criterion for IOM\n"
        )
        steps = "".join(self._outcar_step(n, frame) for n, frame in enumerate(frames))
        end = " General timing and accounting informations for this job:\n"
        return self._write(folder / "OUTCAR", header + steps + end)

    def _outcar_step(self, number: int, frame: Atoms) -> str:
        energy = frame.get_potential_energy()
        loop = "aborting loop because EDIFF is reached"
        if number in self.unconverged_steps:
            loop = "aborting loop EDIFF was not reached (unconverged)"
        cell = "".join(f" {_numbers(row)} 0.0 0.0 0.0\n" for row in frame.cell.array)
        rows = np.hstack([frame.positions, frame.get_forces()])
        return (
            f"--- Iteration {number + 1:6d}(   1) ---\n"
            f"------------------------ {loop} ----------\n"
            f"      direct lattice vectors          reciprocal lattice vectors\n{cell}"
            " POSITION                                       TOTAL-FORCE (eV/Angst)\n"
            " ----------------\n" + "".join(f" {_numbers(row)}\n" for row in rows) + " ------\n"
            "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  ------\n"
            f"  free  energy   TOTEN  =   {energy + FREE_MINUS_EXTRAPOLATED_EV:.8f} eV\n\n"
            f"  energy  without entropy=  {energy:.8f}  energy(sigma->0) =  {energy:.8f}\n"
        )

    def _write(self, path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text[: 2 * len(text) // 3] if self.cut else text)
        return path

    def trajectory(self, folder: Path, frames: list[Atoms]) -> Path:
        """Writes the steps as extended XYZ."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "trajectory.xyz"
        write(path, frames, format="extxyz")
        return path


@pytest.fixture
def leave() -> type[Leaver]:
    """What leaves runs in folders."""
    return Leaver


def _xml_structure(frame: Atoms, attribute: str) -> str:
    basis = "".join(f"<v>{_numbers(row)}</v>" for row in frame.cell.array)
    inside = "".join(f"<v>{_numbers(row)}</v>" for row in frame.get_scaled_positions())
    return (
        f'<structure{attribute}><crystal><varray name="basis">{basis}</varray></crystal>'
        f'<varray name="positions">{inside}</varray></structure>\n'
    )


def _numbers(row: np.ndarray) -> str:
    return " ".join(f"{value:.8f}" for value in row)


@pytest.fixture
def relaxed() -> Callable[..., list[Atoms]]:
    """Relaxes a structure in its cell: all steps, with their energies and forces."""

    def relax(atoms: Atoms, fmax: float = 0.01) -> list[Atoms]:
        atoms = atoms.copy()
        atoms.calc = EamCalculator()
        frames = []
        for _ in FIRE(atoms, logfile=None).irun(fmax=fmax, steps=200):
            frame = atoms.copy()
            results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
            frame.calc = SinglePointCalculator(frame, **results)
            frames.append(frame)
        return frames

    return relax


@pytest.fixture
def finished(
    own_design: DesignConfig, relaxed: Callable[..., list[Atoms]], tmp_path: Path
) -> dict[str, list[Atoms]]:
    """The relaxations of all structures of the design; their folders are in `calculations`."""
    return {each.structure_id: relaxed(each.atoms) for each in designed_structures(own_design)}

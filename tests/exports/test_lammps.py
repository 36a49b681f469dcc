"""The forms for LAMMPS: fed as LAMMPS feeds them, and run by a LAMMPS where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones

from mo_hpc.core.errors import WorkIncomplete
from mo_hpc.exports.lammps_check import check_text, structure_text
from mo_hpc.exports.lammps_forms import SETTINGS, lammps_content
from mo_hpc.exports.lammps_view import lammps_view
from mo_hpc.exports.parity import lammps_parity, recorded_predictions


def small_cell() -> Atoms:
    """Two atoms in a skew cell far smaller than the cutoff: most neighbours are ghosts."""
    atoms = bulk("Mo", "bcc", a=3.16, cubic=True)
    atoms.symbols[1] = "W"
    atoms.set_cell(
        atoms.cell.array + np.array([[0, 0.2, 0], [0.1, 0, 0], [0, 0.3, 0.1]]), scale_atoms=True
    )
    atoms.positions[0] += [0.11, -0.07, 0.05]
    return atoms


@pytest.fixture(scope="module", autouse=True)
def _double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_pairs_are_those_within_the_cutoff():
    atoms, cutoff = small_cell(), 4.5
    view = lammps_view(atoms, ["Mo", "W"], cutoff)
    offsets = np.array(list(np.ndindex(9, 9, 9))) - 4
    wanted = sorted(
        (i, j, round(float(np.linalg.norm(vector)), 9))
        for i in range(2)
        for j in range(2)
        for vector in atoms.positions[j] + offsets @ atoms.cell.array - atoms.positions[i]
        if 0 < np.linalg.norm(vector) < cutoff
    )
    lengths = np.linalg.norm(view.rij, axis=1)
    owners = view.owner[view.pair_j]
    found = sorted(zip(view.pair_i, owners, lengths.round(9).tolist(), strict=True))
    assert np.allclose(found, wanted, atol=1e-8)
    assert view.pair_i.max() < view.nlocal == 2 < view.ntotal
    assert set(view.pair_j) | {0, 1} == set(range(view.ntotal))
    assert (view.elems == np.array([0, 1])[view.owner]).all()


def test_exchanges_are_each_others_transpose():
    """What goes out to ghosts comes back as the gradient: <A x, y> = <x, A^T y>."""
    view = lammps_view(small_cell(), ["Mo", "W"], 4.5)
    x, y = torch.randn(2, view.ntotal, 3, generator=torch.Generator().manual_seed(1))
    forth, back = torch.empty_like(x), torch.empty_like(y)
    view.forward_exchange(x, forth, 3)
    view.reverse_exchange(y, back, 3)
    assert float((forth * y).sum()) == pytest.approx(float((x * back).sum()))
    assert torch.equal(forth[: view.nlocal], x[: view.nlocal])


@pytest.mark.parametrize("form", ["mliap", "mace"])
def test_a_form_computes_what_its_model_computes_and_no_other_does(models, form):
    frames = [small_cell(), *recorded_predictions(models[0]).frames[:1]]
    content = lammps_content(models[0], form)
    parity = lammps_parity(content, form, models[0], frames)
    assert parity.n_frames == 2
    assert parity.energy_ev_per_atom < 1e-9
    assert parity.force_ev_per_ang < 1e-9
    with pytest.raises(WorkIncomplete, match="differs from"):
        lammps_parity(content, form, models[1], frames)


def test_input_lines_name_the_elements_in_the_order_of_the_model(exported):
    folder, card = exported
    elements = card["elements"]["known"]
    for form, style in (
        ("mliap", "mliap unified model_mliap.pt 0"),
        ("mace", "mace no_domain_decomposition model_mace.pt"),
    ):
        for name in (f"in_{form}.lammps", f"check_model_{form}.lammps"):
            text = (folder / name).read_text()
            assert re.search(rf"^pair_style +{re.escape(style)}$", text, re.MULTILINE)
            assert re.search(rf"^pair_coeff +\* \* {' '.join(elements)}$", text, re.MULTILINE)
    types = re.findall(
        r"^ *(\d+) +[\d.]+ +# (\w+)$", (folder / "check.data").read_text(), re.MULTILINE
    )
    assert types == [(str(number), symbol) for number, symbol in enumerate(elements, 1)]


def test_the_check_structure_is_a_test_frame(exported, models):
    frame = recorded_predictions(models[0]).frames[0]
    read = ase.io.read(exported[0] / "check.data", format="lammps-data", atom_style="atomic")
    assert read.get_chemical_symbols() == frame.get_chemical_symbols()
    assert np.allclose(read.get_all_distances(mic=True), frame.get_all_distances(mic=True))


# -- with a LAMMPS ----------------------------------------------------------------------


@pytest.fixture(scope="session")
def lammps():
    """Runs `lmp` on an input file; exit status and output."""
    program = shutil.which("lmp")
    if program is None:
        pytest.skip("No LAMMPS: no program `lmp` on the path.")

    def run(name, folder):
        command = [program, "-in", name, "-log", "none"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize(("shift_ev", "held"), [(0.0, True), (1e-3, False)])
def test_the_check_holds_where_energies_agree_and_only_there(lammps, tmp_path, shift_ev, held):
    """With a potential that ASE and LAMMPS both have; the skew cell is turned by LAMMPS."""
    atoms = small_cell()
    atoms.calc = LennardJones(sigma=2.3, epsilon=0.1, rc=6.0, smooth=False)
    pair = "pair_style lj/cut 6.0\npair_modify shift yes\npair_coeff * * 0.1 2.3\n"
    energy_ev = atoms.get_potential_energy() + shift_ev
    text = SETTINGS + check_text("check.data", pair, energy_ev, atoms.get_forces())
    (tmp_path / "check.data").write_text(structure_text(atoms, ["Mo", "W"]))
    (tmp_path / "check.lammps").write_text(text)
    code, output = lammps("check.lammps", tmp_path)
    assert (code == 0) is held, output
    assert ("PARITY HELD" if held else "PARITY FAILED") in output


@pytest.mark.parametrize("form", ["mliap", "mace"])
def test_lammps_computes_what_the_model_computes(lammps, exported, form):
    code, output = lammps(f"check_model_{form}.lammps", exported[0])
    for unable in ("Unrecognized pair style", "requires ML-IAP with python support"):
        if unable in output:
            pytest.skip(f"This LAMMPS cannot load the form '{form}': {unable}.")
    assert code == 0, output
    assert "PARITY HELD" in output

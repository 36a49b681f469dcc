"""The folder of a design: what is written, and that nothing of the user's is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.calculators.vasp.create_input import GenerateVaspInput
from ase.io import read

from mo_hpc.core.design import design_config
from mo_hpc.core.errors import UserError
from mo_hpc.data.design.folder import write_design
from mo_hpc.data.design.structures import designed_structures
from mo_hpc.data.design.vasp_inputs import vasp_inputs


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_every_structure_has_its_files(own_design, settings, tmp_path):
    said = write_design(own_design, settings, tmp_path / "mine")
    assert "6 structures" in said
    assert "1 pure, 2 with one dopant, 3 with two" in said
    names = {"structure.xyz", "INCAR", "KPOINTS", "POSCAR", "POTCAR.spec"}
    ids = {each.structure_id for each in designed_structures(own_design)}
    assert set(contents(tmp_path / "mine")) == {
        "README.txt",
        *(f"{each}/{name}" for each in ids for name in names),
    }
    described = read(tmp_path / "mine" / "bcc_Ta-W_1nn" / "structure.xyz").info
    assert described == {
        "structure_id": "bcc_Ta-W_1nn",
        "host": "bcc",
        "dopants": "Ta-W",
        "n_dopants": 2,
        "shell": 1,
    }


def test_the_same_command_again_changes_nothing(own_design, settings, tmp_path):
    write_design(own_design, settings, tmp_path / "mine")
    (tmp_path / "mine" / "bcc_W" / "POTCAR").write_text("the user's")
    (tmp_path / "mine" / "bcc_Ta" / "KPOINTS").unlink()
    before = contents(tmp_path / "mine")
    assert "1 files written, 30 were there" in write_design(own_design, settings, tmp_path / "mine")
    after = contents(tmp_path / "mine")
    assert {name for name in after if before.get(name) != after[name]} == {"bcc_Ta/KPOINTS"}


def test_a_changed_file_is_never_overwritten(own_design, settings, tmp_path):
    write_design(own_design, settings, tmp_path / "mine")
    (tmp_path / "mine" / "bcc_W" / "INCAR").write_text("ENCUT = 600\n")
    (tmp_path / "mine" / "bcc_W" / "KPOINTS").unlink()
    before = contents(tmp_path / "mine")
    with pytest.raises(UserError) as caught:
        write_design(own_design, settings, tmp_path / "mine")
    assert "bcc_W/INCAR" in str(caught.value)
    assert contents(tmp_path / "mine") == before


def test_inputs_of_the_paper_are_what_they_are_said_to_be(settings):
    structures = designed_structures(design_config("mo420"))
    chosen = next(each for each in structures if each.structure_id == "fcc_Fe-Ti_2nn")
    files = vasp_inputs(chosen.atoms, settings)
    incar = dict(line.split(" = ") for line in files["INCAR"].splitlines() if " = " in line)
    assert incar["GGA"] == "PE"
    assert incar["ISPIN"] == "2"
    assert float(incar["ENCUT"]) == 520
    assert float(incar["EDIFFG"]) == -0.02
    assert incar["MAGMOM"].split() == ["106*0.6000", "1*5.0000", "1*0.6000"]
    assert files["KPOINTS"].splitlines()[2:4] == ["Gamma", "2 2 2"]
    assert files["POTCAR.spec"] == "Mo_pv\nFe_pv\nTi_pv\n"


def test_a_program_reads_back_what_was_written(settings, tmp_path):
    structure = list(designed_structures(design_config("mo_new_elements")))[3]
    for name, text in vasp_inputs(structure.atoms, settings).items():
        (tmp_path / name).write_text(text)
    poscar = read(tmp_path / "POSCAR", format="vasp")
    assert list(poscar.symbols) == list(structure.atoms.symbols)
    assert poscar.positions == pytest.approx(structure.atoms.positions)
    inputs = GenerateVaspInput()
    inputs.read_incar(str(tmp_path / "INCAR"))
    assert inputs.int_params["isif"] == 2
    assert inputs.exp_params["ediff"] == 1e-5
    assert len(inputs.list_float_params["magmom"]) == 128


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"incar": {"ENCUTT": 520}}, "INCAR tag=ENCUT?"),
        ({"incar": {"MAGMOM": 1}}, "initial_moments_mu_b"),
        ({"potcars": {"Mo": "Mo_pv"}}, "no POTCAR for Ta"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(
    change, message, own_design, settings, tmp_path
):
    with pytest.raises(UserError) as caught:
        write_design(own_design, settings.model_copy(update=change), tmp_path / "mine")
    assert message in str(caught.value)
    assert not (tmp_path / "mine").exists()

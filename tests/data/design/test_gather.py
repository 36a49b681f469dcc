"""From runs that VASP (here a synthetic writer) and others left, to datasets."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read

from mo_hpc.core.config import dataset_config
from mo_hpc.core.errors import UserError, WorkIncomplete, run_command
from mo_hpc.data.__main__ import main
from mo_hpc.data.design.gather import gather
from mo_hpc.data.design.outputs import RunProblem
from mo_hpc.data.design.relaxations import read_relaxation
from mo_hpc.data.design.structures import designed_structures
from mo_hpc.data.index import check_and_index


@pytest.fixture
def structure(own_design):
    """One structure of the design, with two dopants."""
    found = {each.structure_id: each for each in designed_structures(own_design)}
    return found["bcc_Ta-W_1nn"]


@pytest.fixture
def frames(structure, relaxed):
    """Its relaxation."""
    return relaxed(structure.atoms)


def problem_of(folder, structure, settings) -> tuple[str, str]:
    with pytest.raises(RunProblem) as caught:
        read_relaxation(folder, structure, settings)
    return caught.value.state, str(caught.value)


# -- one run ----------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["vasprun", "outcar", "trajectory"])
@pytest.mark.parametrize("energy", ["sigma_to_zero", "free"])
def test_a_run_is_read_whole(program, energy, leave, frames, structure, settings, tmp_path):
    getattr(leave(), program)(tmp_path, frames)
    settings = settings.model_copy(update={"energy": energy})
    relaxation = read_relaxation(tmp_path, structure, settings)
    assert len(relaxation.steps) == len(frames) > 2
    # The extended XYZ of another program has one energy only.
    shift_ev = -0.02 if energy == "free" and program != "trajectory" else 0.0
    for number, (step, frame) in enumerate(zip(relaxation.steps, frames, strict=True)):
        assert step.number == number
        assert step.energy_ev == pytest.approx(frame.get_potential_energy() + shift_ev, abs=1e-6)
        assert step.forces_ev_per_ang == pytest.approx(frame.get_forces(), abs=1e-6)
        assert list(step.atoms.numbers) == list(frame.numbers)
        moved = step.atoms.get_scaled_positions() - frame.get_scaled_positions()
        assert abs(moved - moved.round()).max() < 1e-6


@pytest.mark.parametrize("program", ["vasprun", "outcar"])
def test_compressed_output_is_read(program, leave, frames, structure, settings, tmp_path):
    path = getattr(leave(), program)(tmp_path, frames)
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert len(read_relaxation(tmp_path, structure, settings).steps) == len(frames)


@pytest.mark.parametrize("program", ["vasprun", "outcar"])
@pytest.mark.parametrize(
    ("fields", "n_frames", "state", "words"),
    [
        ({"cut": True}, None, "unfinished", "cut short"),
        ({}, 2, "not converged", "after 2 steps the largest force is"),
        ({"ediffg": 1e-4, "nsw": 2}, 2, "not converged", "NSW"),
        ({"unconverged_steps": (1,)}, 2, "not converged", "electrons of the last step"),
    ],
)
def test_a_run_that_is_not_done_is_refused(
    program, fields, n_frames, state, words, leave, frames, structure, settings, tmp_path
):
    getattr(leave(**fields), program)(tmp_path, frames[:n_frames])
    found = problem_of(tmp_path, structure, settings)
    assert found[0] == state
    assert words in found[1]


@pytest.mark.parametrize("program", ["vasprun", "outcar"])
def test_steps_with_unconverged_electrons_are_left_out(
    program, leave, frames, structure, settings, tmp_path
):
    getattr(leave(unconverged_steps=(1, 2)), program)(tmp_path, frames)
    relaxation = read_relaxation(tmp_path, structure, settings)
    assert relaxation.n_left_out == 2
    assert [step.number for step in relaxation.steps] == [0, *range(3, len(frames))]


@pytest.mark.parametrize("program", ["vasprun", "outcar"])
def test_other_criteria_of_convergence_are_known(
    program, leave, frames, structure, settings, tmp_path
):
    """An energy criterion met before NSW, and a single point."""
    for number, fields in enumerate(({"ediffg": 1e-4, "nsw": 3}, {"nsw": 0})):
        folder = tmp_path / str(number)
        getattr(leave(**fields), program)(folder, frames[: 2 - number])
        assert len(read_relaxation(folder, structure, settings).steps) == 2 - number


def test_a_file_may_say_itself_whether_it_converged(leave, frames, structure, settings, tmp_path):
    for declared in (True, False):
        frames[1].info["converged"] = declared
        leave().trajectory(tmp_path, frames[:2])
        if declared:
            assert len(read_relaxation(tmp_path, structure, settings).steps) == 2
        else:
            assert problem_of(tmp_path, structure, settings)[0] == "not converged"


@pytest.mark.parametrize("declared", ["no", "yes", "maybe", 0, 1])
def test_convergence_is_declared_by_t_or_f_only(
    declared, leave, frames, structure, settings, tmp_path
):
    frames[-1].info["converged"] = declared
    leave().trajectory(tmp_path, frames)
    state, words = problem_of(tmp_path, structure, settings)
    assert state == "unreadable"
    assert f"converged={declared}" in words


def test_a_run_of_another_structure_is_refused(
    leave, relaxed, structure, finished, settings, tmp_path
):
    other_elements = tmp_path / "elements"
    leave().vasprun(other_elements, finished["bcc_W-W_1nn"])
    assert "is of Mo14W2" in problem_of(other_elements, structure, settings)[1]

    other_cell, other_sites = tmp_path / "cell", tmp_path / "sites"
    atoms = structure.atoms.copy()
    atoms.set_cell(atoms.cell.array * 1.02, scale_atoms=True)
    leave().vasprun(other_cell, relaxed(atoms))
    assert "another cell" in problem_of(other_cell, structure, settings)[1]

    atoms = structure.atoms.copy()
    atoms.positions[[0, -1]] = atoms.positions[[-1, 0]]
    leave().vasprun(other_sites, relaxed(atoms))
    assert "from its site" in problem_of(other_sites, structure, settings)[1]


def test_garbage_and_nothing_are_told_apart(leave, frames, structure, settings, tmp_path):
    assert problem_of(tmp_path, structure, settings)[0] == "missing"
    path = leave().vasprun(tmp_path, frames)
    start, step, rest = path.read_text().partition("<calculation>")
    path.write_text(start + step + rest.replace("</v>", "", 1))
    state, words = problem_of(tmp_path, structure, settings)
    assert state == "unreadable"
    assert f"{len(frames)} steps" in words
    for frame in frames:
        frame.calc = None
    path.unlink()
    leave().trajectory(tmp_path, frames)
    assert "no energy or no forces" in problem_of(tmp_path, structure, settings)[1]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("label", ["energy", "forces"])
@pytest.mark.parametrize("number", [0, -1])
@pytest.mark.parametrize("program", ["vasprun", "trajectory"])
def test_labels_that_are_not_finite_are_unreadable(
    program, number, label, value, leave, frames, structure, settings, tmp_path
):
    frames[-1].info["converged"] = True
    results = frames[number].calc.results
    results[label] = results[label] + value
    getattr(leave(), program)(tmp_path, frames)
    state, words = problem_of(tmp_path, structure, settings)
    assert state == "unreadable"
    assert f"step {number % len(frames)}: {label} has a value that is not" in words


def test_labels_of_another_form_are_unreadable(leave, frames, structure, settings, tmp_path):
    frames[1].info["REF_energy"] = "none"
    leave().trajectory(tmp_path, frames)
    assert "step 1: energy cannot be read" in problem_of(tmp_path, structure, settings)[1]
    del frames[1].info["REF_energy"]
    frames[1].arrays["REF_forces"] = frames[1].get_forces()[:, 0]
    leave().trajectory(tmp_path, frames)
    state, words = problem_of(tmp_path, structure, settings)
    assert state == "unreadable"
    assert "step 1: forces has shape (16,)" in words


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("what", ["positions", "cell"])
def test_a_geometry_that_is_not_finite_is_unreadable(
    what, number, leave, frames, structure, settings, tmp_path
):
    if what == "cell":
        frames[number].cell[0, 0] = np.nan
    else:
        frames[number].positions[0, 0] = np.nan
    leave().trajectory(tmp_path, frames)
    state, words = problem_of(tmp_path, structure, settings)
    assert state == "unreadable"
    assert f"step {number}: {what} has a value that is not" in words


@pytest.mark.parametrize("program", ["vasprun", "outcar", "trajectory"])
def test_a_step_in_another_cell_is_unreadable(
    program, leave, frames, structure, settings, tmp_path
):
    last = frames[-1]
    last.set_cell(last.cell.array * 1.02)
    last.calc = SinglePointCalculator(last, **last.calc.results)
    getattr(leave(), program)(tmp_path, frames)
    state, words = problem_of(tmp_path, structure, settings)
    assert state == "unreadable"
    assert f"step {len(frames) - 1} has another cell" in words


def test_a_step_of_other_elements_is_unreadable(leave, frames, structure, settings, tmp_path):
    frames[1].symbols[-1] = "Re"
    leave().trajectory(tmp_path, frames)
    state, words = problem_of(tmp_path, structure, settings)
    assert state == "unreadable"
    assert "step 1 is of" in words


@pytest.mark.parametrize("name", ["vasprun.xml.gz", "OUTCAR.gz", "trajectory.xyz.gz"])
def test_what_is_not_compressed_although_its_name_says_so_is_unreadable(
    name, structure, settings, tmp_path
):
    (tmp_path / name).write_bytes(b"not what gzip writes")
    state, words = problem_of(tmp_path, structure, settings)
    assert state == "unreadable"
    assert name in words


def test_a_trajectory_that_is_cut_short_is_unreadable(leave, frames, structure, settings, tmp_path):
    path = leave().trajectory(tmp_path, frames)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-3]))
    assert problem_of(tmp_path, structure, settings)[0] == "unreadable"
    compressed = tmp_path / "trajectory.xyz.gz"
    compressed.write_bytes(gzip.compress("".join(lines).encode())[:-99])
    path.unlink()
    assert problem_of(tmp_path, structure, settings)[0] == "unreadable"


# -- a whole design ---------------------------------------------------------------------


@pytest.fixture
def calculations(finished, leave, tmp_path):
    """The folder of the design, with a run of one program or another for each structure."""
    folder = tmp_path / "calculations"
    programs = ("vasprun", "outcar", "trajectory")
    for number, (name, steps) in enumerate(finished.items()):
        getattr(leave(), programs[number % 3])(folder / name, steps)
    return folder


def test_datasets_are_what_the_registry_reads(
    calculations, own_design, settings, finished, tmp_path
):
    said = gather(own_design, settings, calculations, tmp_path / "data")
    n_steps = sum(map(len, finished.values()))
    assert f"my_steps: {n_steps} frames of 6 structures" in said
    assert "my_finals: 6 frames of 6 structures" in said
    for name, n_frames in (("my_steps", n_steps), ("my_finals", 6)):
        report, index = check_and_index(dataset_config(name), tmp_path / "data", tmp_path / "cache")
        assert report.count("error") == 0
        assert len(index.frames) == n_frames
        assert {frame.group for frame in index.frames} == set(finished)
        assert {frame.host for frame in index.frames} == {"bcc"}
    written = read(tmp_path / "data" / "my_steps" / "my_steps.xyz", ":")
    for name, steps in finished.items():
        ours = [frame for frame in written if frame.info["structure_id"] == name]
        assert [frame.info["frame"] for frame in ours] == list(range(len(steps)))
        assert [frame.info["is_final"] for frame in ours] == [*[False] * (len(steps) - 1), True]
        last = steps[-1].get_potential_energy()
        assert ours[-1].info["REF_energy"] == pytest.approx(last, abs=1e-6)


def test_nothing_is_written_while_a_run_is_missing(calculations, own_design, settings, tmp_path):
    for path in (calculations / "bcc_Ta").iterdir():
        path.unlink()
    with pytest.raises(WorkIncomplete) as caught:
        gather(own_design, settings, calculations, tmp_path / "data")
    assert "5 of 6 structures" in str(caught.value)
    assert "bcc_Ta: There is none of" in str(caught.value)
    assert not (tmp_path / "data").exists()

    said = gather(own_design, settings, calculations, tmp_path / "data", partial=True)
    assert "my_finals: 5 frames of 5 structures" in said
    origin = json.loads((tmp_path / "data/my_finals/my_finals.xyz.origin.json").read_text())
    assert list(origin["structures_left_out"]) == ["bcc_Ta"]
    assert origin["provenance"]["libraries"]["ase"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("trajectory.xyz", b"16\n\nMo 0.0 0.0 0.0\n"), ("vasprun.xml.gz", b"not what gzip writes")],
)
def test_a_damaged_run_is_listed_and_does_not_keep_the_others_back(
    name, content, calculations, own_design, settings, tmp_path
):
    for path in (calculations / "bcc_Ta").iterdir():
        path.unlink()
    (calculations / "bcc_Ta" / name).write_bytes(content)
    with pytest.raises(WorkIncomplete) as caught:
        gather(own_design, settings, calculations, tmp_path / "data")
    assert "unreadable: 1" in str(caught.value)
    assert f"bcc_Ta: {name} cannot be read" in str(caught.value)
    said = gather(own_design, settings, calculations, tmp_path / "data", partial=True)
    assert "my_finals: 5 frames of 5 structures" in said


def test_what_was_gathered_is_replaced_and_what_was_not_is_kept(
    calculations, own_design, settings, tmp_path
):
    data = tmp_path / "data"
    held_back = (calculations / "bcc_Mo").rename(tmp_path / "bcc_Mo")
    gather(own_design, settings, calculations, data, partial=True)
    held_back.rename(calculations / "bcc_Mo")
    assert "6 frames of 6" in gather(own_design, settings, calculations, data)

    file = data / "my_finals" / "my_finals.xyz"
    file.write_text(file.read_text() + "\n")
    with pytest.raises(UserError, match="has not written"):
        gather(own_design, settings, calculations, data)
    assert file.read_text().endswith("\n\n")


def test_a_dataset_that_cannot_hold_groups_is_refused(calculations, own_design, settings, tmp_path):
    other = own_design.model_copy(update={"trajectories": "nbmotaw"})
    with pytest.raises(UserError, match="cannot hold"):
        gather(other, settings, calculations, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("[my_steps/my_steps.xyz]", "the same file"),
        ("[./my_steps//my_steps.xyz]", "the same file"),
        ("[link/my_steps.xyz]", "the same file"),
        ("[my_finals/a.xyz, my_finals/b.xyz]", "which file"),
        ("[]", "which file"),
        ("['my_finals/*.xyz']", "which file"),
        ("['my_finals/[ab].xyz']", "which file"),
        ("[../my_finals.xyz]", "leaves the folder"),
    ],
)
def test_a_dataset_without_one_file_of_its_own_is_refused(
    files, message, calculations, own_design, settings, tmp_path
):
    registered = tmp_path / "configs" / "dataset" / "my_finals.yaml"
    text = registered.read_text()
    registered.write_text(text.replace("[my_finals/my_finals.xyz]", files))
    assert registered.read_text() != text
    data = tmp_path / "data"
    data.mkdir()
    (data / "link").symlink_to("my_steps")
    with pytest.raises(UserError, match=message):
        gather(own_design, settings, calculations, data)
    assert [path.name for path in data.iterdir()] == ["link"]


def test_the_commands_build_and_gather_a_design_of_the_users_own(
    own_design, finished, leave, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = [f"data_root={tmp_path / 'data'}", "folder=runs of mine"]
    assert run_command(main, ["build", "my_design", words[1]]) == 0
    assert "6 structures in runs of mine" in capsys.readouterr().out
    for name, steps in list(finished.items())[:4]:
        leave().vasprun(tmp_path / "runs of mine" / name, steps)
    assert run_command(main, ["gather", "my_design", *words]) == 1
    assert "4 of 6 structures" in capsys.readouterr().err
    assert run_command(main, ["gather", "my_design", *words, "--partial"]) == 0
    assert "my_finals: 4 frames of 4 structures" in capsys.readouterr().out

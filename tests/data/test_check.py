"""A fault put into a frame is found in that frame, and sound frames stay silent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mo_hpc.core.config import dataset_config
from mo_hpc.core.schema import DatasetConfig
from mo_hpc.data.check import check_file, check_frames
from mo_hpc.data.describe import read_frames
from mo_hpc.data.findings import CheckReport
from mo_hpc.data.index import check_and_index

Damage = Callable[[Atoms], None]


def _no_energy(frame: Atoms) -> None:
    del frame.info["REF_energy"]


def _no_forces(frame: Atoms) -> None:
    del frame.arrays["REF_forces"]


def _nan_energy(frame: Atoms) -> None:
    frame.info["REF_energy"] = float("nan")


def _nan_force(frame: Atoms) -> None:
    frame.arrays["REF_forces"][3, 1] = np.nan


def _other_energy_key(frame: Atoms) -> None:
    frame.info["dft_energy"] = frame.info.pop("REF_energy")


def _other_forces_key(frame: Atoms) -> None:
    frame.arrays["dft_forces"] = frame.arrays.pop("REF_forces")


def _times(factor: float) -> Damage:
    def damage(frame: Atoms) -> None:
        frame.info["REF_energy"] *= factor

    return damage


def _forces_in_mev(frame: Atoms) -> None:
    frame.arrays["REF_forces"] *= 1000


def _net_force(frame: Atoms) -> None:
    frame.arrays["REF_forces"][:, 2] += 0.5


def _collision(frame: Atoms) -> None:
    frame.positions[5] = frame.positions[4] + (0.8, 0.0, 0.0)


def _no_cell(frame: Atoms) -> None:
    frame.cell[:] = 0
    frame.pbc = False


def _not_periodic(frame: Atoms) -> None:
    frame.pbc = False


def _nan_position(frame: Atoms) -> None:
    frame.positions[2, 0] = np.nan


FAULTS: dict[str, tuple[Damage, str, str]] = {
    "energy missing": (_no_energy, "missing_energy", "REF_energy"),
    "forces missing": (_no_forces, "missing_forces", "REF_forces"),
    "energy not finite": (_nan_energy, "bad_energy", "nan"),
    "forces not finite": (_nan_force, "bad_forces", "finite"),
    "energy under another key": (_other_energy_key, "wrong_energy_key", "dft_energy"),
    "forces under another key": (_other_forces_key, "wrong_forces_key", "dft_forces"),
    "energy in Hartree": (_times(1 / 27.211386), "implausible_energy", "Hartree"),
    "energy in kJ/mol": (_times(96.485332), "implausible_energy", "kJ/mol"),
    "energy in kcal/mol": (_times(23.060548), "implausible_energy", "kcal/mol"),
    "energy in meV": (_times(1000), "implausible_energy", "meV"),
    "energy per atom": (_times(1 / 16), "implausible_energy", "per atom"),
    "forces in meV/Å": (_forces_in_mev, "implausible_forces", "0.001"),
    "net force": (_net_force, "net_force", "sum to 8"),
    "atoms too close": (_collision, "atoms_too_close", "0.8 Å"),
    "no cell": (_no_cell, "no_cell", "cell"),
    "not periodic": (_not_periodic, "not_periodic", "pbc"),
    "position not finite": (_nan_position, "bad_positions", "finite"),
}


def _checked(path: Path, config: DatasetConfig) -> CheckReport:
    return check_frames(config, read_frames(config, [path])).report


@pytest.fixture
def frames(crystal: Callable[..., Atoms]) -> list[Atoms]:
    dopants = ("Ta", "W", "V", "Zr")
    return [crystal(seed, dopant=dopant, rattle_ang=0.1) for seed, dopant in enumerate(dopants)]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_in_its_frame_and_nowhere_else(
    fault: str,
    frames: list[Atoms],
    write_sample: Callable[[Sequence[Atoms]], Path],
    make_config: Callable[..., DatasetConfig],
) -> None:
    damage, kind, mentioned = FAULTS[fault]
    damage(frames[2])
    report = _checked(write_sample(frames), make_config())
    errors = [finding for finding in report.findings if finding.severity == "error"]
    assert {(finding.file, finding.frame) for finding in errors} == {("sample.xyz", 2)}
    (found,) = [finding for finding in errors if finding.kind == kind]
    assert mentioned in found.line()
    assert "\n" not in found.line()
    assert report.n_usable == len(frames) - 1


def test_sound_frames_have_no_findings(
    frames: list[Atoms],
    write_sample: Callable[[Sequence[Atoms]], Path],
    make_config: Callable[..., DatasetConfig],
) -> None:
    assert _checked(write_sample(frames), make_config()).findings == ()


def test_labels_in_ase_own_keys_are_recognised(
    frames: list[Atoms], write_sample: Callable[[Sequence[Atoms]], Path]
) -> None:
    for frame in frames:
        energy, forces = frame.info.pop("REF_energy"), frame.arrays.pop("REF_forces")
        frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces)
    path = write_sample(frames)
    kinds = {finding.kind for finding in check_file(path).findings}
    assert kinds == {"wrong_energy_key", "wrong_forces_key"}
    assert check_file(path, energy_key="energy", forces_key="forces").findings == ()


def test_duplicates_name_their_twin_and_conflicting_labels_are_told_apart(
    frames: list[Atoms],
    write_sample: Callable[[Sequence[Atoms]], Path],
    make_config: Callable[..., DatasetConfig],
) -> None:
    copy = frames[0][list(range(15, -1, -1))]
    conflicting = frames[1].copy()
    conflicting.info["REF_energy"] += 1.6
    near = frames[2].copy()
    near.positions[7] += 0.001
    path = write_sample([*frames, copy, conflicting, near])
    found = {finding.frame: finding for finding in _checked(path, make_config()).findings}
    assert {number: finding.kind for number, finding in found.items()} == {
        4: "duplicate",
        5: "conflicting_labels",
        6: "near_duplicate",
    }
    assert "sample.xyz#0" in found[4].message
    assert "100 meV/atom" in found[5].message
    assert "sample.xyz#2" in found[6].message


def _relaxation(crystal: Callable[..., Atoms], factor: float = 1.0) -> list[Atoms]:
    """Frames on a straight way to the ideal sites, whose energies follow from the forces."""
    frames = [crystal(1, rattle_ang=rattle) for rattle in np.linspace(0.12, 0.02, 9)]
    mean = float(np.mean([frame.info["REF_energy"] for frame in frames]))
    for frame in frames:
        frame.info["REF_energy"] = mean + factor * (frame.info["REF_energy"] - mean)
    return frames


def test_an_undeclared_trajectory_is_recognised_and_grouped(
    crystal: Callable[..., Atoms],
    frames: list[Atoms],
    write_sample: Callable[[Sequence[Atoms]], Path],
    make_config: Callable[..., DatasetConfig],
) -> None:
    path = write_sample([*_relaxation(crystal), *frames[1:]])
    config = make_config()
    groups = [frame.group for frame in read_frames(config, [path])]
    assert groups[:9] == ["sample.xyz#0"] * 9
    assert groups[9:] == [f"sample.xyz#{number}" for number in range(9, 12)]
    notes = [f for f in _checked(path, config).findings if f.kind == "undeclared_trajectory"]
    assert [note.frame for note in notes] == [0]


def test_a_declared_trajectory_is_counted_once(
    crystal: Callable[..., Atoms],
    write_sample: Callable[[Sequence[Atoms]], Path],
    make_config: Callable[..., DatasetConfig],
) -> None:
    frames = _relaxation(crystal)
    for frame in frames:
        frame.info["structure_id"] = "run1"
    report = _checked(write_sample(frames), make_config(group_key="structure_id"))
    (note,) = [finding for finding in report.findings if finding.kind == "trajectories"]
    assert "9 frames belong to 1 trajectories" in note.message


@pytest.mark.parametrize("factor", [0.1, 27.2, -1.0])
def test_energies_that_do_not_follow_the_forces_are_an_error(
    factor: float,
    crystal: Callable[..., Atoms],
    write_sample: Callable[[Sequence[Atoms]], Path],
    make_config: Callable[..., DatasetConfig],
) -> None:
    sound = _checked(write_sample(_relaxation(crystal)), make_config())
    assert not sound.count("error")
    wrong = _checked(write_sample(_relaxation(crystal, factor)), make_config())
    (found,) = [finding for finding in wrong.findings if finding.severity == "error"]
    assert found.kind == "units_disagree"
    stated = float(found.message.split("change by ")[1].split(" times")[0])
    assert stated == pytest.approx(factor, rel=0.02)
    assert wrong.n_usable == 0


def test_an_unknown_zero_of_energy_is_only_a_warning(
    frames: list[Atoms],
    write_sample: Callable[[Sequence[Atoms]], Path],
    make_config: Callable[..., DatasetConfig],
) -> None:
    for frame in frames:
        frame.info["REF_energy"] -= 16 * 1900.0
    report = _checked(write_sample(frames), make_config())
    assert {finding.kind for finding in report.findings} == {"unusual_energy"}
    assert report.n_usable == len(frames)


def test_many_findings_of_a_kind_are_cut_unless_all_are_wanted(
    crystal: Callable[..., Atoms],
    write_sample: Callable[[Sequence[Atoms]], Path],
    make_config: Callable[..., DatasetConfig],
) -> None:
    frames = [crystal(seed) for seed in range(12)]
    for frame in frames:
        _no_energy(frame)
    report = _checked(write_sample(frames), make_config())
    assert report.text(show_all=False).count("error:") == 5
    assert "7 more of the kind missing_energy" in report.text(show_all=False)
    assert report.text(show_all=True).count("error:") == 12


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["monbtita", "nbmotaw", "mo_new_elements_replica"])
def test_real_data_are_free_of_errors(name: str, shared_data_root: Path, tmp_path: Path) -> None:
    report, index = check_and_index(dataset_config(name), shared_data_root, tmp_path)
    assert report.count("error") == 0
    assert index.n_problems == 0
    assert len(index.frames) == {"monbtita": 194, "nbmotaw": 5282}.get(name, 79)

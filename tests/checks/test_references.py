"""The shipped reference values, against what they were taken from."""

from __future__ import annotations

import csv
import json
from importlib.resources import files
from itertools import combinations_with_replacement

import numpy as np
import pytest
from ase.collections import dcdft

from mo_hpc.checks.references import references
from mo_hpc.core.checks import STUDY_DOPANTS
from mo_hpc.core.config import dataset_config
from mo_hpc.core.elements import SYMBOLS
from mo_hpc.data.readers import ExtxyzReader


def rows(name):
    text = (files("mo_hpc.checks") / "reference" / f"{name}.csv").read_text()
    return list(csv.DictReader(line for line in text.splitlines() if line[0] != "#"))


def value(name, subject, labels):
    (found,) = [each for each in references("Mo", name, subject) if each.labels == labels]
    return found.value


def test_every_value_has_a_source_and_none_is_there_twice():
    sources = {row["source"] for row in rows("sources")}
    keys = [(row["name"], row["subject"], row["source"]) for row in rows("Mo")]
    assert {key[2] for key in keys} == sources
    assert len(set(keys)) == len(keys)
    assert all(row["labels"] and row["citation"] for row in rows("sources"))


def test_published_crystal_is_the_one_that_ase_ships():
    published = dcdft.data["Mo"]
    for labels, key in (("PBE, all electrons", "wien2k"), ("experiment", "exp")):
        volume = published[f"{key}_volume"]
        assert value("lattice_constant_ang", "bcc", labels) == pytest.approx(
            (2 * volume) ** (1 / 3), abs=1e-4
        )
        assert value("equilibrium_volume_ang3_per_atom", "bcc", labels) == pytest.approx(
            volume, abs=1e-4
        )
        assert value("bulk_modulus_gpa", "bcc", labels) == pytest.approx(
            published[f"{key}_B"], abs=0.05
        )
        assert value("bulk_modulus_derivative", "bcc", labels) == pytest.approx(
            published[f"{key}_Bp"], abs=0.005
        )


def test_teacher_is_never_called_dft_and_has_every_pair_of_the_design():
    teacher = [row for row in rows("Mo") if row["source"] == "teacher"]
    (labels,) = {row["labels"] for row in rows("sources") if row["source"] == "teacher"}
    assert "not DFT" in labels
    pairs = {row["subject"] for row in teacher if row["name"] == "binding_energy_ev"}
    eleven = sorted(STUDY_DOPANTS[:11])
    assert pairs == {
        f"{a}-{b} {shell}nn"
        for a, b in combinations_with_replacement(eleven, 2)
        for shell in (1, 2, 3)
    }
    single = {row["subject"] for row in teacher if row["name"] == "substitution_energy_ev"}
    assert single == set(STUDY_DOPANTS) - {"Mn", "Hg"}
    assert single < set(SYMBOLS)


def test_another_host_has_no_references():
    assert references("W", "lattice_constant_ang", "bcc") == ()


class Published:
    """The strained cells and slabs of Mo in the dataset nbmotaw."""

    def __init__(self, data_root):
        folder = data_root / "mirror" / dataset_config("nbmotaw").files[0].rpartition("/")[0]
        self.strained = list(self._read(folder / "Mo_Elastic.json"))
        self.slabs = list(self._read(folder / "Mo_Surface.json"))
        self.cell, self.crystal_ev_per_atom, _ = next(
            (cell, outputs["energy"] / n_atoms, outputs)
            for n_atoms, cell, outputs in self.strained
            if np.ptp(np.diag(cell)) < 1e-4 and abs(cell[0, 0] - 3.169) < 1e-3
            if np.abs(cell - np.diag(np.diag(cell))).max() < 1e-6
        )

    @staticmethod
    def _read(path):
        for entry in json.loads(path.read_text()):
            cell = np.array(entry["structure"]["lattice"]["matrix"])
            yield len(entry["structure"]["sites"]), cell, entry["outputs"]

    def slope_gpa(self, strain, stress):
        """Of stress against strain without strain, by a cubic polynomial; indices of both."""
        points = []
        for _, cell, outputs in self.strained:
            distortion = np.linalg.solve(self.cell, cell) - np.eye(3)
            green = 0.5 * (distortion + distortion.T + distortion @ distortion.T)
            others = np.abs(np.delete(green[np.triu_indices(3)], strain)).max()
            if others < (5e-4 if strain in (0, 3, 5) else 5e-3):
                amount = (distortion if strain in (0, 3, 5) else 2 * green)[np.triu_indices(3)]
                points.append((amount[strain], outputs["stress"][stress]))
        x, y = np.array(points).T
        assert len(x) > 15
        # VASP gives kilobars, and counts pressure positive.
        return -0.1 * np.polyfit(x, y, 3)[-2]


@pytest.fixture(scope="module")
def published(shared_data_root):
    return Published(shared_data_root)


@pytest.mark.shared_data
def test_elastic_constants_are_those_of_the_published_cells(published):
    labels = "PBE (VASP)"
    c11, c12 = published.slope_gpa(0, 0), published.slope_gpa(0, 1)
    assert value("lattice_constant_ang", "bcc", labels) == pytest.approx(
        published.cell[0, 0], abs=1e-4
    )
    assert value("c11_gpa", "bcc", labels) == pytest.approx(c11, abs=0.5)
    assert value("c12_gpa", "bcc", labels) == pytest.approx(c12, abs=0.5)
    assert value("c44_gpa", "bcc", labels) == pytest.approx(published.slope_gpa(1, 3), abs=0.5)
    assert value("bulk_modulus_gpa", "bcc", labels) == pytest.approx((c11 + 2 * c12) / 3, abs=0.5)
    assert value("tetragonal_shear_modulus_gpa", "bcc", labels) == pytest.approx(
        (c11 - c12) / 2, abs=0.5
    )


@pytest.mark.shared_data
def test_surface_energies_are_those_of_the_published_slabs(published):
    """A facet is known by the area of its cell: a², a²/√2 and √3 a² per atom of a layer."""
    a_ang = published.cell[0, 0]
    wanted = {"(100)": (8, 1.0), "(110)": (6, np.sqrt(0.5)), "(111)": (12, np.sqrt(3))}
    for subject, (n_atoms, area) in wanted.items():
        (found,) = [
            (outputs["energy"] - n * published.crystal_ev_per_atom) / 2 / size * 16.02177
            for n, cell, outputs in published.slabs
            if n == n_atoms
            and (size := np.linalg.norm(np.cross(cell[0], cell[1])))
            == pytest.approx(area * a_ang**2, rel=5e-3)
        ]
        assert value("surface_energy_j_per_m2", subject, "PBE (VASP)") == pytest.approx(
            found, abs=0.005
        )


@pytest.mark.slow
@pytest.mark.shared_data
def test_binding_energies_are_those_of_the_replicas_final_frames(shared_data_root):
    config = dataset_config("mo420_replica")
    energies = {}
    for frame in ExtxyzReader().read(shared_data_root / config.files[0], config):
        if frame.info["is_final"]:
            key = frame.info["dopants"], int(frame.info["shell"])
            energies[key] = frame.info["REF_energy"]
    labels = "teacher nequix-oam-1, not DFT"
    pairs = [key for key in energies if key[1]]
    assert len(pairs) == 198
    for dopants, shell in pairs:
        apart = sum(energies[symbol, 0] for symbol in dopants.split("-"))
        bound = apart - energies[dopants, shell] - energies["none", 0]
        shipped = value("binding_energy_ev", f"{dopants} {shell}nn", labels)
        assert shipped == pytest.approx(bound, abs=1e-3), (dopants, shell)

"""Every reader keeps the same contract; broken files are refused with file and frame."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from mo_hpc.core.errors import UserError
from mo_hpc.core.registry import READERS
from mo_hpc.core.schema import DatasetConfig, LabelKeys
from mo_hpc.data.readers import read_file
from mo_hpc.data.single_file import file_config


class ReaderContract:
    """What every reader promises; a reader's test class inherits it and says how to write."""

    reader: str
    broken = "no frames here\n"

    def store(self, folder: Path, frames: list[Atoms]) -> Path:
        """Writes labelled frames in the reader's format."""
        raise NotImplementedError

    @pytest.fixture
    def frames(self, crystal: Callable[..., Atoms]) -> list[Atoms]:
        return [crystal(seed) for seed in range(3)]

    @pytest.fixture
    def config(self, make_config: Callable[..., DatasetConfig]) -> DatasetConfig:
        return make_config(reader=self.reader)

    def test_keeps_structures_and_labels_in_file_order(
        self, tmp_path: Path, frames: list[Atoms], config: DatasetConfig
    ) -> None:
        read = list(read_file(self.store(tmp_path, frames), config))
        assert len(read) == len(frames)
        for one, other in zip(read, frames, strict=True):
            assert list(one.symbols) == list(other.symbols)
            assert np.allclose(one.positions, other.positions, atol=1e-6)
            assert np.allclose(one.cell.array, other.cell.array)
            assert one.pbc.all()
            assert one.info["REF_energy"] == pytest.approx(other.info["REF_energy"])
            assert np.allclose(one.arrays["REF_forces"], other.arrays["REF_forces"], atol=1e-6)

    def test_puts_labels_under_the_configured_keys(
        self, tmp_path: Path, frames: list[Atoms], make_config: Callable[..., DatasetConfig]
    ) -> None:
        renamed = make_config(reader=self.reader, keys=LabelKeys(energy="E_dft", forces="F_dft"))
        for frame in frames:
            frame.info["E_dft"] = frame.info.pop("REF_energy")
            frame.arrays["F_dft"] = frame.arrays.pop("REF_forces")
        read = list(read_file(self.store(tmp_path, frames), renamed))
        assert all("E_dft" in frame.info and "F_dft" in frame.arrays for frame in read)

    def test_names_the_file_that_it_cannot_parse(
        self, tmp_path: Path, frames: list[Atoms], config: DatasetConfig
    ) -> None:
        path = self.store(tmp_path, frames)
        path.write_text(self.broken)
        with pytest.raises(UserError) as caught:
            list(read_file(path, config))
        assert path.name in str(caught.value)


class TestExtxyzReader(ReaderContract):
    reader = "extxyz"

    def store(self, folder: Path, frames: list[Atoms]) -> Path:
        write(folder / "frames.xyz", frames, format="extxyz")
        return folder / "frames.xyz"

    def test_reads_gzip(self, tmp_path: Path, frames: list[Atoms], config: DatasetConfig) -> None:
        plain = self.store(tmp_path, frames)
        packed = tmp_path / "frames.xyz.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        assert len(list(read_file(packed, config))) == len(frames)

    def test_says_at_which_frame_a_cut_file_ends(
        self, tmp_path: Path, frames: list[Atoms], config: DatasetConfig
    ) -> None:
        path = self.store(tmp_path, frames)
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[: 2 * 18 + 7]))
        with pytest.raises(UserError, match=r"cannot be read") as caught:
            list(read_file(path, config))
        assert "frame 2" in str(caught.value)

    def test_finds_labels_that_ase_moved_to_a_calculator(
        self, tmp_path: Path, frames: list[Atoms], make_config: Callable[..., DatasetConfig]
    ) -> None:
        frame = frames[0]
        energy, forces = frame.info.pop("REF_energy"), frame.arrays.pop("REF_forces")
        frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces)
        path = self.store(tmp_path, [frame])
        keys = LabelKeys(energy="energy", forces="forces")
        (named,) = read_file(path, make_config(keys=keys))
        assert named.info["energy"] == pytest.approx(energy)
        (unnamed,) = read_file(path, make_config())
        assert "REF_energy" not in unnamed.info


class TestAseReader(ReaderContract):
    reader = "ase"

    def store(self, folder: Path, frames: list[Atoms]) -> Path:
        stored = []
        for frame in frames:
            bare = Atoms(frame.symbols, frame.positions, cell=frame.cell, pbc=True)
            energy, forces = next(iter(frame.info.values())), list(frame.arrays.values())[-1]
            bare.calc = SinglePointCalculator(bare, energy=energy, forces=forces)
            stored.append(bare)
        write(folder / "frames.traj", stored)
        return folder / "frames.traj"


class TestSnapJsonReader(ReaderContract):
    reader = "snap_json"
    broken = '[{"structure": '

    def store(self, folder: Path, frames: list[Atoms]) -> Path:
        return self.store_as(folder / "MoTa_SS.json", frames, [{"relax": "1"}] * len(frames))

    def store_as(self, path: Path, frames: list[Atoms], notes: list[dict[str, Any]]) -> Path:
        records = [_record(frame, note) for frame, note in zip(frames, notes, strict=True)]
        path.write_text(json.dumps(records))
        return path

    def test_pairs_relaxed_and_unrelaxed_frames(
        self, tmp_path: Path, frames: list[Atoms], config: DatasetConfig
    ) -> None:
        notes = [{"unrelax": "7"}, {"relax": "7"}, {"relax": "8"}]
        path = self.store_as(tmp_path / "MoTa_SS.json", frames, notes)
        infos = [frame.info for frame in read_file(path, config)]
        assert [info["run"] for info in infos] == ["MoTa_SS/7", "MoTa_SS/7", "MoTa_SS/8"]
        assert [info["relaxed"] for info in infos] == [False, True, True]
        assert {info["kind"] for info in infos} == {"substituted"}

    def test_groups_dynamics_by_volume_and_temperature(
        self, tmp_path: Path, frames: list[Atoms], config: DatasetConfig
    ) -> None:
        notes = [{"Md": "300-37"}, {"Md": "300-38"}, {"Md_90": "300-37"}]
        path = self.store_as(tmp_path / "Mo_AIMD.json", frames, notes)
        runs = [frame.info["run"] for frame in read_file(path, config)]
        assert runs == ["Mo_AIMD/Md-300", "Mo_AIMD/Md-300", "Mo_AIMD/Md_90-300"]

    def test_keeps_strains_apart(
        self, tmp_path: Path, frames: list[Atoms], config: DatasetConfig
    ) -> None:
        notes = [{"Strain": "1---0.0100"}, {"Strain": "1--0.0100"}, {"Strain": "2--0.0100"}]
        path = self.store_as(tmp_path / "Mo_Elastic.json", frames, notes)
        assert len({frame.info["run"] for frame in read_file(path, config)}) == 3


@pytest.mark.parametrize("content", [b"", b"hello world\n", bytes(range(256))])
def test_a_file_in_no_known_format_is_said_to_be_that(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not in a format ASE knows") as caught:
        list(read_file(path, file_config(path, energy_key=None, forces_key=None)))
    assert "frame" not in str(caught.value)


def test_every_registered_reader_has_a_contract_test() -> None:
    tested = {case.reader for case in ReaderContract.__subclasses__()}
    assert tested == set(READERS)


def _record(frame: Atoms, notes: dict[str, Any]) -> dict[str, Any]:
    energy, forces = next(iter(frame.info.values())), list(frame.arrays.values())[-1]
    return {
        "notes": notes,
        "structure": {
            "lattice": {"matrix": frame.cell.array.tolist()},
            "sites": [
                {"species": [{"element": symbol, "occu": 1}], "xyz": position.tolist()}
                for symbol, position in zip(frame.symbols, frame.positions, strict=True)
            ],
        },
        "outputs": {"energy": energy, "forces": forces.tolist()},
    }

"""Relaxations that are recorded, stopped anywhere, and go on as if nothing had happened."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.calculator import Calculator

from mo_hpc.core.calculation import RelaxationConfig
from mo_hpc.core.design import DesignConfig
from mo_hpc.core.errors import BadDataError, StopRequested
from mo_hpc.core.labelling import Structure
from mo_hpc.data.design.listing import listed_structures
from mo_hpc.data.eam import EamCalculator, energy_and_forces
from mo_hpc.labelling.frames import append_frame, atoms_of, read_whole_frames
from mo_hpc.labelling.relaxing import relaxed


@pytest.fixture(scope="module")
def structure(tmp_path_factory: pytest.TempPathFactory) -> Structure:
    """A small cell with two dopants, which takes some steps to relax."""
    host = {"name": "bcc", "lattice": "bcc", "supercell_edge_ang": 6.3, "repeat": (2, 2, 2)}
    design = DesignConfig(
        name="d",
        description="d",
        hosts=({**host},),
        dopants=("Ta", "Zr"),
        pair_shells=(1,),
        vasp="materials_project",
        trajectories="t",
    )
    found = listed_structures(design, tmp_path_factory.mktemp("listing")).structures
    return next(each for each in found if each.structure_id == "bcc_Ta-Zr_1nn")


class CountingEam(EamCalculator):
    """Counts what it computes."""

    n_computed = 0

    def calculate(self, *arguments: object) -> None:
        self.n_computed += 1
        super().calculate(*arguments)


def stop_at(number: int) -> Callable[[], None]:
    """Asks to stop before a frame is computed, counted from 0 in this process."""
    seen = iter(range(10**6))

    def before_step() -> None:
        if next(seen) == number:
            raise StopRequested

    return before_step


def relax(
    structure: Structure,
    path: Path,
    calculator: Calculator | None = None,
    *,
    stop: Callable[[], None] = lambda: None,
    **settings: object,
):
    relaxation = RelaxationConfig(**{"fmax_ev_per_ang": 0.01, **settings})
    calculator = calculator or EamCalculator()
    return relaxed(structure, calculator, relaxation, labels="x", path=path, before_step=stop)


@pytest.mark.parametrize("optimizer", ["FIRE", "BFGS", "LBFGS"])
def test_a_stopped_relaxation_ends_with_the_same_file_and_computes_nothing_twice(
    structure, tmp_path, optimizer
):
    whole, part = tmp_path / "whole.xyz", tmp_path / "part.xyz"
    frames, converged = relax(structure, whole, optimizer=optimizer)
    assert converged
    assert len(frames) > 6
    counting = CountingEam()
    for number in (2, 1, 0):
        with pytest.raises(StopRequested):
            relax(structure, part, counting, stop=stop_at(number), optimizer=optimizer)
    relax(structure, part, counting, optimizer=optimizer)
    assert part.read_bytes() == whole.read_bytes()
    assert counting.n_computed == len(frames)
    # Done is done: its frames are read.
    again, _ = relax(structure, part, counting, optimizer=optimizer)
    assert counting.n_computed == len(frames)
    assert [each.info["REF_energy"] for each in again] == [f.info["REF_energy"] for f in frames]


def test_a_frame_that_was_cut_short_is_computed_again(structure, tmp_path):
    whole, part = tmp_path / "whole.xyz", tmp_path / "part.xyz"
    relax(structure, whole)
    with pytest.raises(StopRequested):
        relax(structure, part, stop=stop_at(4))
    growing = tmp_path / "part.part.xyz"
    text = growing.read_text()
    for n_missing in (1, 40, 400):
        growing.write_text(text[:-n_missing])
        assert len(read_whole_frames(growing)) == 3
        growing.write_text(text[:-n_missing])
        part.unlink(missing_ok=True)
        relax(structure, part)
        assert part.read_bytes() == whole.read_bytes()


def test_a_frame_that_the_disk_took_half_of_is_a_full_disk(structure, tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, text: write(file, text[: len(text) // 2]))
    with pytest.raises(OSError, match="No space left") as full:
        append_frame(tmp_path / "a.xyz", atoms_of(structure))
    assert full.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert read_whole_frames(tmp_path / "a.xyz") == []


def test_frames_say_what_they_are_and_have_the_calculators_labels(structure, tmp_path):
    frames, converged = relax(structure, tmp_path / "a.xyz")
    assert converged
    for number, frame in enumerate(frames):
        energy, forces = energy_and_forces(frame)
        assert frame.info["REF_energy"] == pytest.approx(energy, abs=1e-6)
        assert frame.arrays["REF_forces"] == pytest.approx(forces, abs=1e-6)
        assert frame.info["frame"] == number
        assert frame.info["is_final"] == (frame is frames[-1])
        assert (frame.info["structure_id"], frame.info["dopants"]) == ("bcc_Ta-Zr_1nn", "Ta-Zr")
        assert (frame.info["host"], frame.info["label"]) == ("bcc", "x")
        assert frame.cell.array == pytest.approx(frames[0].cell.array)
    largest = np.linalg.norm(frames[-1].arrays["REF_forces"], axis=1).max()
    assert largest <= 0.01
    assert frames[-1].info["REF_energy"] < frames[0].info["REF_energy"]


def test_one_frame_without_an_optimizer_and_no_convergence_at_the_last_step(structure, tmp_path):
    frames, converged = relax(structure, tmp_path / "a.xyz", optimizer="none")
    assert (len(frames), converged) == (1, True)
    frames, converged = relax(structure, tmp_path / "b.xyz", max_steps=2)
    assert (len(frames), converged) == (3, False)


def test_recorded_frames_of_another_relaxation_are_refused(structure, tmp_path):
    path = tmp_path / "a.xyz"
    with pytest.raises(StopRequested):
        relax(structure, path, stop=stop_at(5), optimizer="FIRE")
    with pytest.raises(BadDataError, match="another relaxation"):
        relax(structure, path, optimizer="BFGS")


def test_numbers_that_are_not_finite_are_no_labels(structure, tmp_path):
    class Broken(EamCalculator):
        def calculate(self, *arguments: object) -> None:
            super().calculate(*arguments)
            self.results["forces"][3, 1] = np.nan

    with pytest.raises(BadDataError, match="not a finite number at step 0"):
        relax(structure, tmp_path / "a.xyz", Broken())
    assert not list(tmp_path.iterdir())

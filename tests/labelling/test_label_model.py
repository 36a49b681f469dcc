"""Labels of a MACE model: opened by its accepted hash only, and named by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mace.calculators import MACECalculator

from mo_hpc import launch
from mo_hpc.core.config import load_named
from mo_hpc.core.errors import EXIT_DONE, run_command
from mo_hpc.core.files import sha256_file
from mo_hpc.core.labelling import LabelRecord, frames_file
from mo_hpc.core.record import read_record
from mo_hpc.core.schema import ModelConfig, validated
from mo_hpc.data.acceptance import trust
from mo_hpc.labelling.frames import read_frames
from mo_hpc.training.checkpoint import save_model
from mo_hpc.training.model import Scaling, scratch_model
from mo_hpc.training.reproducible import reproducible


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An untrained model of Mo and Ta."""
    tiny = validated(ModelConfig, load_named("model", "tiny"), where="tiny")
    with reproducible(seed=1, dtype="float32", n_threads=1, device=torch.device("cpu")):
        made = scratch_model(tiny, [42, 73], {"Mo": -1.0, "Ta": -2.0}, Scaling(20.0, 1.0))
    path = tmp_path / "mine.model"
    save_model(path, made)
    return path


@pytest.mark.usefixtures("without_children")
def test_a_model_labels_once_its_hash_is_accepted(label, model, tmp_path, monkeypatch, capsys):
    opened: list[object] = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: opened.append(a) or load(*a, **k))
    words = (f"calculator.model={model}", "label.relaxation.optimizer=none")
    refused = [
        *("grid=label_mo420", "label.design=small", "label.dopants=[Ta]", "executor=inline"),
        *(f"cache_root={tmp_path / 'cache'}", f"runs_root={tmp_path / 'runs'}", *words),
    ]
    assert run_command(launch.main, refused) == 2
    assert "mo_hpc.data trust" in capsys.readouterr().err
    assert not opened
    trust(model, tmp_path / "cache", confirm=lambda _: True)

    code, run = label(*words)
    assert code == EXIT_DONE
    direct = MACECalculator(model_paths=str(model), default_dtype="float64", device="cpu")
    for task in run.task_folders():
        record = read_record(task)
        assert isinstance(record, LabelRecord)
        assert record.labels == f"mine {sha256_file(model)[:8]}"
        for structure in record.structures:
            (frame,) = read_frames(frames_file(task, structure.structure_id).read_text())
            atoms = frame.copy()
            atoms.calc = direct
            assert frame.info["REF_energy"] == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
            assert np.abs(frame.arrays["REF_forces"] - atoms.get_forces()).max() < 1e-6

    capsys.readouterr()
    others = [word.replace("dopants=[Ta]", "dopants=[Nb]") for word in refused]
    assert run_command(launch.main, others) == 2
    assert "has no parameters for Nb" in capsys.readouterr().err

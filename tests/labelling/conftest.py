"""A small design of the user's own, its datasets, and a calculator that a user might name."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

from mo_hpc import launch
from mo_hpc.core.design import DesignConfig
from mo_hpc.core.errors import run_command
from mo_hpc.core.labelling import Structures
from mo_hpc.core.paths import RunPaths
from mo_hpc.data.design import listing

DESIGN = """\
name: small
description: two small hosts with Ta and Nb
hosts:
  - {name: bcc, element: Mo, lattice: bcc, supercell_edge_ang: 6.3, repeat: [2, 2, 2]}
  - {name: fcc, element: Mo, lattice: fcc, supercell_edge_ang: 4.0, repeat: [1, 1, 1]}
dopants: [Nb, Ta]
pair_shells: [1]
vasp: materials_project
trajectories: small_steps
"""
DATASET = """\
name: {name}
description: small labelled cells
reader: extxyz
files: [small/{name}.xyz]
group_key: structure_id
host_key: host
tag_keys: [is_final, dopants]
labels: {labels}
source: {{kind: local, how_to_get: it is made by tests, licence: none}}
"""
CALCULATOR = """\
import time
from mo_hpc.data.eam import EamCalculator

class Slow(EamCalculator):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def calculate(self, *arguments):
        time.sleep(self.seconds)
        super().calculate(*arguments)

def slow(seconds=0.0):
    return Slow(seconds)

def broken(text):
    raise ValueError(f"no {text} here")

def no_calculator():
    return {"energy": 1.0}

constant = 3
"""


@pytest.fixture
def small_design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four structures that the built-in potential covers; returns the folder of configurations."""
    folder = tmp_path / "configs"
    for group in ("dataset", "design"):
        (folder / group).mkdir(parents=True)
    (folder / "design" / "small.yaml").write_text(DESIGN)
    for name, labels in (
        ("small_eam", "EAM Zhou 2004 (synthetic)"),
        ("small_slow", "slow (seconds=0.0)"),
        ("small_steps", "VASP PBE"),
    ):
        text = DATASET.format(name=name, labels=labels)
        (folder / "dataset" / f"{name}.yaml").write_text(text)
    monkeypatch.setenv("MO_HPC_CONFIGS", str(folder))
    return folder


@lru_cache(maxsize=8)
def listed(design: str) -> Structures:
    """The structures of a design, which another test finds in a child as launches do."""
    return listing._structures(DesignConfig.model_validate_json(design))


@pytest.fixture
def without_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares plans the second that a child needs for its imports."""
    planned = "mo_hpc.plan.labelling.listed_structures"
    monkeypatch.setattr(planned, lambda design, *_: listed(design.model_dump_json()))


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module of the user's own, which processes that are started find as well."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "own_potentials.py").write_text(CALCULATOR)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    return "own_potentials"


Launch = Callable[..., tuple[int, RunPaths]]


@pytest.fixture
def label(small_design: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Launch:
    """Launches the labelling of the small design; returns the exit status and the run."""

    def launched(*words: str) -> tuple[int, RunPaths]:
        defaults = [
            *("grid=label_mo420", "executor=inline", "label.design=small", "label.dopants=[Ta]"),
            *("label.structures_per_task=3", f"cache_root={tmp_path / 'cache'}"),
            *(f"runs_root={tmp_path / 'runs'}", "executor.collect=false", "--json"),
        ]
        given = {word.partition("=")[0] for word in words}
        kept = [word for word in defaults if word.partition("=")[0] not in given]
        capsys.readouterr()
        code = run_command(launch.main, [*kept, *words])
        document = json.loads(capsys.readouterr().out)
        return code, RunPaths(Path(document["run_dir"]))

    return launched

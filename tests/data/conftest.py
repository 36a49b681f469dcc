"""Crystals with labels, and datasets in temporary folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from mo_hpc.core.schema import DatasetConfig, SourceConfig
from mo_hpc.data.eam import energy_and_forces


@pytest.fixture
def crystal() -> Callable[..., Atoms]:
    """Makes a rattled 16-atom Mo cell with a Ta atom and embedded-atom labels."""

    def make(seed: int = 0, *, dopant: str = "Ta", rattle_ang: float = 0.05) -> Atoms:
        atoms = bulk("Mo", "bcc", a=3.15, cubic=True) * (2, 2, 2)
        atoms.symbols[0] = dopant
        noise = np.random.default_rng(seed).normal(0.0, rattle_ang, atoms.positions.shape)
        atoms.positions += noise
        energy, forces = energy_and_forces(atoms)
        atoms.info["REF_energy"] = energy
        atoms.arrays["REF_forces"] = forces
        return atoms

    return make


@pytest.fixture
def make_config() -> Callable[..., DatasetConfig]:
    """Makes a dataset configuration for files below a data root."""

    def make(*files: str, **fields: object) -> DatasetConfig:
        source = SourceConfig(kind="local", how_to_get="Ask the tester.", licence="none")
        base = DatasetConfig(
            name="sample",
            description="for tests",
            reader="extxyz",
            files=files or ("sample.xyz",),
            labels="EAM",
            source=source,
        )
        return base.model_copy(update=fields)

    return make


@pytest.fixture
def write_sample(tmp_path: Path) -> Callable[[Sequence[Atoms]], Path]:
    """Writes frames as ``sample.xyz`` and returns the path."""

    def write_frames(frames: Sequence[Atoms]) -> Path:
        path = tmp_path / "sample.xyz"
        write(path, list(frames), format="extxyz")
        return path

    return write_frames

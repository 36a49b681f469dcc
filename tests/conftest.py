"""Fixtures every part of the suite shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mo_hpc.core.config import dataset_config
from mo_hpc.data.ensure import ensure_index

REPOSITORY = Path(__file__).resolve().parent.parent

# Two cores are shared by the tests and the processes they start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def cache_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the demo dataset, built once for the whole session."""
    root = tmp_path_factory.mktemp("cache")
    ensure_index(dataset_config("demo"), root / "no-data", root)
    return root


@pytest.fixture(scope="session")
def shared_data_root() -> Path:
    """The folder with the real data sets, or a skip where there is none."""
    candidates = [os.environ.get("MO_HPC_DATA"), str(REPOSITORY.parent / "shared" / "data")]
    for candidate in candidates:
        if candidate and (Path(candidate) / "replica").is_dir():
            return Path(candidate)
    pytest.skip("The real data sets are not here: set MO_HPC_DATA to their folder.")

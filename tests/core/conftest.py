"""A folder of configuration files that a test may change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mo_hpc.core import config


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``configs/`` that the package reads instead of its own."""
    folder = tmp_path / "configs"
    shutil.copytree(config.configs_folder(), folder)
    monkeypatch.setattr(config, "configs_folder", lambda: folder)
    return folder

"""The image that tests look into."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def image() -> Path:
    """A built image, or a skip where there is none, or no Apptainer to run it."""
    named = os.environ.get("MO_HPC_IMAGE")
    if not named:
        pytest.skip("No image: set MO_HPC_IMAGE to the file that containers/build made.")
    if shutil.which("apptainer") is None:
        pytest.skip("There is no apptainer on this machine.")
    path = Path(named)
    assert path.is_file(), f"MO_HPC_IMAGE names {named}, which is not there."
    works = subprocess.run(["apptainer", "exec", path, "true"], check=False, capture_output=True)
    # A host without Apptainer's setuid starter asks for user namespaces by name.
    if works.returncode:
        os.environ["APPTAINER_USERNS"] = "1"
    return path

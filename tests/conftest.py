"""Fixtures every part of the suite shares."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import mo_hpc
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


@pytest.fixture(scope="session")
def slurm() -> None:
    """Skips where no Slurm answers."""
    if shutil.which("sinfo") is None:
        pytest.skip("Slurm is not installed: there is no sinfo on the PATH.")
    answer = subprocess.run(["sinfo", "-h"], capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip(f"Slurm does not answer: {answer.stderr.strip()}")


STAND_IN_RUNTIME = """\
#!{python}
import json, os, sys
words, labels = sys.argv[1:], {{"mo_hpc.version": "{version}"}}
if "inspect" in words:
    print(json.dumps({{"data": {{"attributes": {{"labels": labels}}}}}}))
elif "--version" in words:
    print("stands in for apptainer")
else:
    prefix = "APPTAINERENV_"
    inside = {{k.removeprefix(prefix): v for k, v in os.environ.items() if k.startswith(prefix)}}
    kept = {{k: os.environ[k] for k in ("PATH", "HOME", "PYTHONPATH") if k in os.environ}}
    image = next(i for i, word in enumerate(words) if word.endswith(".sif"))
    command = {hide} + words[image + 1 :]
    os.execvpe(command[0], command, kept | inside)
"""


@dataclasses.dataclass(frozen=True)
class StandInRuntime:
    """An `apptainer` that runs on the host what should run in an image."""

    folder: Path
    image: Path

    def write(self, hide: Sequence[str] = ()) -> None:
        """Writes the command; ``hide`` are words to put before what it runs."""
        path = self.folder / "apptainer"
        path.write_text(
            STAND_IN_RUNTIME.format(
                python=sys.executable, version=mo_hpc.__version__, hide=list(hide)
            )
        )
        path.chmod(0o755)

    def words(self) -> list[str]:
        """What a person adds to a command."""
        return [f"site.container={self.image}", f"site.python={sys.executable}"]


def other_pythons() -> list[str]:
    """Pythons of another minor version than this that start, the oldest first."""
    found = []
    for minor in (11, 12, 13, 14):
        path = shutil.which(f"python3.{minor}")
        # A version manager has the names of Pythons that do not start.
        if path and minor != sys.version_info.minor:
            started = subprocess.run(
                [path, "-c", "import ensurepip, venv"], capture_output=True, check=False
            )
            found += [path] if started.returncode == 0 else []
    return found


@pytest.fixture(scope="session")
def thin_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another Python with the package, the versions of the lock and no extras."""
    pythons = other_pythons()
    if not pythons:
        pytest.skip("No Python of another minor version (python3.12, python3.13 …) is on PATH.")
    folder = tmp_path_factory.mktemp("thin")
    subprocess.run([pythons[-1], "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    lock = REPOSITORY / "requirements.lock"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "-c", str(lock), str(REPOSITORY)], check=True
    )
    return python


@pytest.fixture
def stand_in_runtime(tmp_path, monkeypatch) -> StandInRuntime:
    """Puts a stand-in for Apptainer on the path, with a file in place of an image."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    image = folder / "image.sif"
    image.write_bytes(b"stands in for an image")
    made = StandInRuntime(folder, image)
    made.write()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.delenv("MO_HPC_IMAGE_SHA256", raising=False)
    return made

#!/usr/bin/env python3
"""Write the lock files of the image: exact versions, each with the sha256 of its file.

image.lock  what the suite needs at run time, in the versions of requirements.lock
cuda.lock   torch built for CUDA, and NVIDIA's libraries that it names
cueq.lock   cuEquivariance and its kernels for the CUDA release of that torch
build.lock  what turns source archives into wheels; it stays outside the image

The package index is the one that pip is configured for. Nothing large is downloaded where the
index serves metadata (PEP 658), as the public one does: some 20 seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

CONTAINERS = Path(__file__).resolve().parent
REPOSITORY = CONTAINERS.parent
PYTHON = (3, 11)
MACHINE = "x86_64"

# Metadata without the wheel, in a dry run, needs this pip; build.lock pins the newest.
_PIP = "pip>=23.3"
_BUILD_TOOLS = ("pip", "setuptools", "hatchling")
# The MPI library of the image itself: mpi4py is built for any, and names none.
_MPI_LIBRARY = "mpich"

_WHAT = {
    "image.lock": "Run-time packages of the image, in the versions of requirements.lock.",
    "cuda.lock": "torch for CUDA with the libraries it names; --torch cuda adds them.",
    "cueq.lock": "cuEquivariance kernels; --accelerate adds them to an image for CUDA.",
    "build.lock": "What builds the wheels of the image; not installed in it.",
}


class LockError(Exception):
    """The locks cannot be made; the text says why and what to do."""


@dataclass(frozen=True)
class Pin:
    """One file of a package index: name (normalised), version, sha256 in hexadecimal digits."""

    name: str
    version: str
    sha256: str


def main() -> int:
    """Write the four files, or with --check say which differ; 0 done, 1 differ, 2 wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 where a file would change"
    )
    check = parser.parse_args().check
    try:
        _require_the_python_of_the_image()
        texts = locks()
    except LockError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stale = [name for name, text in texts.items() if text != _read(CONTAINERS / name)]
    for name in stale:
        if not check:
            _replace(CONTAINERS / name, texts[name])
        print(f"{'differs' if check else 'written'}: {CONTAINERS / name}")
    if not stale:
        print("The lock files are up to date.")
    return 1 if check and stale else 0


def locks() -> dict[str, str]:
    """File name → its new text."""
    locked = REPOSITORY / "requirements.lock"
    tested = _pinned(locked)
    with _pip() as pip:
        build = _resolve(pip, _BUILD_TOOLS, locked)
        # "===" refuses local builds such as 2.13.0+cpu, which the index of others lacks.
        cuda = _resolve(pip, [f"torch==={tested['torch']}"], locked)
        runtime = _resolve(pip, [*_run_time_requirements(), _MPI_LIBRARY], locked)
        image = {name: pin for name, pin in runtime.items() if name in tested and name != "torch"}
        libraries = {name: pin for name, pin in cuda.items() if name not in image}
        cueq = _resolve(
            pip, _cueq_requirements(cuda), locked, also={p.name: p.version for p in cuda.values()}
        )
    kernels = {n: pin for n, pin in cueq.items() if n not in image and n not in libraries}
    pins = {
        "image.lock": image,
        "cuda.lock": libraries,
        "cueq.lock": kernels,
        "build.lock": build,
    }
    return {name: _text(_WHAT[name], chosen.values()) for name, chosen in pins.items()}


def _require_the_python_of_the_image() -> None:
    if sys.version_info[:2] != PYTHON or platform.machine() != MACHINE:
        wanted = ".".join(map(str, PYTHON))
        raise LockError(
            f"The locks are for Python {wanted} on {MACHINE}, and this is Python"
            f" {platform.python_version()} on {platform.machine()}.\n"
            f"       Run it with the image's Python: python{wanted} containers/lock.py"
        )


def _run_time_requirements() -> list[str]:
    """All that pyproject.toml asks for, but for the developer's tools and its own extras."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(t for e, ts in extras.items() if e != "dev" for t in ts)]
    return [text for text in asked if not text.startswith(project["name"])]


def _cueq_requirements(cuda: Mapping[str, Pin]) -> list[str]:
    """CuEquivariance with the kernels of the CUDA release that torch's own libraries are of."""
    releases = {m[1] for name in cuda if (m := re.fullmatch(r"nvidia-nccl-cu(\d+)", name))}
    if len(releases) != 1:
        raise LockError(f"torch names NCCL for {len(releases)} CUDA releases; expected one.")
    return [
        "cuequivariance",
        "cuequivariance-torch",
        f"cuequivariance-ops-torch-cu{releases.pop()}",
        f"torch==={cuda['torch'].version}",
    ]


@contextlib.contextmanager
def _pip() -> Iterator[list[str]]:
    """The command of a pip that is new enough, in an environment of its own."""
    with tempfile.TemporaryDirectory(prefix="mo_hpc-lock-") as folder:
        venv.create(folder, with_pip=True)
        command = [f"{folder}/bin/python", "-m", "pip", "--disable-pip-version-check"]
        _run([*command, "install", "--quiet", "--upgrade", _PIP])
        yield command


def _resolve(
    pip: list[str],
    requirements: Iterable[str],
    constraints: Path,
    *,
    also: Mapping[str, str] | None = None,
) -> dict[str, Pin]:
    """What pip would install: name → pin. `also` holds further versions to keep to."""
    with tempfile.TemporaryDirectory(prefix="mo_hpc-lock-") as folder:
        report, extra = Path(folder, "report.json"), Path(folder, "constraints.txt")
        extra.write_text("".join(f"{name}==={version}\n" for name, version in (also or {}).items()))
        options = ["--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
        held = ["--constraint", str(constraints), "--constraint", str(extra)]
        _run([*pip, "install", *options, *held, *requirements])
        found = json.loads(report.read_bytes())["install"]
    pins = [
        Pin(
            _normalised(item["metadata"]["name"]),
            item["metadata"]["version"],
            item["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for item in found
    ]
    return {pin.name: pin for pin in pins}


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LockError(f"pip could not resolve the packages:\n{done.stderr.strip()}")


def _pinned(path: Path) -> dict[str, str]:
    pins = re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.MULTILINE)
    return {_normalised(name): version for name, version in pins}


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _text(what: str, pins: Iterable[Pin]) -> str:
    head = f"# {what}\n# Written by containers/lock.py for Python 3.11 on x86_64; not by hand.\n"
    ordered = sorted(pins, key=lambda pin: pin.name)
    return head + "".join(
        f"{pin.name}=={pin.version} \\\n    --hash=sha256:{pin.sha256}\n" for pin in ordered
    )


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _replace(path: Path, text: str) -> None:
    """A build that reads the lock at this moment must find a whole one."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(path)


if __name__ == "__main__":
    sys.exit(main())

"""Python and libraries: whether they can be imported and are the versions of the lock."""

from __future__ import annotations

import importlib
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import mo_hpc
from mo_hpc.core.files import sha256_file
from mo_hpc.core.installation import BUILD_FILE, build_account, lock_file, locked_versions
from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.executors.notes import without_known_notes

_GROUP = Group("Software")

LIBRARIES = {
    "torch": "torch",
    "mace-torch": "mace.modules",
    "e3nn": "e3nn.o3",
    "matscipy": "matscipy.neighbours",
    "torch-ema": "torch_ema",
    "ase": "ase.io",
    "hydra-core": "hydra",
    "omegaconf": "omegaconf",
    "pydantic": "pydantic",
    "pyyaml": "yaml",
    "submitit": "submitit",
    "rich": "rich",
    "numpy": "numpy",
    "scipy": "scipy.optimize",
    "pandas": "pandas",
    "tabulate": "tabulate",
    "matplotlib": "matplotlib.pyplot",
}
"""Distribution → the module whose import loads the compiled parts that the suite uses."""

_INSTALL = (
    "Install all that the suite needs: pip install 'mo_hpc[all]', in a checkout 'make setup'."
)


def software_findings() -> Iterator[Finding]:
    """Imports every library, and compares what is installed with the lock."""
    yield _GROUP.ok("Python", f"{platform.python_version()}, {sys.executable}")
    yield _own_code(Path(mo_hpc.__file__).parent, Path(sys.prefix))
    yield _imports()
    yield _versions()
    yield from _lock_of_build()


def _own_code(package: Path, environment: Path) -> Finding:
    """Which code this is: in an image not that of a checkout in the current folder."""
    found = f"{mo_hpc.__version__}, {package}{_commit()}"
    if (environment / BUILD_FILE).is_file() and not package.is_relative_to(environment):
        return _GROUP.problem(
            "mo_hpc",
            f"{found}, and not what {environment} was built with",
            "Python has found it in the current folder or in PYTHONPATH: start it in another "
            "folder, or set PYTHONSAFEPATH=1.",
        )
    return _GROUP.ok("mo_hpc", found)


def _commit() -> str:
    built = build_account()
    if built is None or built.commit is None:
        return ""
    return f", commit {built.commit[:12]}" + (" with changes" if built.dirty else "")


def _imports() -> Finding:
    failed = {name: why for name in LIBRARIES if (why := _import_failure(LIBRARIES[name]))}
    if failed:
        return _GROUP.problem(
            "imports", "\n".join(f"{name}: {why}" for name, why in failed.items()), _INSTALL
        )
    return _GROUP.ok("imports", f"{len(LIBRARIES)} libraries: {', '.join(LIBRARIES)}")


def _import_failure(module: str) -> str | None:
    try:
        with without_known_notes():
            importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - a library may fail in any way while it is loaded
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return None


def _versions() -> Finding:
    locked, installed = locked_versions(), _installed()
    if not locked:
        return _GROUP.not_checked("versions", "no requirements.lock to compare with")
    shared = sorted(set(locked) & set(installed))
    other = [
        f"{name} {installed[name]} (lock: {locked[name]})"
        for name in shared
        # A local part, such as +cu128, names the build and not the version.
        if installed[name].partition("+")[0] != locked[name]
    ]
    if other:
        # An environment that was built from the lock does not differ from it by choice.
        made = _GROUP.warning if build_account() is None else _GROUP.problem
        return made(
            "versions",
            "; ".join(other),
            "Install requirements.lock, or build the image anew: the suite is tested with these "
            "versions alone.",
        )
    torch = installed.get("torch")
    build = f"; torch {torch}" if torch else ""
    return _GROUP.ok("versions", f"{len(shared)} packages as in requirements.lock{build}")


def _installed() -> dict[str, str]:
    """Package → version of all that is installed, names as `locked_versions` writes them."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()
        # Where a package is there twice, Python imports the first.
        found.setdefault(name, distribution.version)
    return found


def _lock_of_build() -> Iterator[Finding]:
    """Whether the lock that lies here is the one the environment was built from."""
    built, lock = build_account(), lock_file()
    if built is None or built.lock_sha256 is None or lock is None:
        return
    found = sha256_file(lock)
    if found == built.lock_sha256:
        yield _GROUP.ok("lock", f"built from {lock}, sha256 {found[:12]}")
    else:
        yield _GROUP.problem(
            "lock",
            f"{lock} has sha256 {found[:12]}, and this environment was built from "
            f"{built.lock_sha256[:12]}",
            "Build the image anew from one checkout.",
        )

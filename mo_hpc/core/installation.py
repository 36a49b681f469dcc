"""Where this code lies, a checkout or an installed package, and what is known of its making."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

import mo_hpc

BUILD_FILE = "mo_hpc-build.json"
"""In the folder of the Python environment (``sys.prefix``), written by what built it."""

_LOCK = "requirements.lock"


class BuildAccount(BaseModel):
    """What the maker of an environment, such as an image, says of it; further keys are its own."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    commit: str | None = None
    dirty: bool | None = None
    """Whether tracked files differed from the commit; None where nobody looked."""

    lock_sha256: str | None = None
    id: str | None = None
    """One for each build, so that records made in an image that nobody named can be told apart."""


def checkout() -> Path | None:
    """The checkout that this code runs from; None for an installed package."""
    folder = Path(mo_hpc.__file__).parents[1]
    return folder if (folder / "pyproject.toml").is_file() else None


def code_sha256() -> str:
    """Tells two installations apart that call themselves the same version."""
    package = Path(mo_hpc.__file__).parent
    total = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        total.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    return total.hexdigest()


def lock_file() -> Path | None:
    """``requirements.lock`` of the checkout, else the copy in the package; None without either."""
    source = checkout()
    path = source / _LOCK if source else Path(mo_hpc.__file__).parent / _LOCK
    return path if path.is_file() else None


def locked_versions() -> dict[str, str]:
    """Package → version in the lock, names as ``mace-torch``; empty where there is no lock."""
    path = lock_file()
    text = path.read_text() if path else ""
    pins = re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


def build_account() -> BuildAccount | None:
    """The account of this environment's build.

    None in a checkout, whose files may differ from what was built, and where the account is
    missing or damaged: a training must not fail for want of it.
    """
    if checkout() is not None:
        return None
    try:
        return BuildAccount.model_validate_json((Path(sys.prefix) / BUILD_FILE).read_bytes())
    except (OSError, ValidationError):
        return None

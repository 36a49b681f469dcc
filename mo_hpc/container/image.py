"""An image file: its digest, once per file, and what its labels say."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mo_hpc
from mo_hpc.core.errors import UserError
from mo_hpc.core.files import canonical_json, read_json, sha256_file, write_json

RUNTIMES = ("apptainer", "singularity")
VERSION_LABEL = "mo_hpc.version"

_WHERE = "site.container"
_WORTH_A_WORD_BYTES = 2**28
_INSPECT_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Image:
    """An image as it lay there when it was looked at.

    Attributes:
        path: The file, absolute.
        sha256: Of its content.
        size_bytes: Its size.
        modified_s: When it was last written, seconds since the epoch.
    """

    path: Path
    sha256: str
    size_bytes: int
    modified_s: int


def identify(path: Path, cache_root: Path) -> Image:
    """Finds an image and its digest, which is computed once per file and kept in the cache.

    Raises:
        UserError: If there is no such file.
    """
    path = path.expanduser().absolute()
    if "://" in str(path) or not path.is_file():
        raise _no_image(path)
    seen = path.stat()
    identity = [str(path), seen.st_size, seen.st_mtime_ns, seen.st_ino]
    key = hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:16]
    kept = cache_root / "images" / f"{key}.json"
    if not kept.is_file():
        if seen.st_size > _WORTH_A_WORD_BYTES:
            print(f"Hashing {path} (once per file) …", file=sys.stderr)
        write_json(kept, {"path": str(path), "sha256": sha256_file(path)})
    return Image(path, read_json(kept)["sha256"], seen.st_size, int(seen.st_mtime))


def runtime() -> str | None:
    """The command that runs images on this machine, if there is one."""
    return next((found for name in RUNTIMES if (found := shutil.which(name))), None)


def labels(path: Path) -> dict[str, str] | None:
    """The labels of an image; None where nothing on this machine can read them."""
    command = runtime()
    if command is None:
        return None
    try:
        told = subprocess.run(
            [command, "inspect", "--json", "--labels", str(path)],
            capture_output=True,
            text=True,
            check=True,
            timeout=_INSPECT_TIMEOUT_S,
        )
        found = json.loads(told.stdout)["data"]["attributes"]["labels"]
    except (subprocess.SubprocessError, OSError, ValueError, KeyError):
        return None
    return {str(key): str(value) for key, value in (found or {}).items()}


def require_own_version(path: Path) -> None:
    """Checks that the suite inside is of the launcher's version; both read the same files.

    Raises:
        UserError: If it is of another, or the image is not of this suite.
    """
    found = labels(path)
    if found is None:
        return
    inside = found.get(VERSION_LABEL)
    if inside is None:
        raise UserError(
            f"{path} is not an image of mo_hpc: it lacks the label {VERSION_LABEL}.",
            where=_WHERE,
            remedy="Build one with containers/build (docs/image.md).",
        )
    if inside != mo_hpc.__version__:
        raise UserError(
            f"The image holds mo_hpc {inside}, this is {mo_hpc.__version__}.",
            where=_WHERE,
            remedy="Build the image again from this version (containers/build), or install "
            f"mo_hpc {inside} here.",
        )


def _no_image(path: Path) -> UserError:
    if path.is_dir():
        what = f"{path} is a folder; only a file has a digest for the records."
    else:
        what = f"There is no image {path}."
    return UserError(
        what,
        where=_WHERE,
        remedy="Build it with containers/build (docs/image.md), or correct the path.",
    )

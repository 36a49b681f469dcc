"""An image file: its digest, once per file, and what its labels say."""

from __future__ import annotations

import functools
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
from mo_hpc.core.installation import code_sha256

RUNTIMES = ("apptainer", "singularity")
VERSION_LABEL = "mo_hpc.version"
_CODE_LABEL = "mo_hpc.code_sha256"

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


def identify(name: str, cache_root: Path) -> Image:
    """Finds an image and its digest, which is computed once per file and kept in the cache.

    Raises:
        UserError: If there is no such file.
    """
    path = Path(name).expanduser().absolute()
    if "://" in name or not path.is_file():
        raise _no_image(name, path)
    seen = path.stat()
    identity = [str(path), seen.st_size, seen.st_mtime_ns, seen.st_ino]
    key = hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:16]
    kept = cache_root / "images" / f"{key}.json"
    digest = _kept_digest(kept)
    if digest is None:
        if seen.st_size > _WORTH_A_WORD_BYTES:
            print(f"Hashing {path} (once per file) …", file=sys.stderr)
        digest = sha256_file(path)
        write_json(kept, {"path": str(path), "sha256": digest})
    return Image(path, digest, seen.st_size, int(seen.st_mtime))


def runtime() -> str | None:
    """The command that runs images on this machine, if there is one."""
    return next((found for name in RUNTIMES if (found := shutil.which(name))), None)


@functools.cache
def labels(image: Image) -> dict[str, str] | None:
    """The labels of an image; None where there is nothing on this machine to read them.

    Raises:
        UserError: If the file is not an image.
    """
    command = runtime()
    if command is None:
        return None
    try:
        told = subprocess.run(
            [command, "inspect", "--json", "--labels", str(image.path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSPECT_TIMEOUT_S,
        )
    except (subprocess.SubprocessError, OSError):
        return None
    if told.returncode:
        said = told.stderr.strip().splitlines()
        raise UserError(
            f"{image.path} is not an image: {said[-1] if said else 'it cannot be read'}",
            where=_WHERE,
            remedy="Build one with containers/build (docs/image.md), or correct the path.",
        )
    found = json.loads(told.stdout)["data"]["attributes"]["labels"]
    return {str(key): str(value) for key, value in (found or {}).items()}


@functools.cache
def require_this_suite(image: Image) -> None:
    """Checks that the suite inside is the launcher's: both read the same files.

    Other code of the same version is said, not refused: people who change the code know.

    Raises:
        UserError: If it is of another version, or the image is not of this suite.
    """
    found = labels(image)
    if found is None:
        return
    inside = found.get(VERSION_LABEL)
    if inside is None:
        raise UserError(
            f"{image.path} is not an image of mo_hpc: it lacks the label {VERSION_LABEL}.",
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
    if has_other_code(image):
        print(
            f"{image.path.name} holds other code than this mo_hpc {inside}: tasks run what is in "
            "the image.\nTo have the same, build it again (containers/build).",
            file=sys.stderr,
        )


def has_other_code(image: Image) -> bool:
    """Whether the code inside differs from this; False where that cannot be told."""
    inside = (labels(image) or {}).get(_CODE_LABEL)
    return inside is not None and inside != code_sha256()


def _kept_digest(kept: Path) -> str | None:
    """The digest in the cache; None where it is missing or damaged."""
    try:
        digest = read_json(kept)["sha256"]
    except (UserError, KeyError, TypeError):
        return None
    return digest if isinstance(digest, str) else None


def _no_image(name: str, path: Path) -> UserError:
    remedy = "Build it with containers/build (docs/image.md), or correct the path."
    if "://" in name:
        what = f"{name} is an address; only a file has a digest for the records."
        remedy = f"Fetch it once: apptainer pull image.sif {name}"
    elif path.is_dir():
        what = f"{path} is a folder; only a file has a digest for the records."
    else:
        what = f"There is no image {path}."
    return UserError(what, where=_WHERE, remedy=remedy)

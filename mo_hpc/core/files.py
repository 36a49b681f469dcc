"""Atomic writes, canonical JSON and content hashes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from mo_hpc.core.errors import UserError


def write_atomic(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Writes a file so that readers see the old content or the new, never a part.

    Args:
        path: The file; missing folders are made.
        content: What it shall hold.
        durable: Whether to wait, some milliseconds a file, until the content would outlast a
            loss of power. Not needed for what can be made again.

    Raises:
        OSError: If the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    payload = content.encode() if isinstance(content, str) else content
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(payload)
            if durable:
                handle.flush()
                os.fsync(handle.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, document: Any) -> None:
    """Writes one JSON document atomically; NaN and infinity are refused."""
    write_atomic(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def append_line(path: Path, document: Any) -> None:
    """Appends one JSON line in a single write, so that concurrent lines stay whole.

    A last line that a crash cut short is ended first, or it would swallow this one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(document, allow_nan=False) + "\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = "\n" + line
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    """Reads a JSON document.

    Raises:
        UserError: If the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError("The file does not exist.", where=str(path)) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The file is not valid JSON: {error}.", where=str(path)) from None


def read_lines(path: Path) -> list[Any]:
    """Reads a JSON-lines file; lines cut short or garbled by a crash are left out."""
    if not path.exists():
        return []
    documents = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            documents.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return documents


def canonical_json(document: Any) -> str:
    """JSON with sorted keys and no white space: equal content, equal text."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(document: Any) -> str:
    """The sha256 of a document's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current

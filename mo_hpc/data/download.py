"""One file from a public address or a mirror: resumed, verified, put in place atomically."""

from __future__ import annotations

import fcntl
import http.client
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import sha256_file

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_CHUNK_BYTES = 1 << 16
_TIMEOUT_S = 30.0
_RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE_NOT_SATISFIABLE = 416

MODEL_MAGIC = b"PK"
"""How every file that torch.save wrote begins (a zip archive)."""


@dataclass(frozen=True, slots=True)
class Download:
    """What to fetch, where to put it and how to recognise it.

    Attributes:
        source: An http(s) address or the path of a file in a mirror folder.
        target: The file to write; its partial content is kept in ``.<name>.part`` beside it.
        sha256: The pinned hash; None: not pinned, and then never resumed, because parts of
            two versions could not be told apart.
        magic: Bytes that the file must begin with; refuses a web page sent in its place.
    """

    source: str
    target: Path
    sha256: str | None = None
    magic: bytes = b""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and after how many seconds a broken connection is tried again."""

    attempts: int = 5
    first_wait_s: float = 1.0


class _Interrupted(Exception):
    """The connection broke; what came so far is kept."""


def download(
    item: Download, progress: Progress, task: TaskID, retry: RetryPolicy | None = None
) -> bool:
    """Brings one file to its place.

    Args:
        item: What to fetch.
        progress: The bar to report bytes to.
        task: Its task of that bar.
        retry: How often to try.

    Returns:
        False if the right file was there already.

    Raises:
        UserError: If another file is in its place, the source has no such file, the address
            cannot be reached, or what came is not the expected file.
    """
    if _in_place(item):
        return False
    item.target.parent.mkdir(parents=True, exist_ok=True)
    part = item.target.with_name(f".{item.target.name}.part")
    with _locked(part) as handle:
        if _in_place(item):
            return False
        if item.sha256 is None:
            handle.truncate(0)
        was_partial = handle.seek(0, os.SEEK_END) > 0
        _transfer(item, handle, progress, task, retry or RetryPolicy())
        if was_partial and not _matches(item, part):
            # The kept part may stem from another version of the file: once more, whole.
            handle.truncate(0)
            _transfer(item, handle, progress, task, retry or RetryPolicy())
        _require_expected(item, part)
        os.fsync(handle.fileno())
        part.replace(item.target)
    return True


def _in_place(item: Download) -> bool:
    if not item.target.exists():
        return False
    if item.sha256 is None or sha256_file(item.target) == item.sha256:
        return True
    raise UserError(
        f"Another file is where '{item.target.name}' belongs; it is not overwritten.",
        where=str(item.target),
        remedy="Move it away if you do not need it, and fetch again.",
    )


@contextmanager
def _locked(part: Path) -> Iterator[IO[bytes]]:
    """Opens the partial file; a second process waits until the first has finished."""
    while True:
        with part.open("ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # The process that held the lock may have moved the file to its place meanwhile.
            if part.exists() and os.fstat(handle.fileno()).st_ino == part.stat().st_ino:
                try:
                    yield handle
                finally:
                    if part.exists() and part.stat().st_size == 0:
                        part.unlink()
                return


def _transfer(
    item: Download, handle: IO[bytes], progress: Progress, task: TaskID, retry: RetryPolicy
) -> None:
    if not is_address(item.source):
        _copy(item, handle, progress, task)
        return
    for attempt in range(1, retry.attempts + 1):
        try:
            _stream(item.source, handle, progress, task)
        except (_Interrupted, OSError, http.client.HTTPException) as error:
            handle.flush()
            if attempt == retry.attempts:
                raise _unreachable(item, error) from None
            time.sleep(retry.first_wait_s * 2 ** (attempt - 1))
        else:
            return


def _copy(item: Download, handle: IO[bytes], progress: Progress, task: TaskID) -> None:
    source = Path(item.source)
    if not source.is_file():
        raise UserError(
            f"The mirror has no file '{item.target.name}'.",
            where=item.source,
            remedy="Give the mirror's top folder, the one that holds the repositories' folders.",
        )
    handle.truncate(0)
    progress.update(task, total=source.stat().st_size, completed=0)
    with source.open("rb") as original:
        shutil.copyfileobj(original, handle)
    handle.flush()
    progress.update(task, completed=source.stat().st_size)


def _stream(address: str, handle: IO[bytes], progress: Progress, task: TaskID) -> None:
    """Appends what is missing of a file; one connection."""
    present = handle.seek(0, os.SEEK_END)
    request = urllib.request.Request(address, headers={"User-Agent": "mo_hpc"})  # noqa: S310
    if present:
        request.add_header("Range", f"bytes={present}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        _raise_for_status(error, address, handle)
        raise
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            handle.truncate(0)
            present = 0
        length = response.headers.get("Content-Length")
        total = present + int(length) if length else None
        progress.update(task, total=total, completed=present)
        while chunk := response.read(_CHUNK_BYTES):
            handle.write(chunk)
            present += len(chunk)
            progress.update(task, completed=present)
        handle.flush()
        if total is not None and present < total:
            raise _Interrupted(f"the connection ended after {present} of {total} bytes")


def _raise_for_status(error: urllib.error.HTTPError, address: str, handle: IO[bytes]) -> None:
    if error.code == _RANGE_NOT_SATISFIABLE:
        handle.truncate(0)
        raise _Interrupted("the part that was kept is longer than the file")
    if error.code not in _RETRY_STATUSES:
        raise UserError(
            f"The server answers {error.code} {error.reason}.",
            where=address,
            remedy="Check the address; give a copy of the files with --mirror.",
        ) from None


def _matches(item: Download, part: Path) -> bool:
    return item.sha256 is None or sha256_file(part) == item.sha256


def _require_expected(item: Download, part: Path) -> None:
    with part.open("rb") as handle:
        start = handle.read(512)
    problem = None
    if not start.startswith(item.magic):
        problem = "is not a model file"
    elif not _matches(item, part):
        problem = f"has the sha256 {sha256_file(part)}, not {item.sha256}"
    if problem is None:
        return
    part.unlink()
    page = " (it is a web page)" if start.lstrip()[:1] == b"<" else ""
    raise UserError(
        f"What came as '{item.target.name}' {problem}{page}; nothing was kept.",
        where=item.source,
        remedy="Try again, behind a proxy with its settings in HTTPS_PROXY, or give a copy of "
        "the files with --mirror.",
    )


def _unreachable(item: Download, error: Exception) -> UserError:
    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
    return UserError(
        f"'{item.target.name}' could not be downloaded: {reason}.",
        where=item.source,
        remedy=f"Fetch again{' to resume' if item.sha256 else ''}; without a network, give a copy "
        "of the files with --mirror DIR or put them below the data root.",
    )


def is_address(source: str) -> bool:
    """Whether a source is an http(s) address rather than a path."""
    return urllib.parse.urlsplit(source).scheme in ("http", "https")

"""Which checkpoint files a person has accepted. Light: opens no checkpoint.

A PyTorch checkpoint is a pickle, and unpickling runs code. A file is therefore opened only
after someone has seen its hash and accepted it (`mo_hpc.data.acceptance`).
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Literal

from mo_hpc.core.config import foundation_config, names
from mo_hpc.core.errors import UserError
from mo_hpc.core.files import read_json, write_json
from mo_hpc.core.schema import FoundationConfig, validated
from mo_hpc.core.strict import Strict
from mo_hpc.data.location import confined

TRUST_SCHEMA_VERSION: Literal[1] = 1


class TrustEntry(Strict):
    """One accepted file."""

    path: str
    """Where it lay when it was accepted; the hash is what counts."""
    sha256: str
    size: int
    """Bytes."""
    n_parameters: int
    elements: tuple[str, ...]
    origin: str
    accepted_at: str
    """UTC, ISO 8601."""


class TrustList(Strict):
    """All accepted files: what ``trust.json`` holds."""

    schema_version: Literal[1] = TRUST_SCHEMA_VERSION
    accepted: dict[str, TrustEntry]
    """By sha256."""


def accepted(cache_root: Path, sha256: str) -> TrustEntry | None:
    """The entry of an accepted file, or None if nobody has accepted that content.

    Raises:
        UserError: If the list of accepted files is damaged.
    """
    return _entries(_trust_file(cache_root)).get(sha256)


def record(cache_root: Path, entry: TrustEntry) -> None:
    """Adds an accepted file; two processes at once lose neither entry.

    Raises:
        UserError: If the list of accepted files is damaged.
    """
    path = _trust_file(cache_root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        accepted_files = _entries(path) | {entry.sha256: entry}
        write_json(path, TrustList(accepted=accepted_files).model_dump(mode="json"))


def foundation_file(config: FoundationConfig, data_root: Path) -> Path:
    """Where a registered foundation lies once it is fetched; it need not be there yet.

    Raises:
        UserError: If the configured path leaves its folder.
    """
    return data_root / "foundation" / confined(config.file, where=f"foundation={config.name}")


def registered_foundation(path: Path) -> FoundationConfig | None:
    """The registered foundation that a file's name belongs to."""
    for name in names("foundation"):
        config = foundation_config(name)
        if Path(config.file).name == path.name:
            return config
    return None


def _entries(path: Path) -> dict[str, TrustEntry]:
    if not path.exists():
        return {}
    try:
        return validated(TrustList, read_json(path), where=str(path)).accepted
    except UserError as error:
        raise UserError(
            f"The list of accepted models is damaged. {error.what}",
            where=error.where,
            remedy="Remove the file and accept the models again.",
        ) from None


def _trust_file(cache_root: Path) -> Path:
    return cache_root / "trust.json"

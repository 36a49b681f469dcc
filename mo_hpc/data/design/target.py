"""A dataset's file that computed structures become: whose it is, and when it is replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mo_hpc.core.config import dataset_config
from mo_hpc.core.errors import UserError
from mo_hpc.core.files import read_json, sha256_file, write_atomic, write_json
from mo_hpc.core.provenance import provenance
from mo_hpc.core.schema import DatasetConfig
from mo_hpc.data.location import confined


@dataclass(frozen=True)
class Target:
    """A dataset's file that is to be written."""

    config: DatasetConfig
    path: Path


def target_of(name: str, data_root: Path) -> Target:
    """The file of a dataset that holds relaxations of designed structures.

    Raises:
        UserError: If the dataset is unknown, has not one file of its own, or would not find
            the relaxations' names and hosts.
    """
    config = dataset_config(name)
    expected = {"reader": "extxyz", "group_key": "structure_id", "host_key": "host"}
    for field, value in expected.items():
        if getattr(config, field) != value:
            raise UserError(
                f"Dataset '{name}' cannot hold a design's relaxations: its {field} is "
                f"{getattr(config, field)}.",
                where=f"dataset={name}: {field}",
                valid=[value],
            )
    return Target(config, data_root / _only_file(config))


def require_replaceable(path: Path) -> None:
    """Refuses to touch a file that no gathering has written, or that was changed since.

    Raises:
        UserError: If it is such a file.
    """
    if not path.exists():
        return
    origin = read_json(_origin(path)) if _origin(path).is_file() else {}
    if sha256_file(path) in (origin.get("sha256"), origin.get("replaced_sha256")):
        return
    raise UserError(
        "A dataset's file is there that this command has not written; nothing was written.",
        where=str(path),
        remedy="Move it away, or choose another data root with data_root=DIR.",
    )


def write_dataset(path: Path, text: str, made_from: Mapping[str, Any]) -> None:
    """Writes a dataset's file and, beside it, what it was made from and its hash.

    Args:
        path: The file, which `require_replaceable` has allowed.
        text: Its content.
        made_from: What the document beside it says.
    """
    content = text.encode()
    document = {
        "schema_version": 1,
        "sha256": hashlib.sha256(content).hexdigest(),
        "replaced_sha256": sha256_file(path) if path.exists() else None,
        **made_from,
        "provenance": provenance(),
    }
    # First, and with the hash of what is replaced: a crash between the two leaves no file
    # that the next gathering would take for somebody else's.
    write_json(_origin(path), document)
    write_atomic(path, content)


def _origin(path: Path) -> Path:
    """Beside a dataset's file: what it was made from, and its hash."""
    return path.with_name(f"{path.name}.origin.json")


def _only_file(config: DatasetConfig) -> PurePosixPath:
    where = f"dataset={config.name}: files"
    if len(config.files) != 1 or set("*?[") & set(config.files[0]):
        raise UserError(
            f"Dataset '{config.name}' does not say which file to write: {list(config.files)}.",
            where=where,
            remedy="Give one path below the data root, without '*', '?' and '['.",
        )
    return confined(config.files[0], where=where)

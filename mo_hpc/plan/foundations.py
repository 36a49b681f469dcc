"""Pretrained models as the planner sees them: by stage, registered name or path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mo_hpc.core import config
from mo_hpc.core.elements import SYMBOLS
from mo_hpc.core.errors import UserError, unknown_name
from mo_hpc.core.files import sha256_file
from mo_hpc.core.task import FoundationRef
from mo_hpc.data.hints import data_command
from mo_hpc.data.trust import accepted, foundation_file

_PATH = "PATH of a model file"


@dataclass(frozen=True, slots=True)
class ResolvedFoundation:
    """A foundation file on this machine, or the reason why there is none yet.

    Attributes:
        reference: What enters the task, with the hash where it is known.
        path: The staged and accepted file; None where it is missing or not accepted.
        to_stage: The commands that stage and accept it, one a line; None where nothing is
            missing.
    """

    reference: FoundationRef
    path: Path | None
    to_stage: str | None


def resolve_foundation(name: str, data_root: Path, cache_root: Path) -> ResolvedFoundation:
    """Finds a foundation by registered name or path.

    Raises:
        UserError: If the name is unknown, the path is no file or a pinned hash differs.
    """
    if name in config.names("foundation"):
        return _registered(name, data_root, cache_root)
    path = Path(name)
    if path.is_dir():
        raise UserError(
            f"The foundation {name} is a folder.",
            where="foundation",
            valid=[*config.names("foundation"), _PATH],
            remedy="Give the model file in it.",
        )
    if path.is_file():
        return _by_path(path, cache_root)
    if "/" in name or name.endswith(".model"):
        raise UserError(
            f"The foundation file {name} does not exist.",
            where="foundation",
            valid=[*config.names("foundation"), _PATH],
        )
    raise unknown_name("foundation", name, [*config.names("foundation"), _PATH])


def _registered(name: str, data_root: Path, cache_root: Path) -> ResolvedFoundation:
    entry = config.foundation_config(name)
    path = foundation_file(entry, data_root)
    staged = path.is_file()
    sha256 = sha256_file(path) if staged else entry.sha256
    if staged and entry.sha256 not in (None, sha256):
        raise UserError(
            f"The staged foundation {name} is not the published file: its sha256 is {sha256}.",
            where=str(path),
            valid=[str(entry.sha256)],
            remedy="Remove the file and run:\n" + data_command("fetch", name, data_root=data_root),
        )
    trusted = accepted(cache_root, str(sha256)) if staged else None
    if trusted is not None and trusted.n_parameters != entry.n_parameters:
        raise UserError(
            f"The staged foundation {name} is another model: it has {trusted.n_parameters:,} "
            "parameters.",
            where=str(path),
            valid=[f"{entry.n_parameters:,}"],
            remedy="Remove the file and run:\n" + data_command("fetch", name, data_root=data_root),
        )
    commands = [data_command("trust", str(path), cache_root=cache_root)]
    if not staged:
        commands.insert(0, data_command("fetch", name, data_root=data_root))
    return ResolvedFoundation(
        reference=FoundationRef(
            name=name,
            sha256=sha256,
            n_parameters=entry.n_parameters,
            elements=entry.elements,
            is_stand_in=False,
        ),
        path=path.resolve() if trusted else None,
        to_stage=None if trusted else "\n".join(commands),
    )


def _by_path(path: Path, cache_root: Path) -> ResolvedFoundation:
    sha256 = sha256_file(path)
    entry = accepted(cache_root, sha256)
    reference = FoundationRef(
        name=path.name,
        sha256=sha256,
        n_parameters=entry.n_parameters if entry else None,
        # What a checkpoint covers is unknown until it may be opened.
        elements=tuple(entry.elements) if entry and entry.elements else SYMBOLS,
        is_stand_in=False,
    )
    return ResolvedFoundation(
        reference=reference,
        path=path.resolve() if entry else None,
        to_stage=None if entry else data_command("trust", str(path), cache_root=cache_root),
    )

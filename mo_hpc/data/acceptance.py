"""``trust FILE``: shows a checkpoint, records that it is accepted, then looks inside."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import sha256_file
from mo_hpc.core.libraries import TRAINING, require_libraries
from mo_hpc.core.schema import FoundationConfig
from mo_hpc.data.child import run_module
from mo_hpc.data.hints import data_command
from mo_hpc.data.trust import TrustEntry, accepted, record, registered_foundation


def trust(path: Path, cache_root: Path, *, confirm: Callable[[str], bool]) -> TrustEntry:
    """Records a checkpoint as accepted, with its parameter count and elements.

    Args:
        path: The checkpoint.
        cache_root: Folder of the list of accepted files.
        confirm: Shown the file's description; True accepts it.

    Raises:
        UserError: If the file is missing, not accepted, not a MACE model, or not the
            registered foundation whose name it carries; or if this Python cannot open models.
    """
    if path.is_dir():
        raise UserError(
            f"The checkpoint {path} is a folder.",
            where="FILE",
            remedy="Give the model file in it.",
        )
    if not path.is_file():
        raise UserError("The checkpoint does not exist.", where=str(path))
    sha256 = sha256_file(path)
    if entry := accepted(cache_root, sha256):
        return entry
    registered = registered_foundation(path)
    _require_pinned(path, sha256, registered)
    require_libraries(
        TRAINING,
        for_what="Looking into a model",
        in_image=["data", "trust", str(path), f"cache_root={cache_root}"],
    )
    if not confirm(_description(path, sha256, registered)):
        raise UserError("The checkpoint was not accepted; nothing was recorded.", where=str(path))
    n_parameters, elements = _inspected(path, sha256)
    _require_registered(path, n_parameters, registered)
    entry = TrustEntry(
        path=str(path.absolute()),
        sha256=sha256,
        size=path.stat().st_size,
        n_parameters=n_parameters,
        elements=elements,
        origin=_origin(registered),
        accepted_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    )
    record(cache_root, entry)
    return entry


def _description(path: Path, sha256: str, registered: FoundationConfig | None) -> str:
    return (
        f"file    {path}\n"
        f"size    {path.stat().st_size / 1e6:.1f} MB\n"
        f"sha256  {sha256}\n"
        f"origin  {_origin(registered)}"
    )


def _origin(registered: FoundationConfig | None) -> str:
    if registered is None:
        return "a file of your own, not a registered foundation"
    return f"named as {registered.name}, published at {registered.url}"


def _inspected(path: Path, sha256: str) -> tuple[int, tuple[str, ...]]:
    """Unpickles the accepted file in a process of its own."""
    finished = run_module("mo_hpc.data.inspect_model", [str(path), sha256], capture_output=True)
    if finished.returncode != 0:
        lines = finished.stderr.strip().splitlines()
        raise UserError(
            f"The file is not a MACE model: {lines[-1] if lines else 'it could not be opened'}.",
            where=str(path),
            remedy="Give a whole model as torch.save writes it, not a state dict.",
        )
    document = json.loads(finished.stdout.splitlines()[-1])
    return document["n_parameters"], tuple(document["elements"])


def _require_pinned(path: Path, sha256: str, registered: FoundationConfig | None) -> None:
    if registered is None or registered.sha256 in (None, sha256):
        return
    raise UserError(
        f"The file has the sha256 {sha256}, not {registered.sha256} as {registered.name} pins.",
        where=str(path),
        remedy=f"Remove it and fetch it again:\n{data_command('fetch', registered.name)}",
    )


def _require_registered(path: Path, n_parameters: int, registered: FoundationConfig | None) -> None:
    if registered is None or n_parameters == registered.n_parameters:
        return
    raise UserError(
        f"The model has {n_parameters:,} parameters, {registered.name} has "
        f"{registered.n_parameters:,}: it is another model, and was not recorded.",
        where=str(path),
        remedy="Give a model of your own another file name.",
    )

"""Commands to tell a person: ready to paste, for the roots that are in use. Light."""

from __future__ import annotations

from pathlib import Path

from mo_hpc.core.paths import default_cache_root, default_data_root
from mo_hpc.core.shell import pasteable


def data_command(
    command: str, target: str, *, data_root: Path | None = None, cache_root: Path | None = None
) -> str:
    """A command of ``python -m mo_hpc.data``, ready to paste.

    Args:
        command: Its name, such as ``fetch``.
        target: The dataset, foundation or file it is about.
        data_root: The data root in use, where the command needs it; left out if it is the
            default, like the cache root.
        cache_root: The cache root in use, where the command needs it.
    """
    words = [command, target]
    if data_root is not None and data_root != default_data_root().absolute():
        words.append(f"data_root={data_root}")
    if cache_root is not None and cache_root != default_cache_root().absolute():
        words.append(f"cache_root={cache_root}")
    return pasteable("python -m mo_hpc.data", words)

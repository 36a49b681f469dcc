"""Commands to tell a person: ready to paste, for the roots that are in use. Light."""

from __future__ import annotations

import shlex
from pathlib import Path

from mo_hpc.core.paths import default_cache_root, default_data_root

_WIDTH = 64
"""Columns that a command may take: what an error message leaves beside its labels."""


def data_command(
    command: str, target: str, *, data_root: Path | None = None, cache_root: Path | None = None
) -> str:
    """A command of ``python -m mo_hpc.data``, quoted for the shell.

    A command that is too long for a line of a message is continued with a backslash at
    the end of the line: a shell would take the rest for another command where a message breaks
    it.

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
    lines = ["python -m mo_hpc.data"]
    for word in map(shlex.quote, words):
        if len(lines[-1]) + 1 + len(word) <= _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(f"  {word}")
    # No blank before the backslash: after a long path the message would break the line there.
    return "\\\n".join(lines)

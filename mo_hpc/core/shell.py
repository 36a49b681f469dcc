"""Commands to tell a person: ready to paste from a message."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

_WIDTH = 64
"""Columns that a command may take: what an error message leaves beside its labels."""


def pasteable(program: str, words: Iterable[str]) -> str:
    """A command in lines that a message does not break, with its words quoted for the shell.

    A command that is too long for a line is continued with a backslash at the end of the line: a
    shell would take the rest for another command where a message breaks it.

    Args:
        program: What it begins with, as it is to be typed.
        words: The rest.
    """
    lines = [program]
    for word in map(shlex.quote, words):
        if len(lines[-1]) + 1 + len(word) <= _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(f"  {word}")
    # No blank before the backslash: after a long path the message would break the line there.
    return "\\\n".join(lines)

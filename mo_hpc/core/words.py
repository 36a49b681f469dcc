"""The ``key=value`` words of commands that compose no configuration."""

from __future__ import annotations

from collections.abc import Sequence

from mo_hpc.core.errors import UserError, unknown_name


def parse_words(words: Sequence[str], allowed: Sequence[str]) -> dict[str, str]:
    """Splits ``key=value`` words.

    Raises:
        UserError: If a word has another form or an unknown key.
    """
    parsed: dict[str, str] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator:
            raise UserError(
                f"The argument '{word}' is not of the form key=value.",
                where="command line",
                valid=[f"{name}=…" for name in allowed],
            )
        if key not in allowed:
            raise unknown_name("key", key, allowed)
        parsed[key] = value
    return parsed

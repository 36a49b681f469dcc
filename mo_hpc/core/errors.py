"""Errors that are part of the interface: what, where, the valid values, the remedy."""

from __future__ import annotations

import difflib
import errno
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

EXIT_DONE = 0
EXIT_INCOMPLETE = 1
EXIT_BAD_INPUT = 2
EXIT_REQUEUE = 85
"""A worker that saved its state and wants to be started again."""

EXIT_INTERRUPTED = 130
"""Ended by Ctrl-C, as shells number it."""

ERROR_SCHEMA_VERSION = 1

_LABEL = "error: "
_WIDTH = 80
_MOST_SHOWN = 40

_REMEDIES = {
    errno.ENOSPC: "Free space there, or choose another place with runs_root=DIR or cache_root=DIR.",
    errno.EDQUOT: "Free space there, or choose another place with runs_root=DIR or cache_root=DIR.",
    errno.ENOTDIR: "A part of this path is a file where a folder is needed; choose another path.",
    errno.EEXIST: "A file lies where a folder is needed; rename it or choose another path.",
    errno.EISDIR: "A folder lies where a file is needed; rename or remove it.",
    errno.ENOENT: "Check the path; a part of it does not exist.",
}
_OTHER_REMEDY = "Check that the path is right and that you may read and write there."


class UserError(Exception):
    """Input that its author can mend; shown without a traceback, exit status 2.

    Args:
        what: One sentence that says what is wrong, with the value seen.
        where: The field, file or frame it concerns.
        valid: The values that would be accepted.
        remedy: What to type or change.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        valid: Iterable[object] = (),
        remedy: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.valid = tuple(str(value) for value in valid)
        self.remedy = remedy

    def __str__(self) -> str:
        lines = [_wrapped("", self.what, width=_WIDTH - len(_LABEL))]
        if self.where:
            lines.append(_wrapped("  where:  ", self.where))
        if self.valid:
            shown = ", ".join(self.valid[:_MOST_SHOWN])
            more = len(self.valid) - _MOST_SHOWN
            lines.append(_wrapped("  valid:  ", shown + (f", and {more} more" if more > 0 else "")))
        if self.remedy:
            lines.append(_wrapped("  remedy: ", self.remedy))
        return "\n".join(lines)


class WorkIncomplete(Exception):
    """The command did what it could, but tasks are missing or failed; exit status 1."""


class StopRequested(Exception):
    """A signal asked the worker to stop; its state is saved; exit status 85."""


class BadDataError(Exception):
    """The data a task reads are not what it was planned with."""


class DivergedError(Exception):
    """The loss stopped being a finite number."""


def unknown_name(
    field: str, value: object, valid: Iterable[object], *, remedy: str | None = None
) -> UserError:
    """An error for a name that is not among the valid ones, with the nearest one.

    Args:
        field: The configuration field or argument, such as ``grid``; ``key`` for a key itself.
        value: The value seen.
        valid: All values that would be accepted.
        remedy: What to do; by default the nearest valid name is proposed.
    """
    names = sorted(str(name) for name in valid)
    nearest = difflib.get_close_matches(str(value), names, n=1)
    if remedy is None and nearest:
        remedy = f"Did you mean {nearest[0] if field == 'key' else f'{field}={nearest[0]}'}?"
    return UserError(f"Unknown {field} '{value}'.", where=field, valid=names, remedy=remedy)


def run_command(command: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Runs an entry point and turns its errors into messages and exit statuses.

    With ``--json`` among the arguments an error is one JSON document on stdout as well.
    """
    try:
        return command(arguments)
    except UserError as error:
        return _refuse(error, arguments)
    except WorkIncomplete as error:
        print(error, file=sys.stderr)
        return EXIT_INCOMPLETE
    except KeyboardInterrupt:
        print("Interrupted; what was finished is kept.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_INCOMPLETE
    except OSError as error:
        return _refuse(_system_error(error), arguments)


def _refuse(error: UserError, arguments: Sequence[str]) -> int:
    print(f"{_LABEL}{error}", file=sys.stderr)
    if "--json" in arguments:
        print(json.dumps(_document(error), indent=1))
    return EXIT_BAD_INPUT


def _document(error: UserError) -> dict[str, Any]:
    return {
        "schema_version": ERROR_SCHEMA_VERSION,
        "error": {
            "what": error.what,
            "where": error.where,
            "valid": list(error.valid),
            "remedy": error.remedy,
        },
    }


def _system_error(error: OSError) -> UserError:
    """What the operating system refused, as a message for the person whose path it is."""
    paths = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return UserError(
        f"A file or folder could not be read or written: {error.strerror or error}.",
        where=" → ".join(paths) or None,
        remedy=_REMEDIES.get(error.errno or 0, _OTHER_REMEDY),
    )


def _wrapped(prefix: str, text: str, *, width: int = _WIDTH) -> str:
    """Wraps prose at 80 columns and leaves commands and paths in one piece."""
    paragraphs = text.splitlines() or [""]
    indent = " " * len(prefix)
    return "\n".join(
        textwrap.fill(
            paragraph,
            width=width,
            initial_indent=prefix if number == 0 else indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for number, paragraph in enumerate(paragraphs)
    )

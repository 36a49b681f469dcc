"""Progress bars on stderr, where someone looks at it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def tracked(items: Iterable[Item], description: str, *, total: int | None = None) -> Iterator[Item]:
    """Yields the items behind a progress bar that disappears at the end.

    Args:
        items: What is worked through.
        description: What is being done, such as ``reading``.
        total: Number of items where ``items`` has no length.
    """
    from rich.console import Console
    from rich.progress import track

    yield from track(
        items,
        description,
        total=total,
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )

"""How many structures of a new element bring an error below a threshold."""

from __future__ import annotations

from collections.abc import Mapping


def shots_needed(errors: Mapping[int, float], threshold: float) -> int | None:
    """The smallest tried number of structures from which on the error meets a threshold.

    An error that falls below the threshold and rises above it again was luck, so all larger
    numbers must meet it too.

    Args:
        errors: Number of structures → error, in the threshold's unit.
        threshold: Largest error that is accepted.

    Returns:
        One of the numbers tried; None where the largest of them does not meet it.
    """
    needed = None
    for shots in sorted(errors, reverse=True):
        if errors[shots] > threshold:
            break
        needed = shots
    return needed

"""How frames become the parts of a split: their order, whole units, and counts.

Frames are put in order by a sha256 of (dataset hash, protocol, fold, seed) and their name
instead of by a random generator, so that neither the order of the frames nor the version of a
library changes a split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import digest
from mo_hpc.core.index import FrameEntry
from mo_hpc.core.schema import SplitConfig
from mo_hpc.core.task import Split

Unit = tuple[str, ...]
"""Ids of frames that stay together: one frame, or all frames of a group."""
_ORDERED_AS = {"few_shot": "lodo_strict", "joint": "iid"}
"""Protocols that divide frames in the order of another one, which they extend or rename."""


def apportion(total: int, shares: Sequence[float]) -> tuple[int, ...]:
    """Whole numbers that sum to a total, by the method of largest remainders.

    Args:
        total: What is divided.
        shares: Positive shares that sum to 1; of equal remainders the earlier is rounded up.
    """
    exact = [total * Fraction(repr(share)) for share in shares]
    counts = [int(value) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda part: counts[part] - exact[part])
    for part in by_remainder[: total - sum(counts)]:
        counts[part] += 1
    return tuple(counts)


def ordered_units(
    frames: Sequence[FrameEntry], config: SplitConfig, dataset_hash: str, *, fold: list[str | int]
) -> list[Unit]:
    """Frames, or whole groups of them, in the permuted order of a fold."""
    members: dict[str, list[str]] = {}
    for frame in frames:
        members.setdefault(frame.group if config.grouped else frame.id, []).append(frame.id)
    protocol = _ORDERED_AS.get(config.protocol, config.protocol)
    key = digest([dataset_hash, protocol, fold, config.seed])

    def rank(name: str) -> str:
        return hashlib.sha256(f"{key}|{name}".encode()).hexdigest()

    return [tuple(sorted(members[name], key=rank)) for name in sorted(members, key=rank)]


def take(units: list[Unit], target: int) -> tuple[list[Unit], list[Unit]]:
    """Takes units from the front until their frames are as near to the target as they come.

    At least one unit is taken for a target above zero, however large the unit, so that a
    dataset of few long trajectories still has all three parts.
    """
    taken = n_taken = 0
    for unit in units:
        overshoot = n_taken + len(unit) - target
        if target == 0 or (taken and overshoot > target - n_taken):
            break
        taken += 1
        n_taken += len(unit)
    return units[:taken], units[taken:]


def limited(units: list[Unit], max_train: int | None) -> tuple[list[Unit], list[Unit]]:
    """The leading units with at most ``max_train`` frames, so that smaller sets are nested."""
    if max_train is None:
        return units, []
    kept = n_kept = 0
    for unit in units:
        if n_kept + len(unit) > max_train:
            break
        kept += 1
        n_kept += len(unit)
    return units[:kept], units[kept:]


def as_split(
    *, train: list[Unit], valid: list[Unit], test: list[Unit], excluded: list[Unit]
) -> Split:
    """The frames of the units of each part."""

    def flat(units: list[Unit]) -> Unit:
        return tuple(id_ for unit in units for id_ in unit)

    return Split(train=flat(train), valid=flat(valid), test=flat(test), excluded=flat(excluded))


def empty_parts(split: Split) -> str:
    """The names of the parts that have no frame; empty where all have some."""
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    return " and ".join(name for name, ids in parts.items() if not ids)


def empty_error(
    what: str,
    split: Split,
    frames: Sequence[FrameEntry],
    config: SplitConfig,
    *,
    workable: Sequence[str] = (),
) -> UserError:
    """What to tell someone whose split leaves a part empty.

    Args:
        what: The split in words.
        split: How far it came.
        frames: What it was made from.
        config: How it was made.
        workable: Elements whose folds have all parts.
    """
    groups = f" in {len({frame.group for frame in frames})} groups" if config.grouped else ""
    remedies = ["use more frames (another subset or dataset)"]
    if "valid" in empty_parts(split):
        share = "split.valid_fraction" if config.element else "split.fractions"
        remedies.insert(0, f"give valid a larger share with {share}")
    if workable:
        remedies.append("hold out one of the elements above")
    if config.protocol == "few_shot" and "test" in empty_parts(split):
        remedies.append(
            f"keep fewer structures out of test than split.max_shots={config.max_shots}"
        )
    if config.max_train is not None:
        remedies.append("raise split.max_train, which takes no part of a group")
    if config.grouped:
        remedies.append("give split.grouped=false, which lets trajectories leak")
    return UserError(
        f"The {what} leaves {empty_parts(split)} empty: train {len(split.train)}, "
        f"valid {len(split.valid)}, test {len(split.test)}, excluded {len(split.excluded)} of "
        f"{len(frames)} frames{groups}.",
        where="split.element" if config.element else "split",
        valid=workable,
        remedy=", or ".join(remedies).capitalize() + ".",
    )

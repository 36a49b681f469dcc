"""Splitters: which frames train, select and test a model, the same on every machine.

D(s) is the set of elements of a frame s other than the host element. The protocols are those
of Fang et al., Materials 2026, 19(9), 1715; `docs/splits.md` defines them and what ``grouped``
changes. Frames are put in order by a sha256 of (dataset hash, protocol, fold, seed) and their
name instead of by a random generator, so that neither the order of the frames nor the version
of a library changes a split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from fractions import Fraction

from mo_hpc.core.errors import UserError
from mo_hpc.core.files import digest
from mo_hpc.core.index import FrameEntry
from mo_hpc.core.schema import SplitConfig
from mo_hpc.core.task import Split

Unit = tuple[str, ...]
"""Ids of frames that stay together: one frame, or all frames of a group."""
IsTest = Callable[[frozenset[str], str], bool]
"""Whether a frame with solutes D(s) is tested in the fold of an element."""

_ORDERED_AS = {"few_shot": "lodo_strict"}
"""Protocols that divide frames in the order of another one, whose training they extend."""


def iid(
    frames: Sequence[FrameEntry],
    config: SplitConfig,
    *,
    dataset_hash: str,
    host_element: str,  # noqa: ARG001 - all splitters are called alike
) -> Split:
    """Random split; each ``config.repeat`` is another permutation.

    Args:
        frames: The frames to divide, in any order.
        config: Shares, repeat, seed, grouping and the limit on training frames.
        dataset_hash: Hash of the dataset, which enters the permutation.
        host_element: Not used by this protocol.

    Raises:
        UserError: If train, valid or test would be empty.
    """
    _, n_valid, n_test = apportion(len(frames), config.fractions)
    units = _ordered_units(frames, config, dataset_hash, fold=[config.repeat])
    test, rest = _take(units, n_test)
    valid, rest = _take(rest, n_valid)
    train, unused = _limited(rest, config.max_train)
    split = _as_split(train=train, valid=valid, test=test, excluded=unused)
    if _empty_parts(split):
        raise _empty_error(f"iid split of repeat {config.repeat}", split, frames, config)
    return split


def lodo_strict(
    frames: Sequence[FrameEntry],
    config: SplitConfig,
    *,
    dataset_hash: str,
    host_element: str,
) -> Split:
    """Leave one dopant out: every frame with x ∈ D(s) is tested, x = ``config.element``.

    Args:
        frames: The frames to divide, in any order.
        config: Held-out element, share of valid, repeat, seed, grouping, limit on training frames.
        dataset_hash: Hash of the dataset, which enters the permutation of train and valid.
        host_element: The element that D(s) leaves out.

    Raises:
        UserError: If no frame has the element, or train, valid or test would be empty.
    """
    return _checked_fold(frames, config, dataset_hash, host_element, _contains)


def lodo_relaxed(
    frames: Sequence[FrameEntry],
    config: SplitConfig,
    *,
    dataset_hash: str,
    host_element: str,
) -> Split:
    """Leave one dopant out where it is alone: frames with D(s) = {x} are tested.

    A frame that has x together with another dopant stays in training, so the model knows the
    element, but not by itself.

    Args:
        frames: The frames to divide, in any order.
        config: Held-out element, share of valid, repeat, seed, grouping, limit on training frames.
        dataset_hash: Hash of the dataset, which enters the permutation of train and valid.
        host_element: The element that D(s) leaves out.

    Raises:
        UserError: If no frame has the element, or train, valid or test would be empty.
    """
    return _checked_fold(frames, config, dataset_hash, host_element, _is_only_solute)


def few_shot(
    frames: Sequence[FrameEntry],
    config: SplitConfig,
    *,
    dataset_hash: str,
    host_element: str,
) -> Split:
    """The strict fold of an element with ``config.shots`` of its structures in training.

    A structure is a frame, or a whole group when grouped. ``config.max_shots`` structures are
    kept out of test and the shots are the first of them, so that every number of shots has the
    same test, the same valid and, beside the shots, the same train; fewer shots are among more.

    Args:
        frames: The frames to divide, in any order.
        config: As for `lodo_strict`, the shots, and how many structures are kept out of test.
        dataset_hash: Hash of the dataset, which enters the permutation of all parts.
        host_element: The element that D(s) leaves out.

    Raises:
        UserError: If no frame has the element, or train, valid or test would be empty.
    """
    return _checked_fold(frames, config, dataset_hash, host_element, _contains)


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


def _contains(solutes: frozenset[str], element: str) -> bool:
    return element in solutes


def _is_only_solute(solutes: frozenset[str], element: str) -> bool:
    return solutes == {element}


def _checked_fold(
    frames: Sequence[FrameEntry],
    config: SplitConfig,
    dataset_hash: str,
    host_element: str,
    is_test: IsTest,
) -> Split:
    element = config.element
    solutes = sorted(frozenset().union(*(frame.solutes(host_element) for frame in frames)))
    if element is None:
        raise UserError(
            f"The protocol {config.protocol} needs the element to hold out.",
            where="split.element",
            valid=solutes,
            remedy="Give split.element=X, or the grid an axis 'element'.",
        )
    if element not in solutes:
        raise UserError(
            f"No frame holds {element} beside the host {host_element}.",
            where="axes.element",
            valid=solutes,
            remedy=f"Hold out some of these: axes.element=[{','.join(solutes)}].",
        )

    def fold(candidate: str) -> Split:
        tested = {frame.id for frame in frames if is_test(frame.solutes(host_element), candidate)}
        units = _ordered_units(frames, config, dataset_hash, fold=[candidate, config.repeat])
        return _hold_out(units, tested, config)

    split = fold(element)
    if _empty_parts(split):
        workable = [other for other in solutes if not _empty_parts(fold(other))]
        what = f"{config.protocol} fold of element {element}"
        raise _empty_error(what, split, frames, config, workable=workable)
    return split


def _hold_out(units: list[Unit], tested: set[str], config: SplitConfig) -> Split:
    """Divides the units without a test frame; group mates of test frames are excluded.

    In a few-shot fold the first units with a test frame are kept out of test, and the first of
    these train.
    """
    touched = [unit for unit in units if not tested.isdisjoint(unit)]
    rest = [unit for unit in units if tested.isdisjoint(unit)]
    test = [tuple(id_ for id_ in unit if id_ in tested) for unit in touched]
    mates = [tuple(id_ for id_ in unit if id_ not in tested) for unit in touched]
    shares = (float(1 - Fraction(repr(config.valid_fraction))), config.valid_fraction)
    _, n_valid = apportion(sum(map(len, rest)), shares)
    valid, rest = _take(rest, n_valid)
    train, unused = _limited(rest, config.max_train)
    few_shot_fold = config.protocol == "few_shot"
    n_shots, n_kept = (config.shots, config.max_shots) if few_shot_fold else (0, 0)
    return _as_split(
        train=test[:n_shots] + train,
        valid=valid,
        test=test[n_kept:],
        excluded=test[n_shots:n_kept] + mates + unused,
    )


def _ordered_units(
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


def _take(units: list[Unit], target: int) -> tuple[list[Unit], list[Unit]]:
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


def _limited(units: list[Unit], max_train: int | None) -> tuple[list[Unit], list[Unit]]:
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


def _as_split(
    *, train: list[Unit], valid: list[Unit], test: list[Unit], excluded: list[Unit]
) -> Split:
    def flat(units: list[Unit]) -> Unit:
        return tuple(id_ for unit in units for id_ in unit)

    return Split(train=flat(train), valid=flat(valid), test=flat(test), excluded=flat(excluded))


def _empty_parts(split: Split) -> str:
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    return " and ".join(name for name, ids in parts.items() if not ids)


def _empty_error(
    what: str,
    split: Split,
    frames: Sequence[FrameEntry],
    config: SplitConfig,
    *,
    workable: Sequence[str] = (),
) -> UserError:
    groups = f" in {len({frame.group for frame in frames})} groups" if config.grouped else ""
    remedies = ["use more frames (another subset or dataset)"]
    if "valid" in _empty_parts(split):
        share = "split.valid_fraction" if config.element else "split.fractions"
        remedies.insert(0, f"give valid a larger share with {share}")
    if workable:
        remedies.append("hold out one of the elements above")
    if config.protocol == "few_shot" and "test" in _empty_parts(split):
        remedies.append(
            f"keep fewer structures out of test than split.max_shots={config.max_shots}"
        )
    if config.max_train is not None:
        remedies.append("raise split.max_train, which takes no part of a group")
    if config.grouped:
        remedies.append("give split.grouped=false, which lets trajectories leak")
    return UserError(
        f"The {what} leaves {_empty_parts(split)} empty: train {len(split.train)}, "
        f"valid {len(split.valid)}, test {len(split.test)}, excluded {len(split.excluded)} of "
        f"{len(frames)} frames{groups}.",
        where="split.element" if config.element else "split",
        valid=workable,
        remedy=", or ".join(remedies).capitalize() + ".",
    )

"""Splitters: which frames train, select and test a model, the same on every machine.

D(s) is the set of elements of a frame s other than the host element. The protocols are those
of Fang et al., Materials 2026, 19(9), 1715; `docs/splits.md` defines them and what ``grouped``
changes; `mo_hpc.grid.division` has what they share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from mo_hpc.core.errors import UserError
from mo_hpc.core.index import FrameEntry
from mo_hpc.core.schema import SplitConfig
from mo_hpc.core.task import Split
from mo_hpc.grid.division import (
    Unit,
    apportion,
    as_split,
    empty_error,
    empty_parts,
    limited,
    ordered_units,
    take,
)

IsTest = Callable[[frozenset[str], str], bool]
"""Whether a frame with solutes D(s) is tested in the fold of an element."""


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
    units = ordered_units(frames, config, dataset_hash, fold=[config.repeat])
    test, rest = take(units, n_test)
    valid, rest = take(rest, n_valid)
    train, unused = limited(rest, config.max_train)
    split = as_split(train=train, valid=valid, test=test, excluded=unused)
    if empty_parts(split):
        raise empty_error(
            f"{config.protocol} split of repeat {config.repeat}", split, frames, config
        )
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
    Where ``config.selection`` leaves the choice to models, those kept out of test are the pool.

    Args:
        frames: The frames to divide, in any order.
        config: As for `lodo_strict`, the shots, how they are chosen, and how many structures are
            kept out of test.
        dataset_hash: Hash of the dataset, which enters the permutation of all parts.
        host_element: The element that D(s) leaves out.

    Raises:
        UserError: If no frame has the element, or train, valid or test would be empty.
    """
    return _checked_fold(frames, config, dataset_hash, host_element, _contains)


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
        units = ordered_units(frames, config, dataset_hash, fold=[candidate, config.repeat])
        return hold_out(units, tested, config)

    split = fold(element)
    if empty_parts(split):
        workable = [other for other in solutes if not empty_parts(fold(other))]
        what = f"{config.protocol} fold of element {element}"
        raise empty_error(what, split, frames, config, workable=workable)
    return split


def hold_out(units: list[Unit], tested: set[str], config: SplitConfig) -> Split:
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
    valid, rest = take(rest, n_valid)
    train, unused = limited(rest, config.max_train)
    few_shot_fold = config.protocol == "few_shot"
    n_shots, n_kept = (config.shots, config.max_shots) if few_shot_fold else (0, 0)
    if config.chooses:
        fixed = as_split(train=train, valid=valid, test=test[n_kept:], excluded=mates + unused)
        return fixed.model_copy(update={"pool": tuple(test[:n_kept])})
    return as_split(
        train=test[:n_shots] + train,
        valid=valid,
        test=test[n_kept:],
        excluded=test[n_shots:n_kept] + mates + unused,
    )

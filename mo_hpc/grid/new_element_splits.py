"""Splitters for elements that a fine-tuned model has never seen, ``config.new_elements``.

They read the test sets of Fang et al., Materials 2026, 19(9), 1715, section 3.3, whose text can
be taken in two ways; `docs/new-elements.md` defines both. The third reading, a plain random
split of all frames, is `iid` under the name ``joint``.
"""

from __future__ import annotations

from collections.abc import Sequence

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
from mo_hpc.grid.splits import hold_out


def new_elements(
    frames: Sequence[FrameEntry],
    config: SplitConfig,
    *,
    dataset_hash: str,
    host_element: str,
) -> Split:
    """Every frame with a new element is tested, as `lodo_strict` does for one element.

    Args:
        frames: The frames to divide, in any order.
        config: The new elements, share of valid, repeat, seed, grouping, limit on training frames.
        dataset_hash: Hash of the dataset, which enters the permutation of train and valid.
        host_element: The element that D(s) leaves out.

    Raises:
        UserError: If a new element is in no frame, or train, valid or test would be empty.
    """
    held = _with_new(frames, config, host_element)
    fold: list[str | int] = [*sorted(config.new_elements), config.repeat]
    split = hold_out(ordered_units(frames, config, dataset_hash, fold=fold), set(held), config)
    return _whole(split, frames, config)


def new_only(
    frames: Sequence[FrameEntry],
    config: SplitConfig,
    *,
    dataset_hash: str,
    host_element: str,
) -> Split:
    """Shares of all frames as `iid` has them, but test takes frames with new elements only.

    Of each new element the first unit trains, so that training has every one of them.

    Args:
        frames: The frames to divide, in any order.
        config: The new elements, shares, repeat, seed, grouping and the limit on training frames.
        dataset_hash: Hash of the dataset, which enters the permutation.
        host_element: The element that D(s) leaves out.

    Raises:
        UserError: If a new element is in no frame, or train, valid or test would be empty.
    """
    held = _with_new(frames, config, host_element)
    units = ordered_units(frames, config, dataset_hash, fold=[config.repeat])
    kept = _first_of_each(units, held, config)
    _, n_valid, n_test = apportion(len(frames), config.fractions)
    free = [unit for unit in units if unit not in kept]
    touched, _ = take([unit for unit in free if not held.keys().isdisjoint(unit)], n_test)
    test = [tuple(id_ for id_ in unit if id_ in held) for unit in touched]
    mates = [tuple(id_ for id_ in unit if id_ not in held) for unit in touched]
    valid, rest = take([unit for unit in free if unit not in set(touched)], n_valid)
    train, unused = limited([*kept, *rest], config.max_train)
    split = as_split(train=train, valid=valid, test=test, excluded=mates + unused)
    return _whole(split, frames, config)


def _first_of_each(
    units: list[Unit], held: dict[str, frozenset[str]], config: SplitConfig
) -> dict[Unit, None]:
    """The first unit with each new element, in order."""
    kept: dict[Unit, None] = {}
    for element in sorted(config.new_elements):
        first = next(
            unit for unit in units if any(element in held.get(id_, frozenset()) for id_ in unit)
        )
        kept[first] = None
    return kept


def _with_new(
    frames: Sequence[FrameEntry], config: SplitConfig, host_element: str
) -> dict[str, frozenset[str]]:
    """Ids of the frames with a new element, with those they have.

    Raises:
        UserError: If no element is named, or one is in no frame.
    """
    solutes = sorted(frozenset().union(*(frame.solutes(host_element) for frame in frames)))
    absent = sorted(set(config.new_elements).difference(solutes))
    if absent or not config.new_elements:
        what = f"No frame holds {', '.join(absent)}" if absent else "Which elements are new"
        raise UserError(
            f"{what}{'' if absent else ' is not said'} (protocol {config.protocol}).",
            where="split.new_elements",
            valid=solutes,
            remedy="Name some of these: split.new_elements=[…].",
        )
    wanted = frozenset(config.new_elements)
    found = {frame.id: frame.solutes(host_element) & wanted for frame in frames}
    return {id_: elements for id_, elements in found.items() if elements}


def _whole(split: Split, frames: Sequence[FrameEntry], config: SplitConfig) -> Split:
    if empty_parts(split):
        what = f"{config.protocol} split of repeat {config.repeat}"
        raise empty_error(what, split, frames, config)
    return split

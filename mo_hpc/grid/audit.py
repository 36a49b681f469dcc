"""The leakage audit: what the test frames share with the frames a model is made from.

It runs while planning, and its outcome stands in every record. A finding is a fact, not a
failure: an ungrouped split over relaxation frames shares trajectories by definition.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mo_hpc.core.index import FrameEntry
from mo_hpc.core.schema import SplitConfig
from mo_hpc.core.task import LeakageAudit, Split


def audit_split(
    split: Split, frames: Mapping[str, FrameEntry], config: SplitConfig, host_element: str
) -> LeakageAudit:
    """Compares test with train and valid, because valid selects the model.

    Args:
        split: The split to look at.
        frames: All frames of the split by id.
        config: How the split was made.
        host_element: The element that is never held out.
    """
    test = [frames[id_] for id_ in split.test]
    train = [frames[id_] for id_ in split.train]
    valid = [frames[id_] for id_ in split.valid]
    fitted = [*train, *valid]
    duplicates = _sharing(test, {frame.fingerprint for frame in fitted}, "fingerprint")
    near = _sharing(test, {frame.near for frame in fitted}, "near") - duplicates
    groups = {frame.group for frame in test} & {frame.group for frame in fitted}
    asked = frozenset(config.tested_elements)
    n_train = sum(not asked.isdisjoint(frame.solutes(host_element)) for frame in train)
    n_valid = sum(not asked.isdisjoint(frame.solutes(host_element)) for frame in valid)
    named = f"the held-out element {config.element}"
    if asked == set(config.new_elements):
        named = f"a new element ({', '.join(config.new_elements)})"
    facts = {
        "Test frames with an exact duplicate in train or valid": len(duplicates),
        "Test frames with a near-duplicate in train or valid": len(near),
        "Trajectories with frames both in test and in train or valid": len(groups),
        f"Training frames that contain {named}": n_train,
        f"Validation frames that contain {named}": n_valid,
    }
    return LeakageAudit(
        n_duplicates=len(duplicates),
        n_near_duplicates=len(near),
        n_shared_groups=len(groups),
        held_out_element_in_train=n_train > 0 if asked else None,
        n_train_with_held_out_element=n_train,
        findings=tuple(f"{fact}: {number}." for fact, number in facts.items() if number),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Frames that a model, its foundations included, was fitted to or selected on.

    Attributes:
        by_dataset: Dataset name → frames; ids, groups and near-duplicates mean something
            within a dataset only.
    """

    by_dataset: Mapping[str, tuple[FrameEntry, ...]] = field(default_factory=dict)

    def plus(self, dataset: str, frames: Sequence[FrameEntry]) -> Fitted:
        """These frames and more."""
        known = self.by_dataset.get(dataset, ())
        return Fitted({**self.by_dataset, dataset: (*known, *frames)})

    def joined(self, other: Fitted) -> Fitted:
        """These frames and those of another model."""
        joined = self
        for dataset, frames in other.by_dataset.items():
            joined = joined.plus(dataset, frames)
        return joined


def with_foundation(
    audit: LeakageAudit,
    *,
    dataset: str,
    test: Sequence[FrameEntry],
    fitted: Fitted,
    tested: Collection[str],
) -> LeakageAudit:
    """Adds what the foundation of a task has seen of its test frames.

    Args:
        audit: The audit of the task's own split.
        dataset: The dataset of the test frames.
        test: The test frames.
        fitted: What the foundation, and the model that gives its new elements, was fitted to or
            selected on.
        tested: The elements that the protocol asks about; none where it asks about no element.
    """
    every = [frame for frames in fitted.by_dataset.values() for frame in frames]
    own = fitted.by_dataset.get(dataset, ())
    seen = _sharing(test, {frame.fingerprint for frame in every}, "fingerprint")
    for key in ("id", "near", "group"):
        seen |= _sharing(test, {getattr(frame, key) for frame in own}, key)
    known = {element for frame in every for element in frame.composition}.intersection(tested)
    return _plus_foundation(audit, len(seen), known=bool(known) if tested else None, tested=tested)


def of_resolved(
    split: Split,
    frames: Mapping[str, FrameEntry],
    config: SplitConfig,
    host_element: str,
    planned: LeakageAudit,
) -> LeakageAudit:
    """The audit of a split whose shots have been chosen since it was planned.

    Args:
        split: The split with its shots.
        frames: Its frames by id.
        config: How the split was made.
        host_element: The element that is never held out.
        planned: The audit of the plan; what it says of the foundation holds still, because the
            choice leaves the test frames as they are.
    """
    audit = audit_split(split, frames, config, host_element)
    if planned.n_seen_by_foundation is None:
        return audit
    return _plus_foundation(
        audit,
        planned.n_seen_by_foundation,
        known=planned.held_out_element_in_foundation,
        tested=config.tested_elements,
    )


def _plus_foundation(
    audit: LeakageAudit, n_seen: int, *, known: bool | None, tested: Collection[str]
) -> LeakageAudit:
    findings = list(audit.findings)
    if n_seen:
        findings.append(f"Test frames that the foundation was made from: {n_seen}.")
    if known:
        named = " or ".join(tested)
        findings.append(f"The foundation was made with frames that contain {named}.")
    return audit.model_copy(
        update={
            "n_seen_by_foundation": n_seen,
            "held_out_element_in_foundation": known,
            "findings": tuple(findings),
        }
    )


def _sharing(test: Iterable[FrameEntry], keys: set[str], attribute: str) -> set[str]:
    """Ids of the test frames whose key is among the given ones; an empty key matches none."""
    return {frame.id for frame in test if (key := getattr(frame, attribute)) != "" and key in keys}

"""The splits of a plan: made once for each definition, audited, and looked up by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mo_hpc.core import registry
from mo_hpc.core.errors import unknown_name
from mo_hpc.core.files import digest
from mo_hpc.core.index import DatasetIndex, FrameEntry
from mo_hpc.core.schema import DatasetConfig, SplitConfig
from mo_hpc.core.strict import Scalar
from mo_hpc.core.task import LeakageAudit, Split, SplitSummary
from mo_hpc.grid.audit import audit_split


@dataclass(frozen=True, slots=True, eq=False)
class PlannedSplit:
    """A split with its summary and its frames.

    Attributes:
        split: Frame ids.
        summary: Definition, counts and audit.
        frames: The frames it was made from, by id.
        single_atom_elements: Elements of the training frames that hold one atom only.
    """

    split: Split
    summary: SplitSummary
    frames: Mapping[str, FrameEntry]
    single_atom_elements: frozenset[str]

    @property
    def test_frames(self) -> list[FrameEntry]:
        """The frames that are tested."""
        return [self.frames[name] for name in self.split.test]

    @property
    def fitted_frames(self) -> list[FrameEntry]:
        """The frames that a model is fitted to or selected on, or may be once it has chosen."""
        return [self.frames[name] for name in (*self.split.widest.train, *self.split.valid)]


@dataclass(slots=True)
class SplitMaker:
    """Makes splits; tasks that differ in other things share one."""

    _made: dict[str, PlannedSplit] = field(default_factory=dict)

    def make(
        self, dataset: DatasetConfig, index: DatasetIndex, subset: str | None, config: SplitConfig
    ) -> PlannedSplit:
        """The split of a subset.

        Raises:
            UserError: If the subset is unknown, or the protocol leaves a part empty.
        """
        key = digest([index.dataset_hash, subset, config.model_dump(mode="json")])
        if key not in self._made:
            self._made[key] = _split(dataset, index, subset, config)
        return self._made[key]


def _split(
    dataset: DatasetConfig, index: DatasetIndex, subset: str | None, config: SplitConfig
) -> PlannedSplit:
    frames = _subset(dataset, index, subset)
    splitter = registry.load(registry.SPLITTERS, "split.protocol", config.protocol)
    split: Split = splitter(
        frames, config, dataset_hash=index.dataset_hash, host_element=dataset.host_element
    )
    by_id = {frame.id: frame for frame in frames}
    audit = audit_split(split.widest, by_id, config, dataset.host_element)
    summary = summary_of(split, by_id, config, audit)
    return PlannedSplit(split, summary, by_id, _single_atom_elements(by_id, split.train))


def summary_of(
    split: Split, by_id: Mapping[str, FrameEntry], config: SplitConfig, audit: LeakageAudit
) -> SplitSummary:
    """Counts and elements of a split beside its definition and audit.

    Args:
        split: Frame ids.
        by_id: The frames by id.
        config: How the split was made.
        audit: What its parts share.
    """
    train_elements = {*_elements(by_id, split.train)}
    if split.pool and config.element:
        train_elements.add(config.element)
    tested = (*split.valid, *split.test)
    return SplitSummary(
        config=config,
        digest=split.digest,
        n_train=len(split.train),
        n_valid=len(split.valid),
        n_test=len(split.test),
        n_excluded=len(split.excluded) + sum(map(len, split.pool)),
        train_elements=tuple(sorted(train_elements)),
        test_elements=_elements(by_id, tested),
        audit=audit,
    )


def _subset(dataset: DatasetConfig, index: DatasetIndex, subset: str | None) -> list[FrameEntry]:
    if subset is None:
        return list(index.frames)
    if subset not in dataset.subsets:
        raise unknown_name("subset", subset, dataset.subsets)
    chosen = dataset.subsets[subset]
    unwanted = set(chosen.without_elements)
    return [
        frame
        for frame in index.frames
        if _has(frame, chosen.where)
        and (not chosen.any_of or any(_has(frame, where) for where in chosen.any_of))
        and unwanted.isdisjoint(frame.composition)
    ]


def _has(frame: FrameEntry, where: Mapping[str, tuple[Scalar, ...]]) -> bool:
    return all(frame.tags.get(tag) in values for tag, values in where.items())


def _elements(by_id: Mapping[str, FrameEntry], ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({element for name in ids for element in by_id[name].composition}))


def _single_atom_elements(by_id: Mapping[str, FrameEntry], ids: tuple[str, ...]) -> frozenset[str]:
    alone = (by_id[name] for name in ids if by_id[name].n_atoms == 1)
    return frozenset(element for frame in alone for element in frame.composition)

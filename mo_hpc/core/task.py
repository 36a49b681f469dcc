"""A task, as the planner writes it to ``task.json``: what all kinds have, and the training."""

from __future__ import annotations

from collections.abc import Sequence

from mo_hpc.core.elements import Element
from mo_hpc.core.execution import Resources
from mo_hpc.core.files import digest
from mo_hpc.core.schema import (
    DatasetConfig,
    ModelConfig,
    NewElementEnergy,
    NewElementWeights,
    Paradigm,
    Selection,
    SplitConfig,
    TrainConfig,
)
from mo_hpc.core.strict import Scalar, Strict

TASK_SCHEMA_VERSION = 1


class Split(Strict):
    """Frame ids of one split (``split.json``); ids are those of the dataset's index."""

    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    excluded: tuple[str, ...] = ()
    """Frames in none of the three, such as group mates of a test frame."""
    pool: tuple[tuple[str, ...], ...] = ()
    """Structures, each its frames, from which the task chooses its shots; none where planning
    has chosen."""

    @property
    def digest(self) -> str:
        """The split's identity; what is left out of all three parts changes no result."""
        without = {"excluded"} if self.pool else {"excluded", "pool"}
        return digest(self.model_dump(mode="json", exclude=without))

    @property
    def widest(self) -> Split:
        """The split as if all of the pool trained, which no choice exceeds."""
        return self.choosing(self.pool)

    def choosing(self, chosen: Sequence[tuple[str, ...]]) -> Split:
        """The split in which these structures of the pool train, and its others do not.

        They train in the order of the pool, so that the same structures are the same training
        however they were chosen.
        """
        shots = [name for unit in self.pool if unit in chosen for name in unit]
        others = [name for unit in self.pool if unit not in chosen for name in unit]
        return Split(
            train=(*shots, *self.train),
            valid=self.valid,
            test=self.test,
            excluded=(*others, *self.excluded),
        )


class ShotChoice(Strict):
    """The structures of a new element that models chose for training (``selection.json``)."""

    task_digest: str
    rule: Selection
    model_sha256: tuple[str, ...]
    """Of the start model, or of each member of the committee."""
    chosen: tuple[tuple[str, ...], ...]
    """Frames of each structure, structures in the order in which they were chosen."""
    scores: tuple[float, ...]
    """Why each was chosen: ``descriptor``, its distance from what was known before it (no unit);
    ``committee``, the largest spread of a predicted force in it, eV/Å."""
    n_candidates: int
    """Structures that could have been chosen."""


class LeakageAudit(Strict):
    """What the test frames share with the frames the model is fitted to or selected on."""

    n_duplicates: int
    """Test frames with an exact duplicate in train or valid."""
    n_near_duplicates: int
    """Test frames with a near-duplicate in train or valid."""
    n_shared_groups: int
    """Trajectories with frames both in test and in train or valid."""
    held_out_element_in_train: bool | None
    """None where the protocol holds out no element."""
    n_train_with_held_out_element: int
    n_seen_by_foundation: int | None = None
    """Test frames that a foundation made by an earlier stage was fitted to or selected on,
    themselves or by a duplicate, near-duplicate or trajectory; a model that gives new elements
    counts as one. None without such a foundation."""
    held_out_element_in_foundation: bool | None = None
    """Whether that foundation's training frames have the held-out element, or a tested new one."""
    findings: tuple[str, ...]
    """One sentence for each finding; empty where nothing was found."""


class SplitSummary(Strict):
    """A split's definition, size and audit, as every record carries it."""

    config: SplitConfig
    digest: str
    n_train: int
    n_valid: int
    n_test: int
    n_excluded: int
    train_elements: tuple[Element, ...]
    test_elements: tuple[Element, ...]
    audit: LeakageAudit
    """Where shots are still to be chosen, as if all candidates trained."""
    choice: ShotChoice | None = None
    """How the shots were chosen; None where planning chose, or the task has yet to."""


class DatasetRef(Strict):
    """The dataset a task reads, with the hash that planning saw."""

    config: DatasetConfig
    subset: str | None
    dataset_hash: str


class FoundationRef(Strict):
    """The pretrained model a task starts from or evaluates.

    Exactly one of ``task_id`` (made by an earlier stage) and ``name`` (registered name, path
    or ``run:GRID/DIGEST``) is given.
    """

    task_id: str | None = None
    name: str | None = None
    run_task_id: str | None = None
    """The task of the named run that made it; None where ``name`` is no run."""
    sha256: str | None = None
    """None while the file is planned, not made or staged."""
    n_parameters: int | None = None
    elements: tuple[Element, ...]
    is_stand_in: bool
    """True for a model that replaces a published foundation, such as a demo pretraining."""


class NewElements(Strict):
    """What a task's model takes for the elements that its foundation lacks."""

    weights: NewElementWeights
    elements: tuple[Element, ...]
    proxies: dict[Element, Element]
    """New element → the known one whose weights it has; none where a donor gives them."""
    energy_reference: NewElementEnergy | None
    """Where their E0 come from; None where training fits them."""
    energy_reference_ev: dict[Element, float]
    """E0 in eV, where they are explicit."""
    donor: FoundationRef | None = None
    """The model that knows the elements, where their weights or E0 come from it."""


class Runtime(Strict):
    """Places on this machine; outside a task's identity."""

    data_root: str
    cache_root: str
    foundation_path: str | None = None
    donor_path: str | None = None


class TaskSpec(Strict):
    """What every kind of task has; to the executors a task is no more than this."""

    schema_version: int = TASK_SCHEMA_VERSION
    id: str
    """``<stage>-<axis values>-<first 8 digits of the digest>``."""
    digest: str
    kind: str
    """A name of `mo_hpc.core.registry.TASK_KINDS`, which says what else the task has."""
    grid: str
    stage: str
    axes: dict[str, Scalar]
    needs: tuple[str, ...] = ()
    resources: Resources
    runtime: Runtime


class TrainTask(TaskSpec):
    """One training and/or evaluation: everything its worker needs to know."""

    paradigm: Paradigm
    size: str | None = None
    """Name of the model size: the architecture's, or that of the foundation."""
    dataset: DatasetRef
    split: SplitSummary
    model: ModelConfig | None
    """The architecture of a scratch model; None where the foundation brings it."""
    train: TrainConfig
    foundation: FoundationRef | None
    new_elements: NewElements | None = None
    """None where the foundation knows all elements of the data."""
    committee: tuple[str, ...] = ()
    """Tasks whose models choose the structures of a new element by their disagreement."""

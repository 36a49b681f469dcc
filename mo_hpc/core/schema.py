"""The configuration as frozen, validated models: what a user may write, with its units."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from mo_hpc.core.calculation import CalculatorConfig, LabelConfig
from mo_hpc.core.checks import CheckConfig, CheckName
from mo_hpc.core.elements import Element
from mo_hpc.core.execution import ExecutorConfig, Resources, RetryConfig, SiteConfig
from mo_hpc.core.strict import FOLDER_NAME, Scalar, Strict
from mo_hpc.core.validation import validated as validated  # noqa: PLC0414 - goes with the models

Paradigm = Literal["zero_shot", "scratch", "fine_tune"]
Protocol = Literal[
    "iid", "lodo_strict", "lodo_relaxed", "few_shot", "new_elements", "new_only", "joint"
]
Selection = Literal["random", "descriptor", "committee"]
EnergyReference = Literal["average", "foundation", "estimated", "isolated", "explicit"]
NewElementWeights = Literal["proxy_group", "proxy_period", "proxy_number", "proxy_given", "slice"]
NewElementEnergy = Literal["borrowed", "foundation", "estimated", "explicit"]
FEWEST_MEMBERS = 3
"""Members of a committee below which a spread is no more than a coin's toss."""


class SubsetConfig(Strict):
    """A named part of a dataset: the frames that satisfy all of its conditions."""

    where: dict[str, tuple[Scalar, ...]] = {}
    """Tag → the values that it may have."""
    any_of: tuple[dict[str, tuple[Scalar, ...]], ...] = ()
    """Alternatives, each like ``where``; none: no such condition."""
    without_elements: tuple[Element, ...] = ()
    """Elements that a frame must not have."""


class LabelKeys(Strict):
    """Where a frame keeps its labels (names of ASE ``info`` and ``arrays`` entries)."""

    energy: str = "REF_energy"
    forces: str = "REF_forces"


class SourceConfig(Strict):
    """Where a dataset comes from and what to tell someone who does not have it."""

    kind: Literal["download", "request", "local", "generated"]
    base_url: str | None = None
    """Address below which the files lie, for ``kind: download``."""
    base_path: str = ""
    """Leading part of the files' paths that ``base_url`` already stands for."""
    sha256: dict[str, str] = {}
    """Path below the data root → sha256 of each file to fetch."""
    how_to_get: str
    licence: str
    citation: str = ""


class DatasetConfig(Strict):
    """One entry of the dataset registry (``configs/dataset/NAME.yaml``)."""

    name: str = Field(pattern=FOLDER_NAME)
    description: str
    reader: Literal["extxyz", "snap_json", "ase"]
    files: tuple[str, ...]
    """Paths or glob patterns below the data root (generated sets: below the cache)."""
    keys: LabelKeys = LabelKeys()
    host_element: Element = "Mo"
    group_key: str | None = None
    """The ``info`` entry that names a frame's trajectory; None: the reader knows."""
    host_key: str | None = None
    """The ``info`` entry that names a frame's host crystal."""
    tag_keys: tuple[str, ...] = ()
    """The ``info`` entries that become tags."""
    where: dict[str, tuple[Scalar, ...]] = {}
    """Only frames whose tags have one of these values belong to the dataset."""
    subsets: dict[str, SubsetConfig] = {}
    labels: str
    """What computed the labels, as tables print it, such as ``VASP PBE 520 eV``."""
    synthetic: bool = False
    """True where the labels are not from first principles; printed wherever they appear."""
    generator: str | None = None
    source: SourceConfig


class SplitConfig(Strict):
    """How frames are divided into train, valid and test."""

    protocol: Protocol = "iid"
    grouped: bool = True
    """True: frames of one trajectory never straddle train, valid and test."""
    element: Element | None = None
    """The held-out element of a LODO or few-shot fold."""
    repeat: int = Field(0, ge=0)
    seed: int = 42
    fractions: tuple[float, float, float] = (0.81, 0.09, 0.10)
    """Train, valid and test shares of the IID protocol."""
    valid_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of what is not test that becomes valid in a LODO fold (paper: not stated)."""
    max_train: int | None = Field(None, ge=1)
    """At most so many training frames (whole groups when grouped), shots not counted; None: all."""
    shots: int = Field(0, ge=0)
    """Structures of the element (whole groups when grouped) that train in a few-shot fold."""
    max_shots: int = Field(50, ge=1)
    """Structures kept out of a few-shot fold's test, so that any number of shots has one test."""
    selection: Selection = "random"
    """Which of them train; what is not random is chosen by models, when the task runs."""
    new_elements: tuple[Element, ...] = ()
    """Elements that the model to be tested has never seen (``new_elements``, ``new_only``,
    ``joint``)."""

    @model_validator(mode="after")
    def _consistent(self) -> SplitConfig:
        if not math.isclose(sum(self.fractions), 1) or min(self.fractions) <= 0:
            raise ValueError("fractions must be positive and sum to 1")
        if self.shots > self.max_shots:
            raise ValueError(f"shots={self.shots} must not exceed max_shots={self.max_shots}")
        if self.chooses and self.shots == self.max_shots:
            raise ValueError(
                f"selection={self.selection} has nothing to choose: shots={self.shots} takes all "
                f"max_shots={self.max_shots}; take fewer shots, or raise max_shots"
            )
        return self

    @property
    def chooses(self) -> bool:
        """Whether models choose the shots when the task runs."""
        return self.protocol == "few_shot" and self.shots > 0 and self.selection != "random"

    @property
    def tested_elements(self) -> tuple[Element, ...]:
        """The elements that the protocol asks about; none where it asks about no element."""
        if self.protocol == "iid":
            return ()
        if self.protocol in ("new_elements", "new_only", "joint"):
            return self.new_elements
        return (self.element,) if self.element else ()


class ModelConfig(Strict):
    """Architecture of a MACE trained from scratch (a foundation brings its own)."""

    name: str
    num_channels: int = Field(128, ge=1)
    max_L: int = Field(1, ge=0, le=3)  # noqa: N815 - MACE's own name
    max_ell: int = Field(3, ge=0, le=4)
    correlation: int = Field(3, ge=1, le=4)
    num_interactions: int = Field(2, ge=1, le=4)
    r_max_ang: float = Field(6.0, gt=0)
    num_radial_basis: int = Field(10, ge=1)
    num_cutoff_basis: int = Field(5, ge=1)
    radial_mlp: tuple[int, ...] = (64, 64, 64)
    readout_mlp_irreps: str = "16x0e"
    gate: Literal["silu", "tanh", "abs"] = "silu"


class Adjustment(Strict):
    """Settings that apply only to some tasks, such as fewer epochs for scratch models.

    ``when`` names axis values (or ``dataset``, ``stage``), none for all tasks; ``set`` maps
    dotted configuration keys (``train.…``, ``model.…``, ``resources.…``) to values.
    """

    when: dict[str, Scalar | tuple[Scalar, ...]]
    set: dict[str, Any]


class SchedulerConfig(Strict):
    """How the learning rate falls, in units of validations."""

    kind: Literal["plateau", "cosine"] = "plateau"
    """``plateau``: by ``factor`` after ``patience`` validations without improvement, as MACE does;
    ``cosine``: along half a cosine to zero at the last epoch, which short trainings gain from."""
    factor: float = Field(0.8, gt=0, lt=1)
    patience: int = Field(50, ge=0)


class TrainConfig(Strict):
    """Optimisation settings; the presets are ``configs/train/*.yaml``."""

    preset: str
    loss: Literal["l1l2", "weighted"]
    """``l1l2``: the paper's text; ``weighted``: MACE's default MSE, the paper's scripts."""
    energy_weight: float = Field(30.0, ge=0)
    forces_weight: float = Field(30.0, ge=0)
    learning_rate: float = Field(3e-4, gt=0)
    weight_decay: float = Field(1e-6, ge=0)
    amsgrad: bool = True
    ema_decay: float | None = Field(0.99, gt=0, lt=1)
    clip_grad_norm: float | None = Field(10.0, gt=0)
    batch_size: int = Field(8, ge=1)
    """Effective batch over all ranks: the result does not depend on how many there are."""
    eval_batch_size: int = Field(8, ge=1)
    max_epochs: int = Field(200, ge=1)
    eval_interval_epochs: int = Field(1, ge=1)
    early_stopping_patience: int | None = Field(None, ge=1)
    """Validations without improvement after which training stops; None: never."""
    scheduler: SchedulerConfig = SchedulerConfig()
    dtype: Literal["float32", "float64"] = "float32"
    seed: int = 42
    energy_reference: EnergyReference = "average"
    energy_reference_ev: dict[Element, float] = {}
    """Reference energy of each element in eV, for ``energy_reference=explicit``."""
    allow_missing_energy_reference: bool = False
    """True: an element absent from training gets E0 = 0, as in the paper's scripts."""
    checkpoint_interval_epochs: int = Field(1, ge=1)
    adjust: tuple[Adjustment, ...] = ()


class NewElementsConfig(Strict):
    """What a model takes for elements that it lacks; see ``docs/new-elements.md``."""

    weights: NewElementWeights | None = None
    """``proxy_…``: those of a known element, chosen by group, period or number, or given in
    ``proxy``; ``slice``: those of the model that it was fine-tuned from; None: refused."""
    proxy: dict[Element, Element] = {}
    """New element → known element, for ``weights=proxy_given``."""
    energy_reference: NewElementEnergy | None = None
    """``borrowed``: the proxy's E0; ``foundation``: that of the model it was fine-tuned from;
    ``estimated``: the same, shifted by what both differ by on average; ``explicit``; None:
    refused, where training does not fit it."""
    energy_reference_ev: dict[Element, float] = {}
    """E0 of each new element in eV, for ``energy_reference=explicit``."""
    foundation: str | None = None
    """The model that knows the elements, by name or path; None: that which the model of this
    task was fine-tuned from."""


class StageConfig(Strict):
    """One stage of a grid: tasks that differ only along its axes."""

    kind: Literal["train", "label", "check"] = "train"
    axes: dict[str, tuple[Scalar, ...]] = {}
    """Axis name → values; see `mo_hpc.grid.axes` for the names."""
    exclude: tuple[dict[str, Scalar], ...] = ()
    """Combinations that are left out; a combination matches if all named axes do."""
    paradigm: Paradigm = "fine_tune"
    foundation: str | None = None
    """Registered name, path, ``stage:NAME`` (an earlier stage) or ``run:GRID`` (an earlier run);
    ``{axis}`` is replaced by the axis value."""
    committee: str | None = None
    """The stage whose models choose the shots for ``selection: committee``, a model a seed."""
    dataset: str | None = None
    """Another dataset than the run's, by name."""
    subset: str | None = None
    split: dict[str, Any] = {}
    train: dict[str, Any] = {}
    model: dict[str, Any] = {}
    new_elements: dict[str, Any] = {}
    calculator: dict[str, Any] = {}
    label: dict[str, Any] = {}
    checks: dict[str, Any] = {}
    resources: dict[str, Any] = {}
    only_if_needed: bool = False
    """True: the stage is dropped when no other stage takes its output."""


class Thresholds(Strict):
    """Errors that few-shot tables look for; they change no task."""

    energy_mae_mev_per_atom: float | None = Field(None, gt=0)
    energy_mae_mev_per_atom_offset_removed: float | None = Field(None, gt=0)
    force_mae_mev_per_ang_component: float | None = Field(None, gt=0)


class GridConfig(Strict):
    """A sweep (``configs/grid/NAME.yaml``)."""

    name: str = Field(pattern=FOLDER_NAME)
    description: str
    stages: dict[str, StageConfig]
    thresholds: Thresholds = Thresholds()


class AxesConfig(Strict):
    """Narrows or replaces an axis in every stage that has it, from the command line."""

    paradigm: tuple[Paradigm, ...] | None = None
    size: tuple[str, ...] | None = None
    protocol: tuple[Protocol, ...] | None = None
    element: tuple[Element, ...] | None = None
    shots: tuple[int, ...] | None = None
    selection: tuple[Selection, ...] | None = None
    energy_reference: tuple[EnergyReference, ...] | None = None
    repeat: tuple[int, ...] | None = None
    seed: tuple[int, ...] | None = None
    grouped: tuple[bool, ...] | None = None
    check: tuple[CheckName, ...] | None = None
    potential: tuple[str, ...] | None = None
    """Models to check: ``eam``, a registered name, a path, ``run:GRID`` or ``MODULE:FACTORY``."""
    new_elements: tuple[NewElementWeights, ...] | None = None
    new_element_energy: tuple[NewElementEnergy, ...] | None = None


class FoundationConfig(Strict):
    """A registered pretrained model (``configs/foundation/NAME.yaml``)."""

    name: str
    size: str
    """What tables call it, such as ``small``; sizes are compared across paradigms."""
    description: str
    file: str
    """Path below ``<data_root>/foundation``."""
    url: str
    sha256: str | None = None
    n_parameters: int
    elements: tuple[Element, ...]
    licence: str
    citation: str


class RunConfig(Strict):
    """The whole composed configuration of one launch."""

    grid: GridConfig
    dataset: DatasetConfig
    model: ModelConfig
    train: TrainConfig
    split: SplitConfig
    executor: ExecutorConfig
    site: SiteConfig
    resources: Resources
    new_elements: NewElementsConfig = NewElementsConfig()
    axes: AxesConfig = AxesConfig()
    calculator: CalculatorConfig = CalculatorConfig()
    label: LabelConfig = LabelConfig()
    checks: CheckConfig = CheckConfig()
    foundation: str | None = None
    runs_root: str = "runs"
    data_root: str | None = None
    cache_root: str | None = None
    retry: RetryConfig = RetryConfig(name="default")

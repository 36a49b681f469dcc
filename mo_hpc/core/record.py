"""Records: what a task leaves behind, success (``metrics.json``) or failure (``error.json``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mo_hpc.core.errors import UserError
from mo_hpc.core.failure import FailureClass
from mo_hpc.core.files import read_json, write_json
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.registry import imported, task_kind
from mo_hpc.core.schema import Paradigm
from mo_hpc.core.strict import Scalar, Strict
from mo_hpc.core.task import FoundationRef, NewElements, SplitSummary, TaskSpec
from mo_hpc.core.validation import read_validated, validated

RECORD_SCHEMA_VERSION = 1


class EnergyReferences(Strict):
    """E0 of every element of the model, in eV, and where each came from."""

    policy: str
    values_ev: dict[str, float]
    sources: dict[str, str]
    """``fitted``, ``foundation``, ``foundation+shift``, ``foundation+mean_shift``, ``isolated``,
    ``explicit``, ``zero``; of an element that the foundation lacks ``proxy`` or ``donor`` in place
    of ``foundation``."""
    rank: int | None = None
    """Rank of the composition matrix of the fit; below the element count it is not unique."""
    n_fitted: int | None = None


class TrainingSummary(Strict):
    """How training went; None of it for a zero-shot task."""

    epochs: int
    best_epoch: int
    steps: int
    stopped_by: Literal["max_epochs", "early_stopping"]
    best_valid_loss: float
    wall_time_s: float
    effective_batch_size: int
    micro_batch_size: int | None = None
    """Structures at once on the rank whose memory holds fewest; None: an earlier version's."""
    accumulation_steps: int = 1
    """Parts whose gradients were added up for one step, on that rank."""
    world_size: int
    learning_rate_first: float
    learning_rate_last: float
    resumed: int
    """How often training was continued from a checkpoint."""


class Record(Strict):
    """The result of one task: what the records of every kind have."""

    schema_version: int = RECORD_SCHEMA_VERSION
    kind: str = "train"
    """Records of earlier versions do not say it, and are of trainings."""
    task_id: str
    digest: str
    grid: str
    stage: str
    axes: dict[str, Scalar]
    wall_time_s: float
    provenance: dict[str, Any]

    def outputs(self, paths: TaskPaths) -> dict[str, Path]:
        """The task's files that others take, by what they are; without one it is not done."""
        del paths
        return {}


class TrainRecord(Record):
    """The result of one training and/or evaluation."""

    paradigm: Paradigm
    dataset: str
    dataset_hash: str
    subset: str | None
    labels: str
    synthetic: bool
    split: SplitSummary
    foundation: FoundationRef | None
    """With the hash of the file that was opened, also where an earlier stage made it."""
    seed: int
    """Of initialisation and of the order of training structures."""
    new_elements: NewElements | None = None
    """Proxies, or the model that knows them, of the elements that the foundation lacks."""
    energy_references: EnergyReferences
    training: TrainingSummary | None
    n_parameters: int
    n_trainable_parameters: int
    metrics: dict[str, Any]
    """Metric name → value for the test frames; see `mo_hpc.metrics`."""
    valid_metrics: dict[str, Any]
    model_sha256: str | None
    predictions_sha256: str

    def outputs(self, paths: TaskPaths) -> dict[str, Path]:
        """The model, where the task made one."""
        return {"model": paths.model} if self.model_sha256 is not None else {}


class ErrorRecord(Strict):
    """The account of a failure."""

    schema_version: int = RECORD_SCHEMA_VERSION
    task_id: str
    digest: str
    failure_class: FailureClass
    error_type: str
    message: str
    traceback: str
    provenance: dict[str, Any]


def write_record(paths: TaskPaths, record: Record) -> None:
    """Writes ``metrics.json``, which makes the task done, and removes an older failure."""
    write_json(paths.metrics, record.model_dump(mode="json"))
    paths.error.unlink(missing_ok=True)


def read_record(paths: TaskPaths) -> Record:
    """Reads ``metrics.json`` as the record of its kind.

    Raises:
        UserError: If it is missing, cut short, of another schema or of an unknown kind.
    """
    return read_validated(_record_model(_content(paths.metrics)), paths.metrics)


def why_not_done(paths: TaskPaths, task_id: str, digest: str) -> str | None:
    """Why a task's ``metrics.json`` does not make it done; None where it does."""
    found = record_if_done(paths, task_id, digest)
    return found if isinstance(found, str) else None


def record_if_done(paths: TaskPaths, task_id: str, digest: str) -> Record | str:
    """The record that makes a task done, or why its ``metrics.json`` does not.

    A record that is cut short, of another schema or of another task does not count, nor
    does one whose output, such as a model, is gone: the task runs again instead of being
    averaged in, and what needs its output finds it.
    """
    try:
        content = paths.metrics.read_bytes()
        record = _record_model(content).model_validate_json(content)
    except FileNotFoundError:
        return "is missing"
    except (ValidationError, UserError):
        return _why_no_record(paths)
    if record.schema_version != RECORD_SCHEMA_VERSION:
        return _of_schema(record.schema_version)
    if (record.task_id, record.digest) != (task_id, digest):
        return "belongs to another task"
    for what, path in record.outputs(paths).items():
        if not path.is_file():
            return f"is there, but its {what} is missing ({path.name})"
    return record


def _why_no_record(paths: TaskPaths) -> str:
    try:
        document = read_json(paths.metrics)
    except UserError:
        return "is cut short"
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != RECORD_SCHEMA_VERSION:
        return _of_schema(version)
    try:
        validated(_record_model(_content(paths.metrics)), document, where=str(paths.metrics))
    except UserError as error:
        return f"is not a record: {error.what}"
    return "was replaced while it was read"


def _of_schema(version: object) -> str:
    return f"has schema version {version}, not {RECORD_SCHEMA_VERSION}"


def write_error(paths: TaskPaths, error: ErrorRecord) -> None:
    """Writes ``error.json``."""
    write_json(paths.error, error.model_dump(mode="json"))


def read_error(paths: TaskPaths) -> ErrorRecord:
    """Reads ``error.json``.

    Raises:
        UserError: If it is missing, cut short, or of another schema.
    """
    return read_validated(ErrorRecord, paths.error)


def read_task(paths: TaskPaths) -> TaskSpec:
    """Reads ``task.json`` as the task of its kind.

    Raises:
        UserError: If it is missing, cut short, of another schema or of an unknown kind.
    """
    model: type[TaskSpec] = imported(task_kind(_kind_of(_content(paths.task))).task)
    return read_validated(model, paths.task)


class _Kind(BaseModel):
    """The one field that tells which model a document is of."""

    model_config = ConfigDict(extra="ignore", strict=True)
    kind: str = "train"


def _kind_of(content: bytes) -> str:
    try:
        return _Kind.model_validate_json(content).kind
    except ValidationError:
        # It is of no kind; validating it says what is wrong with it.
        return _Kind().kind


def _record_model(content: bytes) -> type[Record]:
    model: type[Record] = imported(task_kind(_kind_of(content)).record)
    return model


def _content(path: Path) -> bytes:
    """The bytes of a file; none where it is missing, which reading it says."""
    return path.read_bytes() if path.is_file() else b""

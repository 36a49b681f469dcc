"""From an exception to the failure class that a record states."""

from __future__ import annotations

import traceback

from mo_hpc.core.errors import BadDataError, DivergedError, UserError
from mo_hpc.core.failure import FailureClass
from mo_hpc.core.provenance import provenance
from mo_hpc.core.record import ErrorRecord
from mo_hpc.core.task import TaskSpec

_CLASSES: tuple[tuple[type[Exception], FailureClass], ...] = (
    (UserError, "bad_input"),
    (BadDataError, "bad_data"),
    (DivergedError, "diverged"),
    (MemoryError, "host_out_of_memory"),
)
# torch's exceptions are told by name, without importing it.
_NAMED: dict[str, FailureClass] = {
    "OutOfMemoryError": "gpu_out_of_memory",
    "DistBackendError": "communication",
    "DistNetworkError": "communication",
    "DistStoreError": "communication",
}
# These arrive as plain RuntimeErrors.
_WORDED: tuple[tuple[str, FailureClass], ...] = (
    ("can't allocate memory", "host_out_of_memory"),
    ("CUDA out of memory", "gpu_out_of_memory"),
    ("Connection closed by peer", "communication"),
    ("Connection reset by peer", "communication"),
    ("Timed out waiting", "communication"),
)


def failure_class(error: Exception) -> FailureClass:
    """The class of a failure that was caught."""
    for kind, name in _CLASSES:
        if isinstance(error, kind):
            return name
    if named := _NAMED.get(type(error).__name__):
        return named
    message = str(error)
    return next((name for words, name in _WORDED if words in message), "python_error")


def error_record(task: TaskSpec, error: Exception) -> ErrorRecord:
    """The account of a failure that was caught while the task ran."""
    return ErrorRecord(
        task_id=task.id,
        digest=task.digest,
        failure_class=failure_class(error),
        error_type=type(error).__name__,
        message=str(error),
        traceback="".join(traceback.format_exception(error)),
        provenance=provenance(),
    )

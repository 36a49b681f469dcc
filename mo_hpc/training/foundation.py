"""Pretrained models: a pickle is opened only after its hash was found to be the expected one."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import torch

from mo_hpc.core.check_task import CheckTask
from mo_hpc.core.errors import UserError
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.record import TrainRecord, read_record
from mo_hpc.core.task import FoundationRef, Runtime, TrainTask
from mo_hpc.data.hints import data_command
from mo_hpc.data.trust import accepted
from mo_hpc.training.model import count_parameters


@dataclass(frozen=True, slots=True)
class FoundationFile:
    """A checkpoint with what it must be.

    Attributes:
        path: The file.
        sha256: Its hash.
        n_parameters: Its number of parameters, None where unknown.
    """

    path: Path
    sha256: str
    n_parameters: int | None


def foundation_file(paths: TaskPaths, task: TrainTask | CheckTask) -> FoundationFile:
    """Where a task's foundation lies, and the hash under which it may be opened.

    Raises:
        UserError: If the file is not known, not accepted, or not made.
    """
    reference = task.foundation
    if reference is None:
        raise UserError(
            "This task needs a foundation, and has none.",
            where=str(paths.task),
        )
    if reference.task_id is not None:
        return model_of_task(paths, reference.task_id)
    if reference.run_task_id is not None and reference.sha256 and task.runtime.foundation_path:
        # A model of one's own, like that of an earlier stage: its record said which.
        path = Path(task.runtime.foundation_path)
        return FoundationFile(path, reference.sha256, reference.n_parameters)
    return accepted_file(reference, task.runtime)


def model_of_task(paths: TaskPaths, task_id: str) -> FoundationFile:
    """The model that another task of the run has made.

    Args:
        paths: The files of the task that takes it.
        task_id: The task that made it.

    Raises:
        UserError: If it made none.
    """
    needed = TaskPaths(paths.folder.parent / task_id)
    record = read_record(needed)
    if not isinstance(record, TrainRecord) or record.model_sha256 is None:
        raise UserError("The needed task made no model.", where=str(needed.metrics))
    return FoundationFile(needed.model, record.model_sha256, record.n_parameters)


def donor_file(paths: TaskPaths, task: TrainTask) -> FoundationFile | None:
    """The same of the model that knows the task's new elements; None where it takes none.

    Raises:
        UserError: If the file is not known, not accepted, or not made.
    """
    donor = task.new_elements.donor if task.new_elements else None
    if donor is None:
        return None
    runtime = task.runtime.model_copy(update={"foundation_path": task.runtime.donor_path})
    return foundation_file(paths, task.model_copy(update={"foundation": donor, "runtime": runtime}))


def load_foundation(file: FoundationFile) -> torch.nn.Module:
    """Opens a checkpoint, on the CPU and in torch's default type.

    The bytes that are hashed are the bytes that are unpickled.

    Raises:
        UserError: If the file is missing, has another hash, or is not the model it should be.
    """
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise UserError(
            f"The foundation cannot be read: {error.strerror}.", where=str(file.path)
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise UserError(
            f"The foundation was not opened: its sha256 is {found}.",
            where=str(file.path),
            valid=[file.sha256],
            remedy="Restore the file, or launch again so that the plan sees the new one.",
        )
    model = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    _check(model, file)
    return model.to(torch.get_default_dtype())  # type: ignore[no-any-return]


def accepted_file(reference: FoundationRef, runtime: Runtime) -> FoundationFile:
    """A registered foundation, or one given by its path, as it was staged while planning.

    Raises:
        UserError: If it was not staged, or its hash is not accepted.
    """
    path = runtime.foundation_path
    if path is None or reference.sha256 is None:
        raise UserError(
            f"The foundation '{reference.name}' was not staged when the run was planned.",
            where="foundation",
            remedy="Launch again: it says how to stage it.",
        )
    cache_root = Path(runtime.cache_root)
    if accepted(cache_root, reference.sha256) is None:
        raise UserError(
            f"The foundation '{reference.name}' was not accepted, and is not opened.",
            where=path,
            remedy="Look at it and accept it:\n"
            + data_command("trust", path, cache_root=cache_root),
        )
    return FoundationFile(Path(path), reference.sha256, reference.n_parameters)


def _check(model: object, file: FoundationFile) -> None:
    if type(model).__name__ != "ScaleShiftMACE" or not isinstance(model, torch.nn.Module):
        raise UserError(
            f"The foundation is a {type(model).__name__}, not a ScaleShiftMACE.",
            where=str(file.path),
        )
    if len(getattr(model, "heads", ["Default"])) > 1:
        raise UserError(
            f"The foundation has the heads {model.heads}; one is supported.",
            where=str(file.path),
            remedy="Extract one head first (`mace_select_head`).",
        )
    n_parameters = count_parameters(model)
    if file.n_parameters is not None and n_parameters != file.n_parameters:
        raise UserError(
            f"The foundation has {n_parameters} parameters.",
            where=str(file.path),
            valid=[file.n_parameters],
        )

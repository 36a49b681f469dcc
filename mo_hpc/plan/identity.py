"""The identity of a task: what changes its science, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mo_hpc.core.files import digest
from mo_hpc.core.task import TASK_SCHEMA_VERSION
from mo_hpc.grid.axes import Cell
from mo_hpc.plan.new_elements import PlannedNewElements
from mo_hpc.plan.settings import CellSettings

_NOT_SCIENCE = {"preset", "adjust", "eval_batch_size", "checkpoint_interval_epochs"}
_LONGEST_NAME = 80


def task_identity(
    kind: str,
    settings: CellSettings,
    *,
    dataset_hash: str,
    split_digest: str,
    foundation: str | None,
    new_elements: PlannedNewElements | None = None,
    committee: Sequence[str] = (),
) -> str:
    """The digest of a task.

    Args:
        kind: The kind of task.
        settings: Its merged settings; resources play no part.
        dataset_hash: Hash of the dataset it reads.
        split_digest: Hash of the frame ids of its split.
        foundation: What its foundation counts as; None where it takes none.
        new_elements: Where it takes elements from that the foundation lacks.
        committee: Digests of the tasks whose models choose its shots.
    """
    train = _science_of_training(settings)
    model = settings.model.model_dump(mode="json", exclude={"name"})
    document = {
        "schema_version": TASK_SCHEMA_VERSION,
        "kind": kind,
        "paradigm": settings.paradigm,
        "dataset": dataset_hash,
        "split": split_digest,
        "train": train,
        "model": model if settings.paradigm == "scratch" else None,
        "foundation": foundation,
    }
    if new_elements is not None:
        document["new_elements"] = _science_of_new_elements(new_elements)
    if settings.split.chooses:
        # The split is that of the plan, which knows only what there is to choose from.
        document["selection"] = {
            **settings.split.model_dump(mode="json", include={"selection", "element", "shots"}),
            "committee": sorted(committee),
        }
    return digest(document)


def _science_of_new_elements(new_elements: PlannedNewElements) -> dict[str, Any]:
    """What becomes of each new element, whichever rule chose it."""
    spec, donor = new_elements.spec, new_elements.donor
    kept = ("elements", "proxies", "energy_reference", "energy_reference_ev")
    return spec.model_dump(mode="json", include=set(kept)) | {
        "donor": donor.counts_as if donor else None
    }


def _science_of_training(settings: CellSettings) -> dict[str, Any]:
    """The optimisation settings that can change a result under the task's paradigm and policy."""
    train = settings.train.model_dump(mode="json", exclude=_NOT_SCIENCE)
    if settings.paradigm == "zero_shot":
        return {"dtype": train["dtype"]}
    if train["energy_reference"] != "average":
        del train["allow_missing_energy_reference"]
    if train["energy_reference"] != "explicit":
        del train["energy_reference_ev"]
    if train["scheduler"]["kind"] == "plateau":
        # As before there was another.
        del train["scheduler"]["kind"]
    else:
        train["scheduler"] = {"kind": train["scheduler"]["kind"]}
    return train


def task_id(stage: str, cell: Cell, task_digest: str) -> str:
    """A readable, unique name: stage, axis values and the first digits of the digest."""
    words = "-".join(re.sub(r"[^A-Za-z0-9_.]+", "", str(value)) for value in cell.values())
    readable = f"{stage}-{words}" if words else stage
    return f"{readable[:_LONGEST_NAME]}-{task_digest[:8]}"

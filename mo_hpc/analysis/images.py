"""Which images the records of a run come from: a table of more than one needs consent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from mo_hpc.analysis.records import RunRecords
from mo_hpc.core.errors import UserError
from mo_hpc.core.record import Record
from mo_hpc.core.shell import pasteable
from mo_hpc.plan.manifest import Manifest

NO_IMAGE = "no image"
"""Stands for the sha256 of records that were made outside of any image."""

_AND_THEN = " and then "
_SHA256 = re.compile("[0-9a-f]{64}")

_MOST_MOVED = 12
"""Tasks that a message lists; for more, a run elsewhere is less work."""


def image_of(record: Record) -> str:
    """The sha256 of the image that a record was made in, or `NO_IMAGE`.

    A task that went on in another image than it began in was made in both.
    """
    images = record.provenance.get("images", [record.provenance.get("image_sha256")])
    return _AND_THEN.join(str(image or NO_IMAGE) for image in images)


def images_of(records: RunRecords) -> dict[str, list[Record]]:
    """The records of each image, the one with most of them first; foundations count too."""
    found: dict[str, list[Record]] = {}
    for record in (*records.records.values(), *records.others.values()):
        found.setdefault(image_of(record), []).append(record)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def require_one_image(records: RunRecords) -> None:
    """Refuses to average over what different images computed.

    Raises:
        UserError: If there is more than one, with the way to one and the way to tables of all.
    """
    images = images_of(records)
    if _are_mixed(images):
        raise UserError(
            f"The records of this run come from {_number(images)} different environments: "
            f"{_listing(images, short=False)}.",
            where=str(records.run.folder),
            remedy=f"{_repetition(records, images)}\n"
            "Or make tables of all, which then say so:\n"
            + pasteable("python -m mo_hpc.collect --mixed-images", [f"run={records.run.folder}"]),
        )


def mixed_images(records: RunRecords) -> list[str]:
    """The sentence for tables and the report of a run from more than one image; else none."""
    images = images_of(records)
    if not _are_mixed(images):
        return []
    listed = _listing(images, short=True)
    return [f"Records of {_number(images)} different environments, collected on request: {listed}."]


def _are_mixed(images: Iterable[str]) -> bool:
    return len(list(images)) > 1 or any(_AND_THEN in image for image in images)


def _number(images: Mapping[str, Sequence[Record]]) -> str:
    return str(len(images)) if len(images) > 1 else "several"


def _listing(images: Mapping[str, Sequence[Record]], *, short: bool) -> str:
    return "; ".join(
        f"{_named(image, short=short)}: {len(records)} {_tasks(records)} ({_stages(records)})"
        for image, records in images.items()
    )


def _named(image: str, *, short: bool) -> str:
    if not _SHA256.fullmatch(image):
        return image
    return f"image {image[:12]}" if short else f"image sha256 {image}"


def _tasks(records: Sequence[Record]) -> str:
    return "task" if len(records) == 1 else "tasks"


def _stages(records: Iterable[Record]) -> str:
    tally = Counter(record.stage for record in records)
    return ", ".join(f"{stage} {number}" for stage, number in sorted(tally.items()))


def _repetition(records: RunRecords, images: Mapping[str, Sequence[Record]]) -> str:
    """How to have all records from the image that most are from."""
    most = next((image for image in images if _AND_THEN not in image), None)
    if most is None:
        return "Run the whole grid in one image: launch it with another runs_root=DIR."
    place = "without an image" if most == NO_IMAGE else f"with the image {most[:12]}"
    odd = {record.task_id for image in images if image != most for record in images[image]}
    moved = _with_dependents(records.manifest, odd)
    if len(moved) > _MOST_MOVED:
        return f"Run the whole grid {place}: launch it with another runs_root=DIR."
    aside = f"{records.run.folder}.set_aside"
    folders = [str(records.run.task(task).folder) for task in moved]
    return (
        "Set aside what the fewer are and what was made from them:\n"
        f"{pasteable('mkdir -p', [aside])}\n"
        f"{pasteable('mv', [*folders, aside])}\n"
        f"and launch the grid again {place}; the first line of {records.run.config} has the words."
    )


def _with_dependents(manifest: Manifest, tasks: set[str]) -> list[str]:
    """These tasks and all that need one of them, in the order of the manifest."""
    chosen: dict[str, None] = {}
    for task in manifest.tasks:
        if task.id in tasks or any(need in chosen for need in task.needs):
            chosen[task.id] = None
    return list(chosen)

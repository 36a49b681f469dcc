"""A container in the site's Python command: its runtime, its image and its options."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import Resources, SiteConfig
from mo_hpc.core.files import sha256_file
from mo_hpc.executors.checkup.finding import Finding, Group

_GROUP = Group("Container")
_RUNTIMES = ("apptainer", "singularity")
_IMAGES = (".sif", ".simg", ".img")


@dataclass(frozen=True, slots=True)
class Container:
    """What ``site.python`` says of a container.

    Attributes:
        runtime: The command that starts it.
        image: Its image: a file, or an address such as ``docker://…``.
        gives_gpus: True if the host's NVIDIA driver is made visible inside.
    """

    runtime: str
    image: str | None
    gives_gpus: bool


def container_of(site: SiteConfig) -> Container | None:
    """The container that the site's Python runs in, None where it runs in none.

    Raises:
        UserError: If ``site.python`` is not words as a shell takes them.
    """
    try:
        words = shlex.split(os.path.expandvars(site.python or ""))
    except ValueError as error:
        raise UserError(
            f"The command {site.python} is not a line of shell: {error}.", where="site.python"
        ) from None
    place = next((i for i, word in enumerate(words) if Path(word).name in _RUNTIMES), None)
    if place is None:
        return None
    rest = words[place + 1 :]
    images = (word for word in rest if word.endswith(_IMAGES) or "://" in word)
    return Container(words[place], next(images, None), gives_gpus="--nv" in rest)


def container_findings(container: Container, resources: Resources) -> Iterator[Finding]:
    """What of the container can be told from here."""
    yield _image(container)
    if resources.gpus_per_node and not container.gives_gpus:
        yield _GROUP.problem(
            "GPUs inside",
            "GPUs are asked for and site.python lacks --nv",
            "Write '… exec --nv …' in site.python.",
        )


def _image(container: Container) -> Finding:
    if container.image is None:
        return _GROUP.not_checked("image", f"no word of site.python ends in {', '.join(_IMAGES)}")
    if "://" in container.image:
        return _GROUP.warning(
            "image",
            f"{container.image} is fetched when a task starts",
            f"Build a file once: '{container.runtime} build mo_hpc.sif {container.image}'.",
        )
    path = Path(container.image)
    if not path.is_file():
        return _GROUP.problem(
            "image",
            f"{path} does not exist here",
            "Correct the path in site.python, or copy the image there.",
        )
    size_gb = path.stat().st_size / 1e9
    return _GROUP.ok("image", f"{path}, {size_gb:.1f} GB, sha256 {sha256_file(path)}")

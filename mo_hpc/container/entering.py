"""Who enters the site's image, and when: tasks always, the launcher where it lacks libraries."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mo_hpc.container.image import Image, identify, require_this_suite
from mo_hpc.container.script import DIGEST_VARIABLE, Bind, enter_script
from mo_hpc.core.config import LAUNCHER_CONFIGS, configs_folder, own_configs
from mo_hpc.core.execution import SiteConfig
from mo_hpc.core.libraries import missing_libraries


@dataclass(frozen=True, slots=True)
class Container:
    """The site's image with what a process in it sees.

    Attributes:
        image: The image.
        binds: Files and folders of the host.
        settings: Environment variables.
        python: The shell words that start Python inside.
    """

    image: Image
    binds: tuple[Bind, ...]
    settings: tuple[tuple[str, str], ...]
    python: str

    def script(self, name: str) -> str:
        """The text of the script that starts Python inside; ``name`` is what it is called."""
        return enter_script(
            self.image, list(self.binds), dict(self.settings), python=self.python, name=name
        )

    def command(self) -> list[str]:
        """The words that start Python inside; folders that it may write are made first."""
        for bind in self.binds:
            if bind.writable:
                bind.path.mkdir(parents=True, exist_ok=True)
        return ["bash", "-c", self.script("bash -c SCRIPT mo_hpc"), "mo_hpc"]

    def enter(self, arguments: Sequence[str]) -> NoReturn:
        """Replaces this process by ``python arguments`` inside."""
        sys.stdout.flush()
        sys.stderr.flush()
        command = self.command()
        os.execvp(command[0], [*command, *arguments])  # noqa: S606 - no shell text


def is_inside() -> bool:
    """Whether this process runs in an image that a launch chose."""
    return DIGEST_VARIABLE in os.environ


def container_of(
    site: SiteConfig,
    data_root: Path,
    cache_root: Path,
    *,
    writable: Iterable[Path] = (),
    readable: Iterable[Path] = (),
) -> Container | None:
    """The site's image for a run; None where the site has none, or we are in it already.

    Args:
        site: The site.
        data_root: Where datasets and foundations lie; seen read-only.
        cache_root: Where indices and generated datasets lie.
        writable: Further folders that may be written, such as the run's.
        readable: Further files and folders.

    Raises:
        UserError: If the image is not there or holds another version of the suite.
    """
    if site.container is None or is_inside():
        return None
    image = identify(site.container, cache_root)
    require_this_suite(image)
    settings = {
        "MO_HPC_DATA": str(data_root),
        "MO_HPC_CACHE": str(cache_root),
        LAUNCHER_CONFIGS: str(configs_folder()),
    }
    if own := own_configs():
        settings["MO_HPC_CONFIGS"] = str(own)
    binds = [
        *(Bind(Path(folder), writable=name == "MO_HPC_CACHE") for name, folder in settings.items()),
        *(Bind(path.absolute(), writable=True) for path in writable),
        *(Bind(path.absolute()) for path in readable),
        *(_bind(word) for word in site.binds),
    ]
    return Container(image, tuple(binds), tuple(settings.items()), site.python or "python")


def python_with(libraries: Sequence[str], container: Container | None) -> list[str]:
    """The words that start a Python with some libraries: this one, else the image's."""
    if container is not None and missing_libraries(libraries):
        return container.command()
    return [sys.executable]


def _bind(word: str) -> Bind:
    path, _, mode = word.partition(":")
    return Bind(Path(path), writable=mode != "ro")

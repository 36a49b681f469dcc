"""The site's image: whether it is there, of this suite and version, and what runs it here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mo_hpc
from mo_hpc.container.entering import Container, container_of
from mo_hpc.container.image import RUNTIMES, has_other_code, labels
from mo_hpc.core.errors import UserError
from mo_hpc.core.schema import RunConfig
from mo_hpc.data.location import resolve_roots
from mo_hpc.executors.checkup.finding import Finding, Group

_GROUP = Group("Image")


def site_container(config: RunConfig, *writable: Path) -> Container | None:
    """The site's image as tasks get it, None where the site has none.

    Args:
        config: Site and roots.
        writable: Folders that may be written inside, beside the cache.

    Raises:
        UserError: If it is not there, not of this suite or of another version.
    """
    roots = resolve_roots(config.data_root, config.cache_root)
    return container_of(config.site, *roots, writable=writable)


def container_findings(config: RunConfig) -> Iterator[Finding]:
    """What of the site's image can be told from here; nothing where it has none."""
    try:
        container = site_container(config)
    except UserError as error:
        yield _GROUP.problem("image", error.what, error.remedy or "Correct site.container.")
        return
    if container is None:
        return
    image = container.image
    size = f"{image.size_bytes / 1e9:.2f} GB"
    yield _GROUP.ok("image", f"{image.path}, {size}, sha256 {image.sha256}")
    if labels(image) is None:
        yield _GROUP.not_checked("image inside", f"no {' or '.join(RUNTIMES)} on this machine")
    elif has_other_code(image):
        yield _GROUP.warning(
            "image inside",
            f"mo_hpc {mo_hpc.__version__} as here, but other code of it",
            "Build the image again from this code: containers/build.",
        )
    else:
        yield _GROUP.ok("image inside", f"mo_hpc {mo_hpc.__version__}, as here")

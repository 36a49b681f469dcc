"""`python -m mo_hpc.enter`: Python in the site's image, with what tasks see there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mo_hpc.container.entering import container_of
from mo_hpc.core.config import load_named, names
from mo_hpc.core.errors import UserError, run_command
from mo_hpc.core.execution import SiteConfig
from mo_hpc.core.validation import validated
from mo_hpc.core.words import parse_words
from mo_hpc.data.location import resolve_roots

_WORDS = ("site", "site.container", "site.python", "runs_root", "data_root", "cache_root")

_DESCRIPTION = """\
Starts Python in the site's image, with the folders, environment variables and
GPUs that tasks get there. What follows -- are its arguments.
"""

_EPILOG = """\
examples:
  python -m mo_hpc.enter site.container=image.sif -- -m mo_hpc.selfcheck
  python -m mo_hpc.enter site=mycluster -- -c 'import torch'
  mpiexec -n 5 python -m mo_hpc.enter site.container=image.sif \\
    -- -m mpi4py.futures -m mo_hpc.launch grid=demo executor=mpi

words: site=NAME, site.container=IMAGE, site.python=COMMAND, runs_root=DIR,
data_root=DIR, cache_root=DIR, as for a launch.

exit status: that of the Python inside; 2 wrong input.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; see ``--help``."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(
        prog="python -m mo_hpc.enter",
        description=_DESCRIPTION,
        epilog=f"sites: {', '.join(names('site'))}\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="site.container=IMAGE …")
    words = parse_words(parser.parse_args(arguments[:end]).words, _WORDS)
    site = _site(words)
    roots = resolve_roots(words.get("data_root"), words.get("cache_root"))
    # The current folder is seen inside by itself.
    writable = [Path(words[key]) for key in ("runs_root",) if key in words]
    container = container_of(site, *roots, writable=writable)
    if container is None:
        raise UserError(
            f"The site '{site.name}' has no image.",
            where="site.container",
            remedy="Name one: site.container=IMAGE.sif, or a site that has one: site=NAME.",
        )
    container.enter(arguments[end + 1 :])


def _site(words: dict[str, str]) -> SiteConfig:
    name = words.get("site", "default")
    document = load_named("site", name)
    own = {key.removeprefix("site."): words[key] for key in words if key.startswith("site.")}
    return validated(SiteConfig, document | own, where=f"site={name}")


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))

"""The shell script that starts Python in an image: what it sees of the machine, and nothing else.

A script and not a list of words, because what is passed on is known only where the process
starts: Slurm tells each rank its number there, and only a node with GPUs has their driver.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mo_hpc.container.image import RUNTIMES, Image
from mo_hpc.core.errors import UserError

DIGEST_VARIABLE = "MO_HPC_IMAGE_SHA256"
"""Set inside an image; records take the digest from it."""

PASSED_ON = (
    # The job, and the suite's own settings.
    *("SLURM_*", "SLURMD_NODENAME", "MO_HPC_*"),
    # Threads, devices and what tunes their libraries.
    *("OMP_*", "MKL_*", "OPENBLAS_*", "CUDA_*", "TORCH_*", "PYTORCH_*"),
    # How processes find each other.
    *("MASTER_*", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    *("NCCL_*", "GLOO_*", "UCX_*", "FI_*"),
    *("PMI_*", "PMI2_*", "PMIX_*", "OMPI_*", "PRTE_*", "MPICH_*", "MPIR_CVAR_*", "I_MPI_*"),
    "MPI4PY_*",
    # The terminal.
    *("TERM", "COLUMNS", "LINES", "NO_COLOR", "TZ", "TMPDIR"),
)
"""Patterns of the environment variables that reach a process in an image; no others do."""

_CREDENTIALS = (
    "SLURM_JWT",
    *(f"*_{word}" for word in ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS")),
)
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
"""Passed on by Apptainer itself; the first may hold a password, and tasks need no network."""

_SCRIPT = """\
#!/bin/bash
# Starts Python in the image, with the folders and variables that tasks get. By hand:
#   {name} -c 'import torch; print(torch.__version__)'
image={image}
# In one line: the last one is what the state of a task is told by.
refuse() {{ echo "error: $1 $2" >&2; exit 2; }}

runtime=$(command -v {first} || command -v {second}) ||
  refuse "Neither {first} nor {second} is on the path of $(uname -n)." \\
         "Load it, for jobs in site.setup: 'module load {first}'."
[ "$(stat -Lc '%s %Y' "$image" 2>/dev/null)" = '{size} {modified}' ] ||
  refuse "$image on $(uname -n) is not the file it was at the launch." \\
         "Launch again, with the image where all nodes see it."

# Ranks of one MPI job, each in a user namespace of its own, may not look into each other's
# memory; through shared memory they exchange as much.
export MPIR_CVAR_CH4_CMA_ENABLE=${{MPIR_CVAR_CH4_CMA_ENABLE:-0}}
export UCX_POSIX_USE_PROC_LINK=${{UCX_POSIX_USE_PROC_LINK:-n}}

prefix=${{runtime##*/}}
prefix=${{prefix^^}}ENV_
for name in $(compgen -e); do
  case $name in
    {credentials}) ;;
    {passed_on}) export "$prefix$name=${{!name}}" ;;
  esac
done
{settings}

options=(--cleanenv --no-home)
[ -e /dev/nvidiactl ] && options+=(--nv)
unset {proxies}
bind() {{ [ -e "$1" ] && options+=(--bind "$1:$1${{2:-}}"); }}
# The current folder first: Apptainer's own bind of it would hide those below it.
[ "$PWD" = / ] || bind "$PWD"
{binds}
[ -z "${{TMPDIR:-}}" ] || bind "$TMPDIR"
exec "$runtime" -q exec "${{options[@]}}" "$image" {python} "$@"
"""


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of the host that a process in an image sees at the same path.

    Attributes:
        path: Absolute.
        writable: Whether it may write there.
    """

    path: Path
    writable: bool = False

    def __post_init__(self) -> None:
        """Checks the path.

        Raises:
            UserError: If it has a character that separates the parts of a bind.
        """
        if any(character in str(self.path) for character in ":,\\"):
            raise UserError(
                f"The path {self.path} has a colon, comma or backslash, which no bind can carry.",
                where="site.container",
                remedy="Rename the folder, or reach it by a symbolic link.",
            )


def enter_script(
    image: Image, binds: list[Bind], settings: Mapping[str, str], *, python: str, name: str
) -> str:
    """The text of a script that starts Python in an image with the arguments it is given.

    Args:
        image: The image; the script refuses a file that has changed since.
        binds: What of the host is seen inside; what a node lacks is left out there.
        settings: Environment variables to set inside.
        python: The shell words that start Python inside.
        name: What the script is called, for the person who reads it.
    """
    inside = {DIGEST_VARIABLE: image.sha256, **settings}
    return _SCRIPT.format(
        name=name,
        image=shlex.quote(str(image.path)),
        first=RUNTIMES[0],
        second=RUNTIMES[1],
        size=image.size_bytes,
        modified=image.modified_s,
        credentials="|".join(_CREDENTIALS),
        proxies=" ".join([*_PROXIES, *map(str.upper, _PROXIES)]),
        passed_on="|".join(PASSED_ON),
        settings="\n".join(
            f'export "${{prefix}}{key}"={shlex.quote(value)}' for key, value in inside.items()
        ),
        # A folder inside another comes after it, or it would be hidden; writable ones after
        # the same one as readable.
        binds="\n".join(
            f"bind {shlex.quote(str(bind.path))} {'' if bind.writable else ':ro'}".rstrip()
            for bind in sorted(set(binds), key=lambda bind: (bind.path, bind.writable))
        ),
        python=python,
    )

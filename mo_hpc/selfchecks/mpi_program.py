"""One rank of an MPI job: ``mpiexec -n 2 python -m mo_hpc.selfchecks.mpi_program``.

Rank 0 prints what it found as JSON. With ``--library`` MPI is asked for its name and not
started, which a process outside of a job need not survive.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Prints the library's version, or the sum of 1, 2, … over all ranks."""
    import mpi4py

    if "--library" in arguments:
        mpi4py.rc.initialize = False
    from mpi4py import MPI

    first_line = MPI.Get_library_version().strip("\0 \n").splitlines()[0]
    library = " ".join(first_line.split())
    standard = ".".join(map(str, MPI.Get_version()))
    document: dict[str, object] = {
        "mpi4py": mpi4py.__version__,
        "library": library,
        "standard": standard,
    }
    if "--library" in arguments:
        print(json.dumps(document))
        return 0
    world = MPI.COMM_WORLD
    document |= {"size": world.size, "sum": world.allreduce(world.rank + 1)}
    if world.rank == 0:
        print(json.dumps(document))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

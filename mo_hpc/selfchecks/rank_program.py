"""One of the ranks that share a batch: ``python -m mo_hpc.selfchecks.rank_program``.

Rank 0 writes the gradients of the whole batch to a file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mo_hpc.executors.notes import without_known_notes

_N_STRUCTURES = 5
"""Odd, so that two ranks have unequal shares."""

Gradients = dict[str, NDArray[Any]]


def main(arguments: Sequence[str]) -> int:
    """Runs one rank; the launcher's variables say which."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path, help="where the demo dataset lies")
    parser.add_argument("file", type=Path, help="where rank 0 writes the gradients")
    parser.add_argument("device", choices=("cpu", "cuda"))
    parser.add_argument("n_ranks", type=int)
    options = parser.parse_args(arguments)
    with without_known_notes():
        from mo_hpc.training.distributed import communicator_for
    rendezvous = options.file.with_suffix(".json")
    with communicator_for(rendezvous, options.device, options.n_ranks) as communicator:
        gradients = gradients_of_batch(options.cache, communicator)
        if communicator.rank == 0:
            np.savez(options.file, allow_pickle=False, **gradients)
    return 0


def gradients_of_batch(cache: Path, communicator: Any) -> Gradients:
    """Parameter → gradient of a batch of which this rank computes its share; and ``loss``."""
    from mo_hpc.selfchecks.small_training import SEED, demo_frames, prepare, settings
    from mo_hpc.training.graphs import collate
    from mo_hpc.training.loss import Objective
    from mo_hpc.training.reproducible import reproducible
    from mo_hpc.training.step import eager_step

    train, device = settings(), communicator.device
    with reproducible(seed=SEED, dtype=train.dtype, n_threads=1, device=device):
        data, start = prepare(demo_frames(cache), train)
        model = start.model.to(device)
        graphs = data.graphs["train"][:_N_STRUCTURES]
        loss = eager_step(
            model,
            collate(communicator.share(graphs)).to(device),
            Objective(train.loss, train.energy_weight, train.forces_weight),
            n_structures=len(graphs),
            n_atoms=sum(graph.n_atoms for graph in graphs),
        )
        named = {name: each for name, each in model.named_parameters() if each.requires_grad}
        loss, *_ = communicator.sum_step([*named.values()], loss, stop=False, failed=False)
        found = {name: each.grad for name, each in named.items() if each.grad is not None}
        return {name: grad.cpu().numpy() for name, grad in found.items()} | {
            "loss": loss.cpu().numpy()
        }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

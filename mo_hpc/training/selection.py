"""Shots that models choose: the pool as models see it, the choice on disk, the split it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ase
import numpy as np
import torch
from ase.data import atomic_numbers

from mo_hpc.core.errors import BadDataError, StopRequested
from mo_hpc.core.files import write_json
from mo_hpc.core.index import index_folder, read_index
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.task import ShotChoice, Split, SplitSummary, TrainTask
from mo_hpc.core.validation import read_validated
from mo_hpc.data.frames import load_frames
from mo_hpc.data.index import build_index
from mo_hpc.grid.audit import of_resolved
from mo_hpc.plan.splitting import summary_of
from mo_hpc.training.choosing import (
    Ranking,
    farthest_first,
    force_spreads,
    most_disputed,
    nearest_of,
)
from mo_hpc.training.descriptors import DescriptorReader
from mo_hpc.training.distributed import Communicator
from mo_hpc.training.evaluate import Part, predict
from mo_hpc.training.foundation import FoundationFile, load_foundation, model_of_task
from mo_hpc.training.graphs import batches_of, build_graphs
from mo_hpc.training.model import model_elements
from mo_hpc.training.signals import StopFlag


@dataclass(frozen=True, slots=True, eq=False)
class Chooser:
    """Chooses the shots of one task, on all of its ranks.

    Attributes:
        paths: The task's files.
        task: The task.
        communicator: The ranks.
        stop: Ends the choosing, which starts again with the task.
    """

    paths: TaskPaths
    task: TrainTask
    communicator: Communicator
    stop: StopFlag

    def resolved(
        self, split: Split, start: torch.nn.Module | None, file: FoundationFile | None
    ) -> tuple[Split, SplitSummary]:
        """The split with the shots in it, and its summary for the record.

        What an earlier attempt has chosen stays chosen; else it is chosen and written here.

        Args:
            split: The planned split; itself where planning has chosen.
            start: The model that the task starts from.
            file: Where that was read from.

        Raises:
            BadDataError: If the choice on disk is not one of this task.
            StopRequested: After a signal.
        """
        if not split.pool:
            return split, self.task.split
        is_first = self.communicator.rank == 0
        choice = self.communicator.from_first(self._earlier(split) if is_first else None)
        if choice is None:
            assert start is not None, "planning refuses a choice without a model to start from"
            assert file is not None
            choice = self.communicator.from_first(self._chosen(split, start, file))
            if is_first:
                write_json(self.paths.selection, choice.model_dump(mode="json"))
        resolved = split.choosing(choice.chosen)
        return resolved, self._summary(resolved, choice)

    def _earlier(self, split: Split) -> ShotChoice | None:
        if not self.paths.selection.exists():
            return None
        choice = read_validated(ShotChoice, self.paths.selection)
        n_wanted = self.task.split.config.shots
        belongs = choice.task_digest == self.task.digest and set(choice.chosen) <= set(split.pool)
        if not belongs or len(set(choice.chosen)) != n_wanted:
            raise BadDataError(
                f"{self.paths.selection} does not name {n_wanted} candidates of this task. Remove "
                "the task's folder and launch again; it is then chosen anew."
            )
        return choice

    def _chosen(
        self, split: Split, start: torch.nn.Module, file: FoundationFile
    ) -> ShotChoice | None:
        """The choice on rank 0, None on the others."""
        config = self.task.split.config
        members: list[FoundationFile] = []
        if config.selection == "committee":
            members = [model_of_task(self.paths, name) for name in self.task.committee]
            ranking = self._by_committee(split, members)
        else:
            members = [file]
            ranking = self._by_descriptor(split, start)
        if ranking is None:
            return None
        return ShotChoice(
            task_digest=self.task.digest,
            rule=config.selection,
            model_sha256=tuple(member.sha256 for member in members),
            chosen=tuple(split.pool[place] for place in ranking.order),
            scores=ranking.scores,
            n_candidates=len(split.pool),
        )

    def _by_descriptor(self, split: Split, model: torch.nn.Module) -> Ranking | None:
        """Farthest-point sampling of the new element's atoms, all training atoms known."""
        element = self.task.split.config.element
        assert element is not None
        reader = DescriptorReader(model, self.communicator.device, self._batch_size)
        frames = self._frames([name for unit in split.pool for name in unit])
        known = self._frames(split.train)
        model.to(self.communicator.device)
        try:
            of_frames = reader.of_element(frames, atomic_numbers[element])
            nearest = self._from_training(reader, torch.cat(of_frames), known)
        finally:
            model.cpu()
        if nearest is None:
            return None
        distances = torch.split(nearest, [len(each) for each in of_frames])
        return farthest_first(
            _by_structure(split, of_frames),
            _by_structure(split, distances),
            _names(split),
            self.task.split.config.shots,
        )

    def _from_training(
        self, reader: DescriptorReader, atoms: torch.Tensor, known: Sequence[ase.Atoms]
    ) -> torch.Tensor | None:
        """Distance of each atom from the nearest of the training atoms, on rank 0."""
        nearest = torch.full((len(atoms),), torch.inf, dtype=torch.float64)
        for batch in self.communicator.share(reader.batches(known)):
            if self.stop.is_set:
                break
            nearest = nearest.minimum(nearest_of(atoms, reader.of_atoms(batch)))
        # All ranks leave together: one that waited for another's distances would fail.
        if self.communicator.any(self.stop.is_set):
            raise StopRequested("The choice of structures was asked to stop; it starts again.")
        shares = self.communicator.gather(nearest)
        return None if shares is None else torch.stack(shares).min(dim=0).values

    def _by_committee(self, split: Split, members: Sequence[FoundationFile]) -> Ranking | None:
        """The structures on whose forces the committee disagrees most."""
        frames = self._frames([name for unit in split.pool for name in unit])
        forces = [self._forces(frames, member) for member in members]
        known = [each for each in forces if each is not None]
        if not known:
            return None
        spreads = force_spreads(np.stack(known))
        ends = np.cumsum([len(frame) for frame in frames])[:-1]
        of_frames = [torch.from_numpy(each) for each in np.split(spreads, ends)]
        return most_disputed(
            [each.numpy() for each in _by_structure(split, of_frames)],
            _names(split),
            self.task.split.config.shots,
        )

    def _forces(self, frames: Sequence[ase.Atoms], file: FoundationFile) -> np.ndarray | None:
        """Predicted forces of all frames, eV/Å, shape (n_atoms, 3), on rank 0."""
        model = load_foundation(file)
        numbers, r_max_ang = model_elements(model), float(model.r_max)  # type: ignore[arg-type]
        batches = batches_of(build_graphs(frames, numbers, r_max_ang), self._batch_size)
        part = Part(frames, batches, with_forces=True)
        model = model.to(self.communicator.device)
        predictions = predict(model, {"test": part}, self.communicator, self.stop)
        return None if predictions is None else predictions.forces_pred_ev_per_ang

    @property
    def _batch_size(self) -> int:
        return self.task.train.eval_batch_size

    def _frames(self, names: Sequence[str]) -> list[ase.Atoms]:
        dataset, runtime = self.task.dataset, self.task.runtime
        roots = Path(runtime.data_root), Path(runtime.cache_root)
        return load_frames(dataset.config, *roots, names, planned_hash=dataset.dataset_hash)

    def _summary(self, split: Split, choice: ShotChoice) -> SplitSummary:
        """Counts and audit as they are now; what the foundation has seen is as planned."""
        dataset, runtime = self.task.dataset.config, self.task.runtime
        data_root, cache_root = Path(runtime.data_root), Path(runtime.cache_root)
        folder = index_folder(cache_root, self.task.dataset.dataset_hash)
        index = read_index(folder) or build_index(dataset, data_root, cache_root)
        by_id = {frame.id: frame for frame in index.frames}
        config, planned = self.task.split.config, self.task.split.audit
        audit = of_resolved(split, by_id, config, dataset.host_element, planned)
        return summary_of(split, by_id, config, audit).model_copy(update={"choice": choice})


def _by_structure(split: Split, of_frames: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Values of frames joined to values of the pool's structures."""
    left = iter(of_frames)
    return [torch.cat([next(left) for _ in unit]) for unit in split.pool]


def _names(split: Split) -> list[str]:
    return [min(unit) for unit in split.pool]

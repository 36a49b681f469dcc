"""The training loop: epochs, validation, early stopping, checkpoints and exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from mo_hpc.core.errors import DivergedError, StopRequested, UserError
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.schema import TrainConfig
from mo_hpc.training.accumulation import AccumulatedStep
from mo_hpc.training.checkpoint import load_checkpoint, save_checkpoint
from mo_hpc.training.distributed import Communicator
from mo_hpc.training.graphs import Batch, Graph, collate
from mo_hpc.training.loss import Objective
from mo_hpc.training.micro_batches import MicroBatches
from mo_hpc.training.optimizer import step_scheduler
from mo_hpc.training.progress import EpochReport, ProgressReporter
from mo_hpc.training.signals import StopFlag
from mo_hpc.training.state import TrainingState
from mo_hpc.training.step import StepFunction, eager_step
from mo_hpc.training.validation import Validation, validate

_ELSEWHERE = "A structure does not fit into the GPU memory of another rank; see its message."


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Structures to fit and to select on.

    Attributes:
        train: Graphs, batched anew in every epoch.
        valid: Batches, the same in every epoch.
    """

    train: Sequence[Graph]
    valid: Sequence[Batch]


class TrainingLoop:
    """Trains until the last epoch or an early stop, from wherever the checkpoint stands.

    Args:
        config: The optimisation settings.
        data: The structures.
        state: A fresh state; a checkpoint, if there is one, replaces it.
        paths: Where checkpoints lie.
        communicator: The ranks.
        stop: Set by a signal.
        reporter: Receives a line per epoch.
        step: Computes loss and gradients of a batch, or of a part that fits into memory.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: TrainingData,
        state: TrainingState,
        *,
        paths: TaskPaths,
        communicator: Communicator,
        stop: StopFlag,
        reporter: ProgressReporter,
        step: StepFunction = eager_step,
    ) -> None:
        self.config = config
        self.data = data
        self.state = state
        self.objective = Objective(config.loss, config.energy_weight, config.forces_weight)
        self._paths = paths
        self._communicator = communicator
        self._stop = stop
        self._reporter = reporter
        self._micro_batches = MicroBatches("training", communicator.device)
        self._step = AccumulatedStep(step, self._micro_batches)
        self._validation_batches = MicroBatches("validation", communicator.device)
        self._parameters = [each for each in state.model.parameters() if each.requires_grad]
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=communicator.device)
        self._clock = time.perf_counter()
        self._best_epoch_saved = 0

    def run(self) -> None:
        """Trains; afterwards ``state.best_weights`` holds the selected weights.

        Raises:
            StopRequested: After a signal, when the state is saved.
            DivergedError: If the loss stops being finite.
        """
        self._resume()
        self._communicator.broadcast(self.state.model.state_dict().values())
        with self._reporter:
            while self.state.counters.stopped_by is None:
                self._run_epoch()

    def _resume(self) -> None:
        path = self._paths.checkpoint_last
        if not path.exists():
            self._reporter.go_back_to(0)
            return
        document = load_checkpoint(path)
        if document["identity"] != self.state.identity:
            raise UserError(
                "The checkpoint belongs to another task.",
                where=str(path),
                remedy="Remove the folder 'checkpoints' to start from the beginning.",
            )
        self.state.restore(document)
        if self.state.counters.stopped_by is None:
            self.state.counters.resumed += 1
        communicator = self._communicator
        self._micro_batches.size = self.state.micro_batch_size_of(
            communicator.rank, communicator.world_size
        )
        self._loss_sum.fill_(self.state.counters.loss_sum)
        self._reporter.go_back_to(self.state.counters.epoch)

    def _run_epoch(self) -> None:
        counters, sampler = self.state.counters, self.state.sampler
        self._clock = time.perf_counter()
        if not counters.in_epoch:
            sampler.start_epoch()
            counters.in_epoch = True
            counters.epoch_wall_time_s = 0.0
            self._loss_sum.zero_()
        while (indices := sampler.next_batch()) is not None:
            stop = self._take_step(indices)
            if stop:
                self._save_and_stop()
        self._end_epoch()

    def _take_step(self, indices: list[int]) -> bool:
        """One optimizer step; True where a rank was asked to stop."""
        state = self.state
        stop = self._set_gradients(indices)
        if self.config.clip_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters, self.config.clip_grad_norm)
        state.optimizer.step()
        if state.average is not None:
            state.average.update()
        state.counters.steps += 1
        return stop

    def _set_gradients(self, indices: list[int]) -> bool:
        """Gradients and loss of a batch over all ranks; True where one was asked to stop."""
        loss = torch.zeros((), device=self._communicator.device)
        failure = ""
        try:
            loss = self._own_part(indices, loss)
        except torch.cuda.OutOfMemoryError as error:
            # The others wait for this rank's gradients and learn of it with the sum. The error
            # itself may not live until then: it keeps what the memory is full of.
            failure = str(error)
        loss, stop, failed = self._communicator.sum_step(
            self._parameters, loss, stop=self._stop.is_set, failed=bool(failure)
        )
        if failed:
            raise torch.cuda.OutOfMemoryError(failure or _ELSEWHERE)
        self._loss_sum += loss
        return stop

    def _own_part(self, indices: list[int], nothing: torch.Tensor) -> torch.Tensor:
        """Sets this rank's gradients and returns its part of the loss."""
        share = [self.data.train[index] for index in self._communicator.share(indices)]
        if not share:
            self.state.model.zero_grad(set_to_none=True)
            return nothing
        return self._step(
            self.state.model,
            collate(share),
            self.objective,
            n_structures=len(indices),
            n_atoms=sum(self.data.train[index].n_atoms for index in indices),
        )

    def _end_epoch(self) -> None:
        state, config = self.state, self.config
        counters = state.counters
        n_steps = state.sampler.batches_per_epoch
        counters.loss_sum = float(self._loss_sum)
        self._add_time()
        seconds_training = counters.epoch_wall_time_s
        learning_rate = state.learning_rate
        self._require_finite(counters.loss_sum, "training")
        counters.epoch += 1
        counters.in_epoch = False
        is_last = counters.epoch >= config.max_epochs
        due = is_last or counters.epoch % config.eval_interval_epochs == 0
        validation = self._validate() if due else None
        if is_last and counters.stopped_by is None:
            counters.stopped_by = "max_epochs"
        self._add_time()
        self._reporter.epoch(
            EpochReport(
                epoch=counters.epoch,
                steps=counters.steps,
                learning_rate=learning_rate,
                train_loss=counters.loss_sum / n_steps,
                valid_loss=validation.loss if validation else None,
                valid_energy_mae_mev_per_atom=(
                    validation.energy_mae_mev_per_atom if validation else None
                ),
                valid_force_mae_mev_per_ang_component=(
                    validation.force_mae_mev_per_ang_component if validation else None
                ),
                wall_time_s=counters.wall_time_s,
                structures_per_s=n_steps * state.sampler.batch_size / seconds_training,
            )
        )
        if counters.stopped_by or counters.epoch % config.checkpoint_interval_epochs == 0:
            self._save()

    def _validate(self) -> Validation:
        """Validates the averaged weights and lets the result decide what follows."""
        state, counters = self.state, self.state.counters
        with state.average.average_parameters() if state.average else nullcontext():
            result = validate(
                state.model,
                self.data.valid,
                self.objective,
                self._communicator,
                self._validation_batches,
            )
            self._require_finite(result.loss, "validation")
            if result.loss < counters.best_valid_loss:
                counters.best_valid_loss = result.loss
                counters.best_epoch = counters.epoch
                counters.validations_without_improvement = 0
                state.best_weights = {
                    name: value.detach().cpu().clone()
                    for name, value in state.model.state_dict().items()
                }
            else:
                counters.validations_without_improvement += 1
        step_scheduler(state.scheduler, result.loss)
        patience = self.config.early_stopping_patience
        if patience is not None and counters.validations_without_improvement >= patience:
            counters.stopped_by = "early_stopping"
        return result

    def _require_finite(self, loss: float, which: str) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"The {which} loss is {loss} after {self.state.counters.steps} steps "
                f"(learning rate {self.state.learning_rate:g})."
            )

    def _save_and_stop(self) -> None:
        self.state.counters.loss_sum = float(self._loss_sum)
        self._require_finite(self.state.counters.loss_sum, "training")
        self._add_time()
        self._save()
        raise StopRequested("Training was asked to stop; its state is saved.")

    def _save(self) -> None:
        sizes = self._communicator.gather(self._micro_batches.size)
        if sizes is None:
            return
        self.state.micro_batch_sizes = sizes
        best_epoch = self.state.counters.best_epoch
        if best_epoch != self._best_epoch_saved:
            best = {"identity": self.state.identity, "weights": self.state.best_weights}
            save_checkpoint(self._paths.checkpoint_best, best)
            self._best_epoch_saved = best_epoch
        save_checkpoint(self._paths.checkpoint_last, self.state.as_document())

    def _add_time(self) -> None:
        now = time.perf_counter()
        self.state.counters.wall_time_s += now - self._clock
        self.state.counters.epoch_wall_time_s += now - self._clock
        self._clock = now

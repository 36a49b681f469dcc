"""From an assembled model to the selected weights."""

from __future__ import annotations

from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.schema import TrainConfig
from mo_hpc.training.assembly import Assembled
from mo_hpc.training.distributed import Communicator
from mo_hpc.training.inputs import TaskData
from mo_hpc.training.loop import TrainingData, TrainingLoop
from mo_hpc.training.memory import keep_freed_memory
from mo_hpc.training.optimizer import build_average, build_optimizer, build_scheduler
from mo_hpc.training.progress import ProgressReporter
from mo_hpc.training.signals import StopFlag
from mo_hpc.training.state import TrainingState
from mo_hpc.training.step import StepFunction, eager_step


def fit(
    start: Assembled,
    data: TaskData,
    config: TrainConfig,
    *,
    identity: str,
    paths: TaskPaths,
    communicator: Communicator,
    stop: StopFlag,
    show_progress: bool = False,
    step: StepFunction = eager_step,
) -> TrainingState:
    """Trains a model in place and leaves the weights of the best validation in it.

    Args:
        start: The model and the order of structures.
        data: Training and validation structures.
        config: The optimisation settings.
        identity: Digest of the task; checkpoints carry it.
        paths: Where checkpoints and progress go, and where a checkpoint is looked for.
        communicator: The ranks.
        stop: Set by a signal.
        show_progress: Whether to draw a bar on stderr.
        step: Computes loss and gradients of a batch, or of a part that fits into memory.

    Raises:
        StopRequested: After a signal, when the state is saved.
        DivergedError: If the loss stops being finite.
    """
    keep_freed_memory()
    model = start.model.to(communicator.device)
    optimizer = build_optimizer(model, config)
    state = TrainingState(
        identity=identity,
        model=model,
        optimizer=optimizer,
        scheduler=build_scheduler(optimizer, config),
        average=build_average(model, config),
        sampler=start.sampler,
    )
    reporter = ProgressReporter(
        paths.progress if communicator.rank == 0 else None,
        show=show_progress,
        n_epochs=config.max_epochs,
    )
    loop = TrainingLoop(
        config,
        TrainingData(data.graphs["train"], data.valid_batches),
        state,
        paths=paths,
        communicator=communicator,
        stop=stop,
        reporter=reporter,
        step=step,
    )
    loop.run()
    model.load_state_dict(state.best_weights)
    return state

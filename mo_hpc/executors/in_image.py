"""Which processes of a run are in the site's image: its tasks, and the launch they run under."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mo_hpc.container.entering import Container, container_of
from mo_hpc.core.errors import UserError
from mo_hpc.core.files import write_atomic
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.schema import DatasetConfig, RunConfig
from mo_hpc.core.shell import pasteable
from mo_hpc.core.task import TaskSpec, TrainTask
from mo_hpc.data.location import dataset_files, resolve_roots

_TASKS_UNDER_THE_LAUNCH = ("inline", "local")


def launch_container(config: RunConfig) -> Container | None:
    """The site's image with what a launch needs inside; None where the site has none.

    Raises:
        UserError: If the image is not there or holds another version of the suite.
    """
    if config.site.container is None:
        return None
    roots = resolve_roots(config.data_root, config.cache_root)
    return container_of(
        config.site,
        *roots,
        writable=[Path(config.runs_root)],
        readable=[*_models(config), *_linked(config.dataset, *roots)],
    )


def run_container(
    run: RunPaths, config: RunConfig, tasks: Iterable[TaskSpec] = ()
) -> Container | None:
    """The site's image with what the tasks of a run, and its tables, need inside.

    Raises:
        UserError: If the image is not there or holds another version of the suite.
    """
    if config.site.container is None:
        return None
    # A grid has thousands of tasks and one or two places that they need.
    places = {(task.runtime, _dataset_name(task)): task for task in tasks}.values()
    return container_of(
        config.site,
        *resolve_roots(config.data_root, config.cache_root),
        writable=[run.folder, *(Path(task.runtime.cache_root) for task in places)],
        readable=[path for task in places for path in _read_by(task)],
    )


def enter_with_tasks(
    container: Container | None, config: RunConfig, module: str, arguments: Sequence[str]
) -> None:
    """Goes on inside the image where tasks are processes of this machine, as they run there.

    Args:
        container: The image with what is needed inside; None where the site has none.
        config: The configuration.
        module: What to go on with.
        arguments: Its arguments; paths among them must be seen inside.

    Raises:
        UserError: If the executor's processes must be started in the image by MPI.
    """
    if container is None:
        return
    if config.executor.name in _TASKS_UNDER_THE_LAUNCH:
        container.enter(["-m", module, *arguments])
    if config.executor.name == "mpi":
        words = [f"site.container={container.image.path}", "--"]
        inside = ["-m", "mpi4py.futures", "-m", module, *arguments]
        raise UserError(
            "The ranks of an MPI job are not in the image.",
            where="site.container, executor=mpi",
            remedy="Start them in it:\n"
            + pasteable("mpiexec -n 5 python -m mo_hpc.enter", [*words, *inside]),
        )


def write_enter_script(
    run: RunPaths, config: RunConfig, name: str, tasks: Iterable[TaskSpec]
) -> None:
    """Writes the script that the elements of an array start Python with, if there is an image.

    Args:
        run: The run.
        config: Its configuration.
        name: The name of the array.
        tasks: The array's tasks.

    Raises:
        UserError: If the image is not there or holds another version of the suite.
    """
    if container := run_container(run, config, tasks):
        path = run.enter_image(name).absolute()
        write_atomic(path, container.script(f"bash {path}"))


def _models(config: RunConfig) -> Iterator[Path]:
    """The model files that a configuration names, and where links to them lead."""
    named = [config.foundation, config.new_elements.foundation, config.calculator.model]
    named += config.axes.potential or ()
    for stage in config.grid.stages.values():
        donor, labeller = stage.new_elements.get("foundation"), stage.calculator.get("model")
        every = (stage.foundation, donor, labeller, *stage.axes.get("potential", ()))
        named += [model for model in every if isinstance(model, str)]
    for model in named:
        if model and Path(model).is_file():
            yield Path(model)
            yield Path(model).resolve()


def _read_by(task: TaskSpec) -> Iterator[Path]:
    data_root, cache_root = Path(task.runtime.data_root), Path(task.runtime.cache_root)
    yield data_root
    for model in (task.runtime.foundation_path, task.runtime.donor_path):
        if model:
            yield Path(model)
            yield Path(model).resolve()
    if isinstance(task, TrainTask):
        yield from _linked(task.dataset.config, data_root, cache_root)


def _dataset_name(task: TaskSpec) -> str | None:
    return task.dataset.config.name if isinstance(task, TrainTask) else None


def _linked(dataset: DatasetConfig, data_root: Path, cache_root: Path) -> Iterator[Path]:
    """Where links in the data root lead: a link to what is not seen inside leads nowhere."""
    try:
        files = dataset_files(dataset, data_root, cache_root)
    except UserError:
        # Planning, or the task, says so.
        return
    for file in files:
        if (target := file.resolve()) != file:
            yield target

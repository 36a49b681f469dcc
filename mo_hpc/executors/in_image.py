"""Which processes of a run are in the site's image: its tasks, and the launch they run under."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mo_hpc.container.entering import Container, container_of
from mo_hpc.core.errors import UserError
from mo_hpc.core.files import write_atomic
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.schema import RunConfig
from mo_hpc.core.task import TaskSpec
from mo_hpc.data.location import resolve_roots

_TASKS_UNDER_THE_LAUNCH = ("inline", "local")


def launch_container(config: RunConfig) -> Container | None:
    """The site's image with what a launch needs inside; None where the site has none.

    Raises:
        UserError: If the image is not there or holds another version of the suite.
    """
    files = [Path(config.foundation)] if config.foundation else []
    return container_of(
        config.site,
        *resolve_roots(config.data_root, config.cache_root),
        writable=[Path(config.runs_root)],
        readable=[path for path in files if path.is_file()],
    )


def run_container(
    run: RunPaths, config: RunConfig, tasks: Iterable[TaskSpec] = ()
) -> Container | None:
    """The site's image with what the tasks of a run, and its tables, need inside.

    Raises:
        UserError: If the image is not there or holds another version of the suite.
    """
    places = [task.runtime for task in tasks]
    data_root, cache_root = resolve_roots(config.data_root, config.cache_root)
    return container_of(
        config.site,
        data_root,
        cache_root,
        writable=[run.folder, *(Path(place.cache_root) for place in places)],
        readable=[
            *(Path(place.data_root) for place in places),
            *(Path(place.foundation_path) for place in places if place.foundation_path),
        ],
    )


def enter_with_tasks(config: RunConfig, module: str, arguments: Sequence[str]) -> None:
    """Goes on inside the image where tasks are processes of this machine, as they run there.

    Raises:
        UserError: If the image is not there, or the executor's processes must be started in
            it by MPI.
    """
    if config.site.container is None:
        return
    container = launch_container(config)
    if container is None:
        return
    if config.executor.name in _TASKS_UNDER_THE_LAUNCH:
        container.enter(["-m", module, *arguments])
    if config.executor.name == "mpi":
        raise UserError(
            "The ranks of an MPI job are not in the image.",
            where="site.container, executor=mpi",
            remedy="Start them in it:\nmpiexec -n 5 python -m mo_hpc.enter "
            f"site.container={config.site.container} \\\n"
            f"  -- -m mpi4py.futures -m mo_hpc.launch grid={config.grid.name} executor=mpi",
        )


def write_enter_script(run: RunPaths, config: RunConfig, tasks: Iterable[TaskSpec]) -> None:
    """Writes the script that array elements start Python with, if the site has an image.

    Raises:
        UserError: If the image is not there or holds another version of the suite.
    """
    if container := run_container(run, config, tasks):
        path = run.enter_image.absolute()
        write_atomic(path, container.script(f"bash {path}"))

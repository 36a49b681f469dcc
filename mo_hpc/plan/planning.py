"""What the planners of all kinds of task share while one plan is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import Resources
from mo_hpc.core.paths import TaskPaths
from mo_hpc.core.schema import RunConfig, StageConfig
from mo_hpc.core.strict import Strict
from mo_hpc.core.task import Runtime, TaskSpec
from mo_hpc.plan.foundations import ResolvedFoundation, resolve_foundation
from mo_hpc.plan.settings import SettingsMerger


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task, and what its planner knows of it.

    Attributes:
        spec: The task.
    """

    spec: TaskSpec

    def inputs(self, paths: TaskPaths) -> Mapping[Path, Strict]:
        """The further files that the task reads, with what is written into them."""
        del paths
        return {}


@dataclass(slots=True)
class Planning:
    """One plan in the making.

    Attributes:
        config: The composed configuration.
        settings: Merges its parts for a stage or a task.
        data_root: Where datasets and foundations lie.
        cache_root: Where indices and generated datasets lie.
        python: The words that start a Python that can read structures.
        by_stage: The tasks of the stages that are planned already.
        foundations: The pretrained models asked for so far, by name.
    """

    config: RunConfig
    settings: SettingsMerger
    data_root: Path
    cache_root: Path
    python: tuple[str, ...]
    by_stage: dict[str, list[PlannedTask]] = field(default_factory=dict)
    foundations: dict[str, ResolvedFoundation] = field(default_factory=dict)

    def foundation(self, name: str) -> ResolvedFoundation:
        """A pretrained model by registered name or path, looked up once.

        Raises:
            UserError: If the name is unknown, the path is no file or a pinned hash differs.
        """
        if name not in self.foundations:
            self.foundations[name] = resolve_foundation(name, self.data_root, self.cache_root)
        return self.foundations[name]

    def runtime(
        self, foundation_path: Path | None = None, donor_path: Path | None = None
    ) -> Runtime:
        """The places of a task on this machine."""
        return Runtime(
            data_root=str(self.data_root),
            cache_root=str(self.cache_root),
            foundation_path=str(foundation_path) if foundation_path else None,
            donor_path=str(donor_path) if donor_path else None,
        )


def require_one_process(resources: Resources, sentence: str, *, remedy: str | None = None) -> None:
    """Refuses several processes for a task that is one.

    Args:
        resources: What the task asks for.
        sentence: What is one process, and how several are had instead.
        remedy: What to do, where there is something.

    Raises:
        UserError: If more than one process is asked for.
    """
    if resources.nodes * resources.tasks_per_node > 1:
        raise UserError(
            sentence, where="resources.tasks_per_node, resources.nodes", valid=[1], remedy=remedy
        )


class StagePlanner(Protocol):
    """Plans the stages of one kind; one planner serves all of them."""

    def __init__(self, planning: Planning) -> None: ...

    def plan(self, name: str, stage: StageConfig) -> list[PlannedTask]:
        """The tasks of a stage, in order.

        Args:
            name: Name of the stage.
            stage: The stage, its axes as the command line narrowed them.

        Raises:
            UserError: If anything in the configuration or the data forbids them.
        """
        ...

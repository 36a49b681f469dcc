"""From tasks to arrays: dependency levels, packs of short tasks, chunks that the cluster takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mo_hpc.core.execution import Resources
from mo_hpc.core.task import TaskSpec


@dataclass(frozen=True, slots=True)
class Array:
    """Elements that one ``sbatch`` submits; all get the same resources.

    Attributes:
        resources: What each task gets.
        elements: The tasks of each element.
    """

    resources: Resources
    elements: tuple[tuple[TaskSpec, ...], ...]

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """All its tasks."""
        return tuple(task for element in self.elements for task in element)

    @property
    def tasks_per_element(self) -> int:
        """Tasks of its fullest element."""
        return max(len(element) for element in self.elements)

    def first(self, n_elements: int) -> Array:
        """The array of its first elements."""
        return Array(self.resources, self.elements[:n_elements])


def arrays(
    tasks: Sequence[TaskSpec], *, tasks_per_element: int = 1, most_elements: int | None = None
) -> Iterator[Array]:
    """Groups tasks into arrays: same dependency level, same resources, not too many.

    Args:
        tasks: Tasks, each after the tasks it needs; needs outside of them count as met.
        tasks_per_element: Tasks that one element runs. A task over several nodes is alone.
        most_elements: Elements that the cluster takes in one array; None: any number.

    Yields:
        The arrays, lowest level first, tasks in their given order.
    """
    for group in levels(tasks):
        resources = group[0].resources
        size = tasks_per_element if resources.nodes == 1 else 1
        elements = [tuple(group[i : i + size]) for i in range(0, len(group), size)]
        step = most_elements or len(elements)
        for start in range(0, len(elements), step):
            yield Array(resources, tuple(elements[start : start + step]))


def levels(tasks: Sequence[TaskSpec]) -> list[list[TaskSpec]]:
    """Groups tasks that can be one array: same dependency level, same resources."""
    level: dict[str, int] = {}
    groups: dict[tuple[int, str], list[TaskSpec]] = {}
    for task in tasks:
        level[task.id] = 1 + max((level[need] for need in task.needs if need in level), default=-1)
        key = (level[task.id], task.resources.model_dump_json())
        groups.setdefault(key, []).append(task)
    return [groups[key] for key in sorted(groups, key=lambda key: key[0])]

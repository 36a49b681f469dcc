"""From tasks to arrays: every task once, order of needs kept, nothing larger than allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import SMALL, write_task

from mo_hpc.core.execution import Resources
from mo_hpc.core.paths import RunPaths
from mo_hpc.executors.slurm.arrays import arrays

BIG = Resources(memory_gb=64)
WIDE = Resources(nodes=2)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return write_task(RunPaths(tmp_path_factory.mktemp("run")), "template")


@st.composite
def grids(draw):
    """(Resources, needed earlier tasks) of each task."""
    tasks = []
    for number in range(draw(st.integers(0, 25))):
        most = min(2, number)
        needs = draw(st.sets(st.integers(0, number - 1), max_size=most)) if number else set()
        tasks.append((draw(st.sampled_from([SMALL, BIG, WIDE])), needs))
    return tasks


@given(
    grid=grids(),
    tasks_per_element=st.integers(1, 5),
    most_elements=st.none() | st.integers(1, 4),
)
def test_arrays_cover_each_task_once_and_keep_the_order(
    template, grid, tasks_per_element, most_elements
):
    tasks = [
        template.model_copy(
            update={
                "id": f"t{number}",
                "needs": tuple(f"t{need}" for need in sorted(needs)),
                "resources": resources,
            }
        )
        for number, (resources, needs) in enumerate(grid)
    ]
    made = list(arrays(tasks, tasks_per_element=tasks_per_element, most_elements=most_elements))
    covered = [task.id for array in made for task in array.tasks]
    assert sorted(covered) == sorted(task.id for task in tasks)
    seen = set()
    for array in made:
        assert 0 < len(array.elements) <= (most_elements or len(tasks))
        assert {task.resources for task in array.tasks} == {array.resources}
        assert array.tasks_per_element <= (tasks_per_element if array.resources.nodes == 1 else 1)
        # A need is in an array that was submitted before, so there is a job to wait for.
        assert {need for task in array.tasks for need in task.needs} <= seen
        seen |= {task.id for task in array.tasks}


def test_the_first_elements_of_an_array(template):
    (array,) = arrays([template, template, template], tasks_per_element=2)
    assert [len(element) for element in array.elements] == [2, 1]
    assert len(array.first(1).tasks) == 2
    assert array.first(0).elements == ()

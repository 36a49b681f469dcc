"""What every executor promises; the Slurm one runs where there is a Slurm."""

import json

import pytest

from mo_hpc.core.files import read_json, read_lines
from mo_hpc.core.record import read_error
from mo_hpc.core.registry import EXECUTORS, load
from mo_hpc.executors.activity import activity
from mo_hpc.executors.completion import is_done


class ExecutorContract:
    """Inherited by one class for each registered executor."""

    name: str

    @pytest.fixture
    def execute(self, run, make_config, wait_until):
        """Submits tasks, waits until they have ended and returns what `submit` returned."""

        def execute(tasks):
            executor = load(EXECUTORS, "executor", self.name)(
                run, make_config(self.name, collect=False)
            )
            submitted = executor.submit(tasks)
            wait_until(lambda: not activity(run).tasks, timeout_s=180, interval_s=0.5)
            return submitted

        return execute

    def test_tasks_run_in_the_order_of_their_needs_and_never_again(self, run, make_task, execute):
        tasks = [
            make_task("first"),
            make_task("other"),
            make_task("second", needs=["first"]),
            make_task("third", needs=["second", "other"]),
        ]
        assert execute(tasks) == ["first", "other", "second", "third"]
        assert all(is_done(run.task(task.id)) for task in tasks)
        starts = [read_lines(run.task(n).progress)[0]["time"] for n in ("first", "second", "third")]
        assert starts == sorted(starts)
        assert execute(tasks) == []
        run.task("second").metrics.unlink()
        assert execute(tasks) == ["second"]
        counts = [len(read_lines(run.task(task.id).progress)) for task in tasks]
        assert counts == [1, 1, 2, 1]

    def test_a_failure_is_recorded_and_blocks_only_what_needs_it(self, run, make_task, execute):
        tasks = [
            make_task("bad", "fail"),
            make_task("good"),
            make_task("blocked", needs=["bad"]),
            make_task("unharmed", needs=["good"]),
        ]
        execute(tasks)
        assert read_error(run.task("bad")).failure_class == "python_error"
        assert is_done(run.task("good"))
        assert is_done(run.task("unharmed"))
        assert not run.task("blocked").metrics.exists()
        assert not run.task("blocked").error.exists()
        assert run.task("blocked").last_attempt() == 0

    def test_each_attempt_has_its_account(self, run, make_task, execute):
        execute([make_task("a")])
        account = read_json(run.task("a").attempt(1) / "slurm.json")
        assert account["exit_code"] == 0

    def test_a_preview_submits_nothing(self, run, make_task, make_config):
        tasks = [make_task("a"), make_task("b")]
        executor = load(EXECUTORS, "executor", self.name)(run, make_config(self.name))
        assert "2" in executor.preview(tasks)
        assert not run.submissions.exists()
        assert not run.task("a").metrics.exists()


class TestInline(ExecutorContract):
    name = "inline"


class TestLocal(ExecutorContract):
    name = "local"


class TestMpi(ExecutorContract):
    name = "mpi"

    @pytest.fixture
    def execute(self, mpi_launch):
        """An MPI job for each `submit`: rank 0 cannot be this process."""

        def execute(tasks):
            launch = mpi_launch([task.id for task in tasks])
            out, errors = launch.communicate(timeout=180)
            assert launch.returncode == 0, errors
            return json.loads(out)

        return execute


@pytest.mark.slurm
@pytest.mark.usefixtures("slurm")
class TestSlurm(ExecutorContract):
    name = "slurm"


def test_every_registered_executor_is_held_to_the_contract():
    held = {each.name for each in ExecutorContract.__subclasses__()}
    assert held == set(EXECUTORS)

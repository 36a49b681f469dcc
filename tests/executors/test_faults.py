"""Faults on a real Slurm, all in one go: what each leaves behind, and what comes back."""

import os
import signal
import sys
from types import SimpleNamespace

import pytest
from faults import Victim
from runs import run_config

from mo_hpc.core.files import read_lines
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.record import read_error
from mo_hpc.executors.failures.evidence import element_ends
from mo_hpc.executors.run_task import run_task
from mo_hpc.executors.slurm import squeue

pytestmark = [pytest.mark.slurm]

ENDED = ("worker", "srun", "cancelled", "memory", "fail", "no-python", "done-before")


@pytest.fixture(scope="module")
def victim(slurm_here, fake_kind_for_module, tmp_path_factory):
    victim = Victim(RunPaths(tmp_path_factory.mktemp("faults") / "run"))
    yield victim
    victim.clean_up()


@pytest.fixture(scope="module")
def told(victim, tmp_path_factory):
    """Harms every task in its own way, then lets a follower and a launch put things right."""
    submit_all(victim, slow_python(tmp_path_factory.mktemp("python"), victim))
    victim.harm(harms(victim))
    for name in ("usr2", "term", "early"):
        victim.restart_now(name)
    victim.wait_out_of_queue(*ENDED, "p-fail")
    victim.wait_done("usr2", "term", "early", "stepd")
    told = SimpleNamespace(before=victim.states())
    told.followed = victim.launch(by_hand=False)
    told.launched = victim.launch(by_hand=True)
    victim.wait_done(*told.followed.submitted, *told.launched.submitted)
    told.after = victim.states()
    return told


def slow_python(folder, victim):
    """A Python that takes its time to start, the first time, and says when it has begun to."""
    waiting = victim.run.task("early").folder / "waiting"
    script = folder / "python"
    text = f'[ -e {waiting} ] || {{ touch {waiting}; sleep 30; }}\nexec {sys.executable} "$@"'
    script.write_text(f"#!/bin/bash\n{text}\n")
    script.chmod(0o755)
    return script


def submit_all(victim, python):
    victim.submit(victim.task("early", "ok"), site={"python": str(python)})
    late = victim.task("done-before", "sleep", seconds=0)
    victim.submit(late, site={"sbatch": {"hold": True}})
    victim.submit(victim.task("no-python", "ok"), site={"python": "/nowhere/bin/python"})
    one = [
        victim.task("stepd", "deaf", seconds=8),
        *(victim.task(name, "wait") for name in ("worker", "srun", "term", "cancelled")),
        victim.task("usr2", "with_children"),
        victim.task("memory", "allocate", mb=300, seconds=6),
        victim.task("fail", "fail"),
    ]
    victim.submit(*one)
    pack = [
        victim.task("p-killed", "wait"),
        victim.task("p-fail", "fail"),
        victim.task("p-ok", "ok"),
        victim.task("p-sleep", "sleep", seconds=1),
    ]
    victim.submit(*pack, tasks_per_element=4, at_once=2)
    run_task(victim.run.task(late.id).folder)
    victim.release(late.id)


def harms(victim):
    """Task → what is done to it."""

    def three_signals(name):
        victim.signal(name, "USR2")
        for _ in range(2):
            os.kill(victim.account(name)["pid"], signal.SIGUSR2)

    return {
        "stepd": victim.kill_stepd,
        "worker": victim.kill_worker,
        "p-killed": victim.kill_worker,
        "srun": victim.kill_srun,
        "usr2": three_signals,
        "term": lambda name: victim.signal(name, "TERM"),
        "early": lambda name: victim.signal(name, "TERM"),
        "cancelled": victim.cancel,
    }


def diagnosed(told, name):
    state = told.before[name]
    return state.name, state.diagnosis.failure_class, state.diagnosis.again


def test_a_killed_worker_is_told_by_its_signal_and_submitted_again(told, victim):
    assert diagnosed(told, "worker") == ("failed", "killed", True)
    assert "signal 9" in told.before["worker"].reason
    assert told.before["worker"].diagnosis.node == victim.account("worker")["node"]
    assert victim.starts("worker") == 2


def test_a_killed_srun_is_no_time_limit(told, victim):
    assert diagnosed(told, "srun") == ("failed", "killed", True)
    # Whether the worker still saves depends on what of the job dies first.
    assert victim.account("srun")["exit_code"] in (85, None)
    assert victim.starts("srun") == 2


def test_a_worker_outlives_its_slurmstepd_and_its_record_counts(told, victim):
    assert told.before["stepd"].name == "done"
    assert victim.starts("stepd") == 1


def test_a_signal_that_comes_three_times_saves_once_and_requeues_once(told, victim):
    saves = read_lines(victim.run.task("usr2").folder / "saves")
    assert [each["alive"] for each in saves] == [2], "forked children must not react"
    assert saves[0]["pid"] == victim.account("usr2")["pid"]
    assert victim.run.task("usr2").last_attempt() == 2
    (array,) = [each for each in victim.submissions() if "usr2" in each.tasks]
    ends = element_ends(victim.run.element_ends(array.name))
    index = array.index("usr2")
    assert [(n, end.status) for (i, n), end in ends.items() if i == index] == [(0, 85), (1, 0)]


def test_scancel_signal_term_saves_and_requeues(told, victim):
    assert told.before["term"].name == "done"
    assert (victim.run.task("term").folder / "saved").read_text() == str(int(signal.SIGTERM))
    assert victim.account("term", 2)["slurm"]["restart_count"] == "1"


def test_a_signal_before_the_worker_can_listen_is_a_requeue(told, victim):
    assert told.before["early"].name == "done"
    (name,) = [each.name for each in victim.submissions() if "early" in each.tasks]
    ends = element_ends(victim.run.element_ends(name))
    assert [end.status for end in ends.values()] == [143, 0]
    assert victim.run.task("early").last_attempt() == 1


def test_what_a_person_cancelled_waits_for_a_person(told, victim):
    assert told.before["cancelled"].name == "missing"
    assert told.before["cancelled"].diagnosis.failure_class == "cancelled"
    assert "cancelled" not in told.followed.submitted
    assert told.launched.submitted == ["cancelled"]


def test_a_memory_limit_is_told_and_more_memory_is_asked_for(told, victim):
    assert diagnosed(told, "memory") == ("failed", "host_out_of_memory", True)
    assert "exceeded memory limit" in victim.stderr("memory")
    script = (
        victim.run.scheduler_logs / f"{victim.element('memory').partition('_')[0]}_submission.sh"
    )
    assert "#SBATCH --mem=384M" in script.read_text()
    assert told.after["memory"].name == "done"


def test_a_python_error_is_never_tried_again_by_itself(told, victim):
    for name in ("fail", "p-fail"):
        assert diagnosed(told, name) == ("failed", "python_error", False)
        assert told.after[name].name == "failed"
        assert victim.starts(name) == 1
    assert read_error(victim.run.task("fail")).message == "the fake broke"


def test_a_python_that_is_not_there_is_told_in_its_own_words(told, victim):
    assert diagnosed(told, "no-python") == ("failed", "never_started", True)
    assert "/nowhere/bin/python: No such file or directory" in told.before["no-python"].reason
    assert victim.is_done("no-python")


def test_a_task_that_is_done_when_its_element_starts_ends_at_once(told, victim):
    assert victim.starts("done-before") == 1
    assert victim.run.task("done-before").last_attempt() == 1
    (name,) = [each.name for each in victim.submissions() if "done-before" in each.tasks]
    (end,) = element_ends(victim.run.element_ends(name)).values()
    assert end.status == 0


def test_a_kill_in_a_packed_element_is_that_tasks_own(told, victim):
    assert diagnosed(told, "p-killed") == ("failed", "killed", True)
    assert [told.before[name].name for name in ("p-ok", "p-sleep")] == ["done", "done"]
    starts = [victim.starts(name) for name in ("p-killed", "p-ok", "p-sleep")]
    assert starts == [2, 1, 1]


def test_all_that_the_rules_try_again_ends_well_and_once(told, victim):
    again = ["memory", "no-python", "p-killed", "srun", "worker"]
    assert sorted(told.followed.submitted) == again
    assert {name for name, state in told.after.items() if state.name != "done"} == {
        "fail",
        "p-fail",
    }
    assert len(read_lines(victim.run.failures)) == len(again) + 2


def test_a_follower_tops_up_chunks_until_all_is_done(slurm, tmp_path):
    victim = Victim(RunPaths(tmp_path / "run"))
    names = [f"t{i:02}" for i in range(12)]
    for name in names:
        victim.task(name, "ok")
    others = len(squeue.query())
    site = {"max_array_size": 3, "max_submit": others + 6}
    victim.config = run_config("slurm", site=site, retry="default", collect=False)
    victim.save()
    outcome = victim.launch(by_hand=True)
    try:
        assert len(outcome.submitted) + outcome.n_waiting == 12
        victim.wait_done(*names, timeout_s=240)
    finally:
        victim.clean_up()
    assert [victim.starts(name) for name in names] == [1] * 12
    sizes = [len(each.elements) for each in victim.submissions()]
    assert max(sizes) == 3
    assert sum(sizes) == 12

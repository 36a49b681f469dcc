"""Real arrays on a real Slurm: chains, requeues, refusals and the ledger's repair."""

import json
import os
import signal
import stat
import subprocess
import sys

import pytest

from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import Resources
from mo_hpc.core.files import read_json, read_lines
from mo_hpc.core.record import read_error
from mo_hpc.executors.activity import activity
from mo_hpc.executors.completion import is_done
from mo_hpc.executors.slurm import squeue
from mo_hpc.executors.slurm.executor import SlurmExecutor
from mo_hpc.executors.slurm.ledger import Ledger

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("slurm")]


@pytest.fixture(autouse=True)
def own_jobs(run):
    """Cancels what a test leaves in the queue."""
    yield
    if job_ids := [each.job_id for each in Ledger(run).submissions() if each.job_id]:
        subprocess.run(["scancel", *job_ids], check=False)


@pytest.fixture
def ended(run, wait_until):
    """Waits until the run has nothing in the queue."""

    def wait():
        wait_until(lambda: not queue_of(run), timeout_s=180, interval_s=0.5)

    return wait


@pytest.fixture
def recording_python(tmp_path):
    """A Python that notes when the follower was called, and with what."""
    script = tmp_path / "python"
    script.write_text(
        "#!/bin/bash\n"
        "if [[ $2 == mo_hpc.follow ]]; then\n"
        f'  echo "$(date +%s.%N) $*" > {tmp_path}/collected\n'
        "else\n"
        f'  exec {sys.executable} "$@"\n'
        "fi\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def queue_of(run):
    names = {each.name for each in Ledger(run).submissions()}
    return [row for row in squeue.query() if row.name in names]


def control(job, field):
    shown = subprocess.run(
        ["scontrol", "show", "job", job], capture_output=True, text=True, check=True
    )
    words = dict(word.partition("=")[::2] for word in shown.stdout.split() if "=" in word)
    return words[field]


def restart_now(run, wait_until, task_id):
    """Waits for a requeue and shortens Slurm's delay of two minutes."""

    def element():
        for each in Ledger(run).submissions():
            if task_id in each.tasks and each.job_id:
                index = f"_{each.tasks.index(task_id)}" if len(each.tasks) > 1 else ""
                return each.job_id + index
        raise AssertionError(task_id)

    wait_until(lambda: control(element(), "Restarts") == "1", timeout_s=90, interval_s=0.5)
    # A restart in the second of the requeue is refused ("Job credential revoked").
    subprocess.run(["scontrol", "update", f"jobid={element()}", "StartTime=now+3"], check=True)


def test_a_chain_with_a_failure_and_a_follower(
    run, make_task, make_config, ended, recording_python
):
    tasks = [
        make_task("a", "sleep", seconds=1),
        make_task("bad", "fail"),
        make_task("after-a", needs=["a"], stage="second"),
        make_task("after-bad", needs=["bad"], stage="second"),
    ]
    executor = SlurmExecutor(run, make_config("slurm", site={"host_python": str(recording_python)}))
    assert executor.submit(tasks) == [task.id for task in tasks]
    assert set(activity(run).tasks) == {task.id for task in tasks}
    assert executor.submit(tasks) == []
    first, second, follower = Ledger(run).submissions()
    assert (first.tasks, second.tasks) == (("a", "bad"), ("after-a", "after-bad"))
    ended()
    assert is_done(run.task("a"))
    assert is_done(run.task("after-a"))
    assert read_error(run.task("bad")).failure_class == "python_error"
    assert not run.task("after-bad").error.exists()
    log = run.scheduler_logs / f"{second.job_id}_1_0_log.err"
    assert "after-bad cannot start: bad is failed" in log.read_text()
    collected = recording_python.with_name("collected").read_text()
    assert f"-m mo_hpc.follow run={run.folder}" in collected
    last = read_lines(run.task("after-a").progress)[0]["time"]
    assert float(collected.split()[0]) > last
    assert (run.scheduler_logs / f"{follower.job_id}_follow.log").exists()
    assert not list(run.scheduler_logs.glob("*result.pkl"))


def test_the_output_of_a_task_is_found_in_its_attempt(run, make_task, make_config, ended):
    resources = Resources(cpus_per_task=2, memory_gb=0.25, time_min=5)
    config = make_config("slurm", follow=False)
    SlurmExecutor(run, config).submit([make_task("a", resources=resources), make_task("b")])
    ended()
    attempt = run.task("a").attempt(1)
    assert "out of a" in (attempt / "stdout").read_text()
    assert "err of a" in (attempt / "stderr").read_text()
    assert "err of b" in (run.task("b").attempt(1) / "stderr").read_text()
    facts = read_lines(run.task("a").progress)[0]
    assert (facts["threads"], facts["slurm_cpus"]) == ("2", "2")


def test_a_task_that_saved_itself_is_requeued_but_not_for_ever(
    run, make_task, make_config, ended, wait_until
):
    config = make_config("slurm", follow=False, site={"max_requeues": 1})
    tasks = [make_task("once", "stop_once"), make_task("always", "stop_always")]
    SlurmExecutor(run, config).submit(tasks)
    restart_now(run, wait_until, "once")
    restart_now(run, wait_until, "always")
    ended()
    assert is_done(run.task("once"))
    account = read_json(run.task("once").attempt(2) / "slurm.json")
    assert account["slurm"]["restart_count"] == "1"
    assert run.task("always").last_attempt() == 2
    errors = (run.task("always").attempt(2) / "stderr").read_text()
    assert "not requeued: this was restart 1 of 1" in errors


def test_a_signal_saves_whichever_rank_is_slower(run, make_task, make_config, ended, wait_until):
    two_ranks = Resources(tasks_per_node=2, cpus_per_task=1, memory_gb=0.25, time_min=5)
    tasks = [
        make_task("slow-0", "wait", resources=two_ranks, slow_rank=0),
        make_task("slow-1", "wait", resources=two_ranks, slow_rank=1),
    ]
    SlurmExecutor(run, make_config("slurm", follow=False)).submit(tasks)
    for task in tasks:
        folder = run.task(task.id).folder
        wait_until((folder / "waiting").exists)
        wait_until((folder / "waiting-1").exists)
    (submission,) = Ledger(run).submissions()
    subprocess.run(["scancel", "--signal=USR2", submission.job_id], check=True)
    for task in tasks:
        restart_now(run, wait_until, task.id)
        assert (run.task(task.id).folder / "saved").read_text() == str(int(signal.SIGUSR2))
    ended()
    assert all(is_done(run.task(task.id)) for task in tasks)


def test_a_cancelled_task_is_not_requeued(run, make_task, make_config, ended, wait_until):
    executor = SlurmExecutor(run, make_config("slurm", follow=False))
    executor.submit([make_task("a", "wait")])
    wait_until((run.task("a").folder / "waiting").exists)
    assert activity(run).tasks == {"a": "running"}
    (submission,) = Ledger(run).submissions()
    subprocess.run(["scancel", submission.job_id], check=True)
    ended()
    assert control(submission.job_id, "JobState") == "CANCELLED"
    assert activity(run).tasks == {}


def test_a_killed_worker_leaves_a_task_that_is_submitted_again(
    run, make_task, make_config, ended, wait_until
):
    executor = SlurmExecutor(run, make_config("slurm", follow=False))
    task = make_task("a", "wait")
    executor.submit([task])
    wait_until((run.task("a").folder / "waiting").exists)
    os.kill(read_json(run.task("a").attempt(1) / "slurm.json")["pid"], signal.SIGKILL)
    ended()
    assert activity(run).tasks == {}
    assert executor.submit([task]) == ["a"]
    ended()
    assert is_done(run.task("a"))


def test_what_was_submitted_earlier_is_waited_for(run, make_task, make_config):
    held = make_config("slurm", follow=False, site={"sbatch": {"hold": True}})
    tasks = [make_task("a"), make_task("b", needs=["a"])]
    assert SlurmExecutor(run, held).submit(tasks[:1]) == ["a"]
    assert SlurmExecutor(run, make_config("slurm")).submit(tasks) == ["b"]
    first, second, follower = Ledger(run).submissions()
    assert control(second.job_id, "Dependency") == f"afterany:{first.job_id}_*(unfulfilled)"
    assert control(follower.job_id, "Dependency").count("afterany") == 2
    assert activity(run).tasks == {"a": "queued", "b": "queued"}


def test_a_launcher_killed_after_sbatch_is_repaired(run, make_task, make_config):
    task = make_task("a")
    lost, never = Ledger(run).intend("lost", ["a"]), Ledger(run).intend("never", ["b"])
    command = ["sbatch", "--hold", "--parsable", f"--job-name={lost}", "--wrap", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert activity(run).tasks == {"a": "queued"}
    assert SlurmExecutor(run, make_config("slurm")).submit([task]) == []
    repaired = {each.name: each for each in Ledger(run).submissions()}
    assert repaired[lost].job_id == done.stdout.strip()
    assert repaired[never].dropped


def test_a_refusal_is_told_in_sbatchs_own_words(run, make_task, make_config):
    config = make_config("slurm", site={"partition": "nowhere"})
    with pytest.raises(UserError, match="invalid partition specified: nowhere") as caught:
        SlurmExecutor(run, config).submit([make_task("a"), make_task("b")])
    assert "Invalid partition name specified" in str(caught.value)
    assert [each.dropped for each in Ledger(run).submissions()] == [True]
    assert activity(run).tasks == {}


def test_the_preview_is_what_is_submitted(run, make_task, make_config):
    config = make_config("slurm", follow=False, site={"sbatch": {"hold": True}})
    tasks = [make_task("a"), make_task("b")]
    executor = SlurmExecutor(run, config)
    preview = executor.preview(tasks)
    executor.submit(tasks)
    (submission,) = Ledger(run).submissions()
    script = (run.scheduler_logs / f"{submission.job_id}_submission.sh").read_text()
    assert script.replace(submission.name, submission.name[:-9]) in preview


@pytest.mark.slurm_slow
def test_a_time_limit_saves_and_requeues(run, make_task, make_config, ended, wait_until):
    # Slurm looks every 30 s and warns half a minute early: 30 to 60 s after each start.
    short = Resources(cpus_per_task=1, memory_gb=0.25, time_min=2)
    config = make_config("slurm", follow=False, site={"signal_before_end_s": 60})
    SlurmExecutor(run, config).submit([make_task("a", "wait", resources=short)])
    wait_until((run.task("a").folder / "saved").exists, timeout_s=180, interval_s=1)
    restart_now(run, wait_until, "a")
    ended()
    assert is_done(run.task("a"))


@pytest.mark.slurm_slow
def test_slurms_own_delay_ends_by_itself(run, make_task, make_config, wait_until):
    SlurmExecutor(run, make_config("slurm", follow=False)).submit([make_task("a", "stop_once")])
    wait_until(lambda: is_done(run.task("a")), timeout_s=240, interval_s=2)
    assert json.loads((run.task("a").attempt(2) / "slurm.json").read_text())["exit_code"] == 0

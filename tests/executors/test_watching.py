"""Status, logs, retry and cancel over fake runs: what people and programs are told."""

import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import yaml
from rich.console import Console
from runs import manifest_of

from mo_hpc import cancel, launch, logs, retry, status
from mo_hpc.core.errors import run_command
from mo_hpc.core.execution import RetryConfig, RetryRule
from mo_hpc.core.files import append_line, read_lines, write_json
from mo_hpc.executors.resubmission import executor_of, launch_lock, launcher_at_work
from mo_hpc.executors.slurm.ledger import Ledger
from mo_hpc.plan.manifest import ManifestTask
from mo_hpc.plan.state import TaskState
from mo_hpc.watch import live
from mo_hpc.watch.cost import TaskCost
from mo_hpc.watch.estimate import estimate
from mo_hpc.watch.progress import Progress

HOUR_S = 3600
RULES = RetryConfig(
    name="test",
    rules={
        "host_out_of_memory": RetryRule(times=3, memory_factor=1.5),
        "killed": RetryRule(times=1),
    },
)


@pytest.fixture
def known(run, make_config):
    """Writes what a launch writes about a run of these tasks."""

    def write(tasks, executor="inline", config=None):
        config = config or make_config(executor, collect=False)
        config = config.model_copy(update={"retry": RULES})
        manifest = manifest_of(tasks).model_copy(update={"executor": config.executor.name})
        run.folder.mkdir(parents=True, exist_ok=True)
        run.config.write_text(yaml.safe_dump(config.model_dump(mode="json")))
        write_json(run.manifest, manifest.model_dump(mode="json"))
        return config

    return write


@pytest.fixture
def told(run, capfd):
    """Runs a command on the run and returns its status, stdout and stderr."""

    def call(command, *words):
        capfd.readouterr()
        code = run_command(command.main, [f"run={run.folder}", *words])
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def squeue_that_is_counted(tmp_path, monkeypatch):
    """Slurm's commands with an empty queue, each call noted."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for name in ("squeue", "scontrol", "sacct", "scancel"):
        script = folder / name
        script.write_text(f'#!/bin/bash\necho "{name} $*" >> {tmp_path}/calls\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return lambda: (tmp_path / "calls").read_text().splitlines()


def account(run, task_id, number, *, started_s, ended_s=None, exit_code=None, **fields):
    """Writes the account of an attempt, with times in seconds from now."""
    slurm = fields.pop("slurm", None)
    document = {
        "attempt": number,
        "started": moment(started_s),
        "ended": moment(ended_s),
        "exit_code": exit_code,
        "node": "n7",
        "slurm": slurm,
        "log_offset": 0,
        "cores": 4,
        "gpus": 1,
        **fields,
    }
    write_json(run.task(task_id).attempt(number) / "slurm.json", document)


def moment(seconds):
    if seconds is None:
        return None
    return datetime.fromtimestamp(time.time() + seconds, UTC).isoformat(timespec="seconds")


def epochs(run, task_id, maes, s_per_epoch=2.0):
    for number, mae in enumerate(maes, start=1):
        line = {
            "epoch": number,
            "valid_force_mae_mev_per_ang_component": mae,
            "wall_time_s": number * s_per_epoch,
        }
        append_line(run.task(task_id).progress, line)


def run_all(run, config, tasks):
    executor_of(run, config).submit(tasks)


def test_status_tells_progress_failures_and_cost(run, known, make_task, told):
    tasks = [make_task("good"), make_task("bad", "fail"), make_task("after", needs=["bad"])]
    config = known(tasks)
    run_all(run, config, tasks[:2])
    account(run, "bad", 1, started_s=-90, ended_s=-0, exit_code=1, gpus=0)
    epochs(run, "bad", [30.0, 20.5, 25.25])
    code, out, _ = told(status)
    assert code == 1
    assert "fakes: 3 tasks: 1 done, 1 failed, 1 blocked." in out
    assert re.search(r"bad +failed +3/200 +25\.2 +20\.5", out)
    assert "failed: bad\n  python_error on " in out
    assert "the fake broke" in out
    assert "│ err of bad, start 0" not in out  # inline: its stderr is the terminal's
    assert "It is not tried again by itself." in out
    assert f"python -m mo_hpc.retry run={run.folder} class=python_error" in out
    assert "It needs bad, which is failed." in out
    assert re.search(r"Used so far: \S+ core-hours, of it \S+ core-hours in 1 attempt", out)
    assert max(len(line) for line in out.splitlines() if str(run.folder) not in line) <= 80


def test_the_document_adds_to_what_it_was(run, known, make_task, told):
    tasks = [make_task("a"), make_task("b", "fail")]
    config = known(tasks, "local")
    run_all(run, config, tasks)
    code, out, _ = told(status, "--json")
    document = json.loads(out)
    assert code == 1
    assert document["schema_version"] == 1
    assert document["counts"] == {"done": 1, "failed": 1}
    assert [(task["id"], task["state"]) for task in document["tasks"]] == [
        ("a", "done"),
        ("b", "failed"),
    ]
    (failure,) = document["failures"]
    assert (failure["id"], failure["class"], failure["reason"]) == (
        "b",
        "python_error",
        "the fake broke",
    )
    assert failure["stderr"] == ["err of b, start 0"]
    assert failure["again"] is False
    assert document["is_under_way"] is False
    assert document["cost"]["failed_attempts"]["number"] == 1


def test_the_cost_counts_every_attempt_to_its_end(run, known, make_task, told):
    known([make_task("a")])
    name = Ledger(run).intend("x", [["a"]])
    Ledger(run).confirm(name, "77")
    job = {"array_job_id": "77", "array_task_id": "0"}
    account(run, "a", 1, started_s=-4 * HOUR_S, ended_s=-3 * HOUR_S, exit_code=85, slurm=job)
    # Killed with its batch script alive, which noted the time.
    account(run, "a", 2, started_s=-3 * HOUR_S, slurm={**job, "restart_count": "1"})
    run.element_ends(name).parent.mkdir()
    run.element_ends(name).write_text(f"0 137 1 n7 {round(time.time() - 2 * HOUR_S)}\n")
    # Killed with everything: what it wrote last is all that is known.
    account(run, "a", 3, started_s=-2 * HOUR_S, slurm={**job, "restart_count": "2"})
    epochs(run, "a", [1.0])
    half_an_hour_ago = time.time() - 0.5 * HOUR_S
    os.utime(run.task("a").progress, (half_an_hour_ago, half_an_hour_ago))
    cost = json.loads(told(status, "--json")[1])["cost"]
    assert cost["gpu_hours"] == pytest.approx(3.5, abs=0.01)
    assert cost["core_hours"] == pytest.approx(14.0, abs=0.04)
    assert cost["failed_attempts"]["number"] == 2
    assert cost["failed_attempts"]["gpu_hours"] == pytest.approx(2.5, abs=0.01)


def test_a_task_at_work_costs_until_now_and_its_time_left_is_told(run, known, make_task, told):
    known([make_task("a"), make_task("b")])
    account(run, "a", 1, started_s=-HOUR_S, pid=1)
    epochs(run, "a", [9.0, 8.0, 8.5], s_per_epoch=36.0)
    with held_by_another_process(run.task("a").lock):
        document = json.loads(told(status, "--json")[1])
        _, out, _ = told(status)
    task = document["tasks"][0]
    assert (task["state"], task["node"]) == ("running", "n7")
    assert task["progress"]["best_force_mae_mev_per_ang"] == 8.0
    assert task["left_s"] == pytest.approx(197 * 36)
    assert document["cost"]["gpu_hours"] == pytest.approx(1.0, abs=0.01)
    assert document["cost"]["failed_attempts"]["number"] == 0
    assert document["estimate"] == {"left_s": pytest.approx(197 * 36), "tasks_at_once": 1}
    assert re.search(r"a +running +3/200 +8\.5 +8\.0 +118 min n7", out)
    assert "About 118 min left if it alone runs; an estimate." in out


class held_by_another_process:  # noqa: N801 - a context manager
    """A worker somewhere else that holds a task's lock."""

    def __init__(self, path):
        path.touch()
        program = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, 2); print(flush=True)"
        program += "; sys.stdin.read()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.process.stdout.readline()

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def test_what_the_rules_do_next_is_said(run, known, make_task, told):
    tasks = [make_task("m", "memory"), make_task("k")]
    run_all(run, known(tasks), tasks[:1])
    account(run, "k", 1, started_s=-60)
    _, out, _ = told(status)
    assert "The next launch tries it again (1 of 3), with up to 0.375 GB." in out
    assert "The next launch tries it again (1 of 1)." in out
    assert "mo_hpc.retry" not in out


def test_one_question_to_the_scheduler(run, known, make_task, told, squeue_that_is_counted):
    tasks = [make_task(f"t{number}") for number in range(60)]
    config = known(tasks)
    run_all(run, config, tasks)
    Ledger(run).confirm(Ledger(run).intend("x", [[task.id] for task in tasks]), "77")
    code, out, _ = told(status)
    assert code == 0
    assert [call.split()[0] for call in squeue_that_is_counted()] == ["squeue"]
    assert re.search(r"fake +60", out)
    assert "t17" not in out
    assert "t17" in told(status, "--all")[1]


def test_accounting_refines_the_cost_where_it_answers(
    run, known, make_task, told, squeue_that_is_counted, tmp_path
):
    known([make_task("a")])
    Ledger(run).confirm(Ledger(run).intend("x", [["a"]]), "77")
    account(run, "a", 1, started_s=-60, ended_s=-30, exit_code=0, slurm={"array_job_id": "77"})
    assert "accounting does not answer" in told(status, "--accounting")[1]
    answer = "77_0|1800|billing=4,cpu=4,gres/gpu=2,mem=8G,node=1|\n77_0.0|1800|cpu=4|2097152K\n"
    sacct = tmp_path / "commands" / "sacct"
    sacct.write_text(f"#!/bin/bash\nprintf '{answer}'\n")
    document = json.loads(told(status, "--accounting", "--json")[1])
    assert document["accounting"] == {"core_hours": 2.0, "gpu_hours": 1.0, "max_memory_gb": 2.0}
    assert document["tasks"][0]["accounting"] == document["accounting"]
    out = told(status, "--accounting")[1]
    assert "Slurm's accounting: 1 GPU-hours and 2 core-hours; at most 2 GB" in out


def test_stderr_reaches_the_terminal_without_its_commands(run, known, make_task, told):
    tasks = [make_task("b", "fail")]
    run_all(run, known(tasks, "local"), tasks)
    with (run.task("b").attempt(1) / "stderr").open("a") as log:
        log.write("50%\r\x1b[31m100%\x1b[0m [bold]\n" + "x" * 300 + "\n")
    out = told(status)[1]
    assert "│ 100% [bold]\n" in out
    assert "\x1b" not in out
    assert "│ " + "x" * 75 + "…\n" in out


# -- watch ----------------------------------------------------------------------------


LAUNCH = """
import sys
from pathlib import Path
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.record import read_task
from mo_hpc.executors.resubmission import executor_of, launch_lock
from mo_hpc.plan.runs import read_run_config

if __name__ == "__main__":
    folder, *ids = sys.argv[1:]
    run = RunPaths(Path(folder))
    with launch_lock(run):
        tasks = [read_task(run.task(task_id)) for task_id in ids]
        executor_of(run, read_run_config(run)).submit(tasks)
"""


@pytest.fixture
def start_launch(run, wait_until):
    """Starts a launch of the run in another process and waits until it is at work."""
    started = []

    def start(*ids):
        script = run.folder / "launch.py"
        script.write_text(LAUNCH)
        words = [sys.executable, str(script), str(run.folder), *ids]
        started.append(subprocess.Popen(words, stderr=subprocess.DEVNULL))
        wait_until(lambda: launcher_at_work(run) is not None)
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def quick_looks(monkeypatch):
    monkeypatch.setattr(live, "LEAST_INTERVAL_S", 1)


@pytest.mark.parametrize("command", [status, launch])
def test_a_short_interval_is_refused(run, known, make_task, told, command):
    known([make_task("a")])
    code, _, err = told(command, "--watch", "5")
    assert code == 2
    assert "The interval of 5 s is shorter than 30 s." in err
    assert "serves everyone" in err


def test_a_word_after_watch_is_no_interval():
    assert live.with_interval(["--watch", "grid=demo"]) == ["--watch=30", "grid=demo"]
    assert live.with_interval(["grid=demo", "--watch"]) == ["grid=demo", "--watch=30"]
    assert live.with_interval(["--watch", "45"]) == ["--watch", "45"]


def test_watch_on_a_pipe_prints_changes_and_ends_by_itself(
    run, known, make_task, told, quick_looks, start_launch
):
    tasks = [make_task("a", "sleep", seconds=2), make_task("b", needs=["a"])]
    known(tasks, "local")
    launcher = start_launch("a", "b")
    code, out, _ = told(status, "--watch")
    assert launcher.wait() == 0
    assert code == 0
    assert re.search(r"^\d\d:\d\d:\d\d  a: running → done$", out, re.MULTILINE)
    assert "fakes: 2 tasks: 2 done." in out


def test_ctrl_c_leaves_the_run_alone(run, known, make_task, told, monkeypatch):
    known([make_task("a")])

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(live, "time", SimpleNamespace(sleep=interrupted))
    with held_by_another_process(run.task("a").lock) as worker:
        code, _, err = told(status, "--watch")
        assert worker.poll() is None
    assert code == 130
    assert "The run goes on" in err


def test_a_silent_scheduler_does_not_end_the_watch(
    run, known, make_task, told, quick_looks, squeue_that_is_counted, tmp_path, monkeypatch
):
    known([make_task("a")])
    Ledger(run).confirm(name := Ledger(run).intend("x", [["a"]]), "77")
    answers = itertools.chain([f"77|0|PENDING|None|{name}", None], itertools.repeat(""))

    def answer(_seconds):
        said = next(answers)
        script = "exit 1" if said is None else f"printf '%s' '{said}'"
        (tmp_path / "commands" / "squeue").write_text(f"#!/bin/bash\n{script}\n")

    answer(0)
    monkeypatch.setattr(live, "time", SimpleNamespace(sleep=answer))
    code, out, _ = told(status, "--watch")
    assert code == 1
    assert "Slurm's squeue failed" in out
    assert "a: queued → failed (never_started)" in out


# -- logs -----------------------------------------------------------------------------


def test_logs_of_a_failed_task(run, known, make_task, told):
    tasks = [make_task("good-1"), make_task("good-2"), make_task("bad", "fail")]
    run_all(run, known(tasks, "local"), tasks)
    code, out, err = told(logs, "ba")
    assert code == 0
    assert "err of bad, start 0" in out
    assert "Traceback" in out
    assert "It failed (python_error): the fake broke" in err
    assert str(run.task("bad").attempt(1) / "stderr") in err
    assert told(logs, "bad", "--stdout")[1] == "out of bad, start 0\n"
    code, _, err = told(logs, "good")
    assert code == 2
    assert "The name 'good' fits 2 tasks." in err
    code, _, err = told(logs, "bat")
    assert (code, "Did you mean bad?" in err) == (2, True)
    assert told(logs)[0] == 2
    code, _, err = told(logs, "bad", "--attempt", "3")
    assert code == 2
    assert "has no attempt 3" in err


def test_logs_show_the_part_of_one_attempt(run, known, make_task, told):
    known([make_task("a")])
    log = run.scheduler_logs / "77_0_0_log.err"
    log.parent.mkdir(parents=True)
    log.write_text("first\nsecond\n")
    for number, offset in ((1, 0), (2, 6)):
        account(run, "a", number, started_s=-60, log_offset=offset)
        (run.task("a").attempt(number) / "stderr").symlink_to(log)
    assert told(logs, "a")[1] == "second\n"
    assert told(logs, "a", "--attempt", "1")[1] == "first\n"


def test_logs_of_a_task_that_never_began_are_the_schedulers(run, known, make_task, told):
    known([make_task("a"), make_task("b")])
    Ledger(run).confirm(Ledger(run).intend("x", [["a"]]), "77")
    run.scheduler_logs.mkdir(exist_ok=True)
    (run.scheduler_logs / "77_0_0_log.err").write_text("no such interpreter\n")
    code, out, err = told(logs, "a")
    assert (code, out) == (0, "no such interpreter\n")
    assert "has not begun" in err
    assert told(logs, "b")[0] == 1


def test_logs_follow_a_task_to_its_end(run, known, make_task, worker_command):
    known([make_task("a", "sleep", seconds=1)])
    account(run, "a", 1, started_s=-60)
    (run.task("a").attempt(1) / "stderr").write_text("killed\n")
    words = [sys.executable, "-m", "mo_hpc.logs", f"run={run.folder}", "a", "--follow"]
    with held_by_another_process(run.task("a").lock) as other:
        follower = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert follower.stdout.readline() == "killed\n"
        other.kill()
        other.wait()
        worker = subprocess.run([*worker_command, str(run.task("a").folder)], check=False)
    out, err = follower.communicate(timeout=30)
    assert (worker.returncode, follower.returncode) == (0, 0), err
    assert "attempt 2" in err
    assert "a is done." in err
    assert not out


# -- retry ----------------------------------------------------------------------------


def test_retry_by_class_and_by_name(run, known, make_task, told):
    tasks = [make_task("p1", "fail"), make_task("p2", "fail"), make_task("d", "diverge")]
    run_all(run, known(tasks), tasks)
    code, out, err = told(retry, "class=diverged", "--json")
    assert (code, json.loads(out)["submitted"]) == (1, ["d"])
    assert json.loads(told(retry, "p2", "--json")[1])["submitted"] == ["p2"]
    assert json.loads(told(retry, "class=python_error", "d", "--json")[1])["submitted"] == []
    assert json.loads(told(retry, "--json")[1])["submitted"] == ["p1", "p2", "d"]
    code, _, err = told(retry, "class=bad_data")
    assert code == 1
    assert "nothing was submitted" in err
    code, _, err = told(retry, "class=pyton_error")
    assert code == 2
    assert "Did you mean class=python_error?" in err
    assert "diverged" in err


def test_retry_takes_what_waits_for_the_task_along(run, known, make_task, told):
    tasks = [make_task("a", "fail"), make_task("b", needs=["a"])]
    run_all(run, known(tasks), tasks)
    assert json.loads(told(retry, "a", "--json")[1])["submitted"] == ["a", "b"]


# -- cancel ---------------------------------------------------------------------------


def test_cancel_without_slurm_asks_the_worker_to_save(
    run, known, make_task, told, worker_command, wait_until
):
    known([make_task("a", "wait"), make_task("b")])
    worker = subprocess.Popen([*worker_command, str(run.task("a").folder)])
    wait_until((run.task("a").folder / "waiting").exists)
    code, _, err = told(cancel, "a")
    assert code == 2
    assert "Add --yes." in err
    assert worker.poll() is None
    code, out, _ = told(cancel, "a", "--yes", "--json")
    assert code == 0
    assert json.loads(out)["cancelled"] == ["a"]
    assert worker.wait(timeout=20) == 85
    assert (run.task("a").folder / "saved").read_text() == str(int(signal.SIGTERM))
    code, _, err = told(cancel, "--yes")
    assert (code, err) == (1, "Nothing is under way.\n")


def test_cancel_ends_a_launch_that_runs_the_tasks_itself(
    run, known, make_task, told, start_launch, wait_until
):
    known([make_task("a", "wait"), make_task("b")], "local")
    launcher = start_launch("a", "b")
    wait_until((run.task("a").folder / "waiting").exists)
    code, out, _ = told(cancel, "--yes", "--json")
    assert code == 0
    assert json.loads(out)["processes"] == [launcher.pid]
    assert launcher.wait(timeout=30) != 0
    assert (run.task("a").folder / "saved").exists()
    assert json.loads(told(status, "--json")[1])["is_under_way"] is False


def test_cancel_gives_scancel_arrays_and_elements(
    run, known, make_task, told, squeue_that_is_counted, tmp_path, make_config
):
    known([make_task(name) for name in "abcdef"], config=make_config("slurm"))
    ledger = Ledger(run)
    arrays = {"1": ledger.intend("x", [["a"], ["b"]]), "2": ledger.intend("x", [["c", "d"], ["e"]])}
    follower = ledger.intend("follow", ())
    rows = []
    for job_id, name in arrays.items():
        ledger.confirm(name, job_id)
        rows += [f"{job_id}|{index}|PENDING|None|{name}" for index in (0, 1)]
    ledger.confirm(follower, "3")
    rows.append(f"3|N/A|PENDING|None|{follower}")
    squeue = tmp_path / "commands" / "squeue"
    squeue.write_text("#!/bin/bash\ncat <<'END'\n" + "\n".join(rows) + "\nEND\n")
    code, out, _ = told(cancel, "a", "c", "--yes", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["jobs"] == ["1_0", "2_0"]
    assert document["along"] == ["d"]
    told(cancel, "--yes")
    assert [c for c in squeue_that_is_counted() if "scancel" in c] == [
        "scancel 1_0 2_0",
        "scancel 3 1 2",
    ]
    taken = {each.job_id: each.cancelled for each in ledger.submissions()}
    assert taken == {"1": {"a", "b"}, "2": {"c", "d", "e"}, "3": set()}
    squeue.write_text("#!/bin/bash\n")
    document = json.loads(told(status, "--json")[1])
    assert document["counts"] == {"missing": 6}
    assert "missing: 5 tasks, such as a\n  It was cancelled." in told(status)[1]


def test_single_tasks_are_not_taken_from_a_launch_that_would_restart_them(
    run, known, make_task, told
):
    known([make_task("a")], "local")
    account(run, "a", 1, started_s=-60, pid=1, node="elsewhere")
    with launch_lock(run), held_by_another_process(run.task("a").lock):
        assert launcher_at_work(run).pid == os.getpid()
        code, _, err = told(cancel, "a", "--yes")
    assert code == 2
    assert f"process {os.getpid()}" in " ".join(err.split())


def test_the_failure_log_is_only_written_by_launches(run, known, make_task, told):
    tasks = [make_task("m", "memory")]
    run_all(run, known(tasks), tasks)
    told(status)
    assert read_lines(run.failures) == []


# -- estimates ------------------------------------------------------------------------


def task_of(task_id, **axes):
    return ManifestTask(id=task_id, digest="0", stage="s", axes=axes, needs=())


def test_time_left_is_that_of_tasks_alike():
    tasks = [
        task_of("quick", paradigm="zero_shot"),
        task_of("long", paradigm="scratch"),
        task_of("like-quick", paradigm="zero_shot"),
        task_of("like-long", paradigm="scratch"),
        task_of("unlike", paradigm="fine_tune"),
    ]
    names = ("done", "running", "queued", "queued", "queued")
    states = {task.id: TaskState(name) for task, name in zip(tasks, names, strict=True)}
    costs = {task.id: TaskCost() for task in tasks}
    costs |= {"quick": TaskCost(wall_time_s=10.0), "long": TaskCost(wall_time_s=100.0)}
    progress = {"long": Progress(50, 100, None, None, 2.0)}
    found = estimate(tasks, states, costs, progress)
    assert [found.typical_s(task) for task in tasks] == [10.0, 200.0, 10.0, 200.0, 10.0]
    assert (found.total_s, found.at_once) == (100.0 + 10.0 + 200.0 + 10.0, 1)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("queued", "tells how long it takes"), ("done", "")],
)
def test_what_cannot_be_known_is_not_estimated(name, reason):
    tasks = [task_of("a")]
    found = estimate(tasks, {"a": TaskState(name)}, {"a": TaskCost()}, {})
    assert found.total_s is None
    assert reason in found.reason


def test_watch_on_a_terminal_redraws_and_ends_by_itself(run, known, make_task, monkeypatch):
    known([make_task("a")])
    account(run, "a", 1, started_s=-60, pid=1)
    worker = held_by_another_process(run.task("a").lock)
    naps = itertools.count()

    def nap(seconds):
        """Time passes: an epoch ends, then the worker dies."""
        assert seconds <= live._FILES_S
        epochs(run, "a", [7.5])
        if next(naps) == 3:
            worker.__exit__()

    ticks = itertools.count(step=live._FILES_S)
    monkeypatch.setattr(live, "time", SimpleNamespace(sleep=nap, monotonic=lambda: next(ticks)))
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=80, height=40)
    snapshot = live.watch(run, 30, console)
    assert not snapshot.is_under_way
    assert snapshot.states["a"].name == "failed"
    pictures = shown.getvalue().split("Ctrl-C leaves; the run goes on.")
    assert len(pictures) > 3
    assert "7.5" not in pictures[0]
    assert "7.5" in pictures[1]


def test_many_failures_are_counted_by_class_and_node(run, known, make_task, told):
    tasks = [make_task(f"t{number}", "fail") for number in range(53)]
    run_all(run, known(tasks), tasks)
    _, out, _ = told(status)
    assert out.count("failed: t") == 10
    assert "… and 43 more that failed; --all lists them:" in out
    assert re.search(r" 53 python_error \(\S+ 53\)", out)
    assert re.search(r"stage +failed\s+fake +53", out)
    assert told(status, "--all")[1].count("failed: t") == 53

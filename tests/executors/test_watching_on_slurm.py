"""Watching, cancelling and reading logs of real arrays on a real Slurm."""

import json
import re
import subprocess

import pytest
import yaml
from runs import manifest_of

from mo_hpc import cancel, logs, status
from mo_hpc.core.errors import run_command
from mo_hpc.core.files import write_json
from mo_hpc.executors.slurm import squeue
from mo_hpc.executors.slurm.executor import SlurmExecutor
from mo_hpc.executors.slurm.ledger import Ledger
from mo_hpc.watch import live

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("slurm")]


@pytest.fixture(autouse=True)
def own_jobs(run):
    """Cancels what a test leaves in the queue."""
    yield
    if job_ids := [each.job_id for each in Ledger(run).submissions() if each.job_id]:
        subprocess.run(["scancel", *job_ids], check=False)


@pytest.fixture
def submitted(run, make_config):
    """Writes what a launch writes about a run, and submits its tasks."""

    def submit(tasks, **fields):
        config = make_config("slurm", **fields)
        run.config.write_text(yaml.safe_dump(config.model_dump(mode="json")))
        write_json(run.manifest, manifest_of(tasks).model_dump(mode="json"))
        executor = SlurmExecutor(run, config)
        executor.submit(tasks)
        return executor

    return submit


@pytest.fixture
def told(run, capfd):
    def call(command, *words):
        capfd.readouterr()
        code = run_command(command.main, [f"run={run.folder}", *words])
        return code, *capfd.readouterr()

    return call


def in_queue(run):
    names = {each.name for each in Ledger(run).submissions()}
    return [row for row in squeue.query() if row.name in names]


def test_cancel_takes_back_what_runs_what_waits_and_the_follower(
    run, make_task, submitted, told, wait_until
):
    tasks = [make_task("a", "wait"), make_task("b", "wait"), make_task("c", needs=["a"])]
    executor = submitted(tasks, array_parallelism=1)
    wait_until((run.task("a").folder / "waiting").exists, timeout_s=180)
    assert json.loads(told(status, "--json")[1])["counts"] == {"running": 1, "queued": 2}
    code, out, _ = told(cancel, "b", "--yes", "--json")
    assert (code, json.loads(out)["cancelled"]) == (0, ["b"])
    first, second, follower = Ledger(run).submissions()
    assert json.loads(out)["jobs"] == [f"{first.job_id}_1"]
    code, out, _ = told(cancel, "--yes", "--json")
    assert json.loads(out)["cancelled"] == ["a", "c"]
    assert json.loads(out)["jobs"] == [follower.job_id, first.job_id, second.job_id]
    wait_until(lambda: not in_queue(run), timeout_s=180, interval_s=0.5)
    assert (run.task("a").folder / "saved").exists()
    document = json.loads(told(status, "--json")[1])
    assert document["counts"] == {"missing": 3}
    assert "It was cancelled." in told(status)[1]
    assert told(cancel, "--yes")[0] == 1
    assert executor.submit(tasks) == ["a", "b", "c"]


def test_watch_follows_an_array_and_logs_tell_its_starts_apart(
    run, make_task, submitted, told, wait_until, monkeypatch
):
    tasks = [make_task("twice", "stop_once"), make_task("once", "sleep", seconds=2)]
    submitted(tasks, follow=False)
    (array,) = Ledger(run).submissions()
    element = f"{array.job_id}_0"
    wait_until(lambda: "Restarts=1" in shown(element), timeout_s=180, interval_s=0.5)
    # A restart in the second of the requeue is refused ("Job credential revoked").
    subprocess.run(["scontrol", "update", f"jobid={element}", "StartTime=now+4"], check=True)
    monkeypatch.setattr(live, "LEAST_INTERVAL_S", 1)
    code, out, _ = told(status, "--watch")
    assert code == 0, out
    assert re.search(r"twice: (requeued|running) → (running|done)", out)
    assert "fakes: 2 tasks: 2 done." in out
    assert told(logs, "twice")[1] == "err of twice, start 1\n"
    first = told(logs, "twice", "--attempt", "1")[1]
    assert first.startswith("err of twice, start 0\n")
    assert "start 1" not in first


def shown(job):
    return subprocess.run(
        ["scontrol", "show", "job", job], capture_output=True, text=True, check=True
    ).stdout

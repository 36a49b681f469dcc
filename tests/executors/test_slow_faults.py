"""Faults that take Slurm its time: limits, preemption, nodes and daemons that die, containers."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from faults import Victim, all_nodes, idle_nodes, job_field, kill
from runs import run_config, wait_for

from mo_hpc.core.execution import Resources
from mo_hpc.core.files import read_lines
from mo_hpc.core.paths import RunPaths
from mo_hpc.executors.failures.evidence import element_ends
from mo_hpc.executors.slurm.ledger import Ledger

pytestmark = [pytest.mark.slurm, pytest.mark.slurm_slow]

ONE_MINUTE = Resources(cpus_per_task=1, memory_gb=0.25, time_min=1)
NO_SCONTROL = "/dev/null:/usr/bin/scontrol"
HOST_FOLDERS = ("bin", "lib", "lib64", "sbin")


@pytest.fixture(scope="module")
def victim(slurm_here, fake_kind_for_module, tmp_path_factory):
    victim = Victim(RunPaths(tmp_path_factory.mktemp("slow") / "run"))
    victim.config = run_config(
        "slurm", retry="default", follow=False, site={"signal_before_end_s": 15}
    )
    yield victim
    victim.clean_up()


@pytest.fixture(scope="module")
def nodes(slurm_here):
    """Three nodes of which nobody else uses one: preempted, lost, and with a dead daemon."""
    if len(all_nodes()) < 4:
        pytest.skip("this takes a cluster of four nodes")
    wait_for(lambda: len(idle_nodes(3)) == 3, timeout_s=300, interval_s=2)
    names = idle_nodes(3)
    yield names
    bring_back(names)


@pytest.fixture(scope="module")
def told(victim, nodes):
    """Does all the harm at once and waits until everything has come back."""
    told = SimpleNamespace(preempted_on=nodes[0], lost=nodes[1], silent=nodes[2])
    submit_all(victim, told)
    urgent = []
    victim.harm(
        {
            "preempted": lambda _: urgent.append(take_over(told.preempted_on)),
            "deaf-preempted": lambda _: None,
            "on-a-lost-node": lambda name: lose(victim, name, told.lost),
            "orphan": lambda _: kill_slurmd(told.silent),
            "deaf": lambda _: None,
        }
    )
    # Elsewhere: a node whose slurmd still knows the job refuses it ("Duplicate jobid").
    for name in ("orphan", "on-a-lost-node"):
        victim.restart_now(name, "ReqNodeList=", timeout_s=300)
    victim.restart_now("preempted", timeout_s=300)
    wait_for(lambda: is_at_work(victim, "orphan"), timeout_s=300, interval_s=0.5)
    told.orphan_was_done = victim.is_done("orphan")
    victim.wait_done("on-a-lost-node", "orphan", "preempted", timeout_s=300)
    victim.restart_now("deaf-preempted", timeout_s=300)
    told.restarts = {
        name: job_field(victim.element(name), "Restarts")
        for name in ("preempted", "deaf-preempted")
    }
    victim.wait_out_of_queue("deaf", timeout_s=300)
    told.before = victim.states()
    told.followed = victim.launch(by_hand=False)
    victim.wait_done("deaf", "deaf-preempted", timeout_s=300)
    subprocess.run(["scancel", *urgent], check=False)
    told.after = victim.states()
    return told


def submit_all(victim, told):
    preempted = [
        victim.task("preempted", "wait"),
        victim.task("deaf-preempted", "deaf", seconds=200),
    ]
    victim.submit(*preempted, site={"sbatch": {"nodelist": told.preempted_on}})
    on = {"sbatch": {"nodelist": told.lost}}
    victim.submit(victim.task("on-a-lost-node", "wait"), site=on)
    on = {"sbatch": {"nodelist": told.silent}}
    victim.submit(victim.task("orphan", "deaf", seconds=50), site=on)
    elsewhere = {
        "signal_before_end_s": 15,
        "sbatch": {"exclude": f"{told.lost},{told.silent},{told.preempted_on}"},
    }
    victim.submit(victim.task("deaf", "deaf", resources=ONE_MINUTE), site=elsewhere)


def is_at_work(victim, name):
    """Whether Slurm has started the array element of a task."""
    element = victim.element(name)
    return any(row.started and f"{row.job_id}_{row.index}" == element for row in victim.queue())


def take_over(node):
    """A more urgent job takes a whole node for a moment."""
    command = ["sbatch", "--parsable", "-p", "urgent", "-w", node, "--exclusive", "-o", "/dev/null"]
    submitted = subprocess.run(
        [*command, "--wrap", "sleep 5"], capture_output=True, text=True, check=True
    )
    return submitted.stdout.strip()


def set_down(node):
    subprocess.run(
        ["scontrol", "update", f"nodename={node}", "state=down", "reason=test"], check=True
    )


def lose(victim, name, node):
    """A node dies with what runs on it."""
    set_down(node)
    # Its slurmd lives, and may be told late to end a job that has been given to another node.
    kill(victim.account(name)["pid"])


def slurmd_of(node):
    shown = subprocess.run(
        ["scontrol", "show", "config"], capture_output=True, text=True, check=True
    ).stdout
    line = next(line for line in shown.splitlines() if line.startswith("SlurmdPidFile"))
    return Path(line.partition("=")[2].strip().replace("%n", node))


def kill_slurmd(node):
    """The daemon dies, what it started lives on, and the cluster gives the node up."""
    os.kill(int(slurmd_of(node).read_text()), signal.SIGKILL)
    set_down(node)


def bring_back(names):
    for node in names:
        try:
            os.kill(int(slurmd_of(node).read_text()), 0)
        except (OSError, ValueError):
            subprocess.run(["slurmd", "-N", node], check=False)
        # Refused for a node that has come back by itself.
        command = ["scontrol", "update", f"nodename={node}", "state=resume"]
        subprocess.run(command, check=False, capture_output=True)


def test_a_preempted_task_saves_and_is_requeued_exactly_once(told, victim):
    assert told.restarts["preempted"] == "1"
    assert (victim.run.task("preempted").folder / "saved").read_text() == str(int(signal.SIGTERM))
    assert [victim.account("preempted", n)["exit_code"] for n in (1, 2)] == [85, 0]
    assert told.after["preempted"].name == "done"


def test_a_preempted_task_that_does_not_save_is_requeued_by_slurm(told, victim):
    assert told.restarts["deaf-preempted"] == "1"
    assert "DUE TO PREEMPTION" in victim.stderr("deaf-preempted")
    assert victim.account("deaf-preempted")["exit_code"] is None
    assert told.after["deaf-preempted"].name == "done"


def test_a_task_on_a_node_that_went_down_comes_back(told, victim):
    assert told.after["on-a-lost-node"].name == "done"
    assert victim.account("on-a-lost-node")["node"] == told.lost
    assert victim.run.task("on-a-lost-node").last_attempt() == 2


def test_an_orphan_ends_its_work_while_its_requeued_element_waits(told, victim):
    assert not told.orphan_was_done, "its element came back too late to meet it"
    assert victim.starts("orphan") == 1
    assert victim.run.task("orphan").last_attempt() == 1
    submission = next(each for each in victim.submissions() if "orphan" in each.tasks)
    ends = element_ends(victim.run.element_ends(submission.name))
    assert ends[0, 1].status == 0
    assert told.after["orphan"].name == "done"


def test_a_task_without_time_to_save_gets_more_time(told, victim):
    diagnosis = told.before["deaf"].diagnosis
    assert (diagnosis.failure_class, diagnosis.again) == ("time_limit", True)
    assert told.followed.submitted == ["deaf"]
    script = victim.run.scheduler_logs / f"{victim.element('deaf').partition('_')[0]}_submission.sh"
    assert "#SBATCH --time=2" in script.read_text()
    assert told.after["deaf"].name == "done"


@pytest.fixture
def contained_python(tmp_path):
    """A command that runs this Python in a container without ``scontrol``."""
    if shutil.which("apptainer") is None:
        pytest.skip("no Apptainer on this machine (apptainer is not on the path)")
    image = tmp_path / "image"
    for name in ("dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "var/tmp"):
        (image / name).mkdir(parents=True)
    for name in HOST_FOLDERS:
        (image / name).symlink_to(f"usr/{name}")
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", image / "etc" / name)
    repository = Path(__file__).parents[2]
    shown = {"/usr", NO_SCONTROL, sys.prefix, sys.base_prefix, str(repository), str(tmp_path)}
    binds = [word for folder in sorted(shown, key=len) for word in ("--bind", folder)]
    return " ".join(["apptainer -s exec --userns --no-home", *binds, str(image), sys.executable])


def test_a_signal_in_a_container_without_scontrol_saves_once_and_comes_back(
    slurm, run, contained_python, tmp_path
):
    inside = 'import shutil; assert shutil.which("scontrol") is None; print("contained")'
    tried = subprocess.run(
        [*contained_python.split(), "-c", inside], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"Apptainer runs no container here: {tried.stderr.strip()}")
    victim = Victim(run)
    try:
        victim.submit(victim.task("a", "with_children"), site={"python": contained_python})
        victim.harm({"a": lambda name: victim.signal(name, "USR2")})
        victim.restart_now("a")
        victim.wait_done("a")
    finally:
        victim.clean_up()
    assert [each["alive"] for each in read_lines(run.task("a").folder / "saves")] == [2]
    assert [victim.account("a", n)["exit_code"] for n in (1, 2)] == [85, 0]
    assert victim.account("a", 2)["slurm"]["restart_count"] == "1"


def test_two_real_launches_at_the_same_time_submit_no_task_twice(
    slurm, cache_root, tmp_path, monkeypatch
):
    monkeypatch.setenv("MO_HPC_CACHE", str(cache_root))
    words = ["grid=nightly", "axes.protocol=[iid]", "executor=slurm", "executor.follow=false"]
    command = [sys.executable, "-m", "mo_hpc.launch", *words, "site.sbatch={hold: true}", "--json"]
    launches = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    documents = []
    for launch in launches:
        out, errors = launch.communicate(timeout=240)
        assert launch.returncode == 0 or b"Another launch of this run" in errors
        documents += [json.loads(out)] if launch.returncode == 0 else []
    run = RunPaths(tmp_path / documents[0]["run_dir"])
    submissions = Ledger(run).submissions()
    try:
        submitted = [name for document in documents for name in document["submitted"]]
        assert sorted(submitted) == sorted(task["id"] for task in documents[0]["tasks"])
        assert sorted(task for each in submissions for task in each.tasks) == sorted(submitted)
    finally:
        subprocess.run(["scancel", *[each.job_id for each in submissions]], check=True)

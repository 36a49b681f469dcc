"""What of the Slurm executor can be told without a Slurm."""

import os
import subprocess

import pytest

from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import ExecutorConfig, Resources, SiteConfig
from mo_hpc.executors.activity import Activity, activity, queue_activity
from mo_hpc.executors.failures.evidence import ElementEnd, element_ends
from mo_hpc.executors.processes import pack
from mo_hpc.executors.slurm import element, squeue
from mo_hpc.executors.slurm.arrays import arrays
from mo_hpc.executors.slurm.batch_script import (
    array_parameters,
    array_script,
    at_once_on_a_node,
    follower_script,
)
from mo_hpc.executors.slurm.executor import SlurmExecutor, _room
from mo_hpc.executors.slurm.ledger import Ledger, Submission
from mo_hpc.executors.slurm.limits import Limits
from mo_hpc.executors.slurm.squeue import QueueRow


def script_of(run, config, resources=None, after=()):
    resources = resources or Resources()
    parameters = array_parameters(
        config,
        resources,
        name="n",
        n_elements=3,
        after=after,
        account=run.folder.parent / "n.ended",
    )
    return array_script(run, config, parameters, 3)


def test_tasks_are_grouped_by_level_and_resources(make_task):
    big = Resources(memory_gb=64)
    tasks = [
        make_task("a"),
        make_task("b", resources=big),
        make_task("c", needs=["a"]),
        make_task("d"),
        make_task("e", needs=["c", "b"]),
        make_task("f", needs=["elsewhere"]),
    ]
    groups = [[task.id for task in array.tasks] for array in arrays(tasks)]
    assert groups == [["a", "d", "f"], ["b"], ["c"], ["e"]]


def test_the_script_asks_for_what_the_task_gets(run, make_config):
    site = {
        "partition": "gpu",
        "account": "lab",
        "sbatch": {"mail-type": "FAIL", "exclusive": True},
    }
    config = make_config("slurm", array_parallelism=2, site=site)
    resources = Resources(nodes=2, tasks_per_node=4, gpus_per_node=4, memory_gb=1.5, time_min=90)
    options = {
        line.removeprefix("#SBATCH ")
        for line in script_of(run, config, resources, after=["7", "9"]).splitlines()
        if line.startswith("#SBATCH")
    }
    assert options >= {
        "--array=0-2%2",
        "--nodes=2",
        "--ntasks-per-node=4",
        "--gpus-per-node=4",
        "--cpus-per-task=2",
        "--mem=1536M",
        "--time=90",
        "--requeue",
        "--signal=USR2@90",
        "--dependency=afterany:7:9",
        "--partition=gpu",
        "--account=lab",
        "--mail-type=FAIL",
        "--exclusive",
    }
    assert not any(option.startswith("--wckey") for option in options)


def test_gpus_are_named_only_where_they_are_wanted(run, make_config):
    assert "--gpus" not in script_of(run, make_config("slurm"))


def test_the_sites_lines_and_python_are_used(run, make_config):
    site = {"python": "apptainer exec --nv image.sif python", "setup": ("module load cuda",)}
    script = script_of(run, make_config("slurm", site=site))
    assert "\nmodule load cuda\n" in script
    assert " apptainer exec --nv image.sif python -u -m mo_hpc.executors.slurm.element " in script


@pytest.mark.parametrize(
    ("status", "restarts", "requeued"),
    [
        (0, 0, False),
        (1, 0, False),
        (137, 0, False),
        (85, 0, True),
        (85, 2, True),
        (85, 3, False),
        (140, 0, True),
        (143, 0, True),
    ],
)
def test_only_a_saved_task_is_requeued_and_every_status_is_passed_on(
    run, make_config, command, tmp_path, status, restarts, requeued
):
    command("srun", f"exit {status}")
    command("scontrol", f'echo "$*" > {tmp_path}/scontrol')
    script = script_of(run, make_config("slurm", site={"max_requeues": 3}))
    environment = os.environ | {
        "SLURM_JOB_ID": "13",
        "SLURM_ARRAY_JOB_ID": "11",
        "SLURM_ARRAY_TASK_ID": "2",
        "SLURM_RESTART_COUNT": str(restarts),
        "SLURMD_NODENAME": "n7",
    }
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    (end,) = element_ends(tmp_path / "n.ended").items()
    assert end == ((2, restarts), ElementEnd(status, "n7"))
    called = tmp_path / "scontrol"
    assert called.exists() == requeued
    if requeued:
        assert called.read_text() == "requeue 11_2\n"
    assert ("not requeued" in done.stderr) == (status == 85 and not requeued)


def test_the_follower_survives_a_folder_with_blanks(make_config, tmp_path, command):
    from mo_hpc.core.paths import RunPaths

    command("recorder", f'printf "%s\\n" "$@" > {tmp_path}/arguments')
    run = RunPaths(tmp_path / "my runs; rm -rf")
    site = SiteConfig(name="s", python="apptainer exec image python", host_python="recorder")
    script = follower_script(run, site, name="n", when={"dependency": "afterany:5"})
    subprocess.run(["bash", "-c", script], check=True)
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments == ["-m", "mo_hpc.follow", f"run={run.folder}"]
    assert "#SBATCH --dependency=afterany:5" in script


def test_the_ledger_keeps_intents_apart(run):
    ledger = Ledger(run)
    first, second = ledger.intend("x", [["a"], ["b", "c"]]), ledger.intend("x", [])
    ledger.confirm(first, "12")
    assert ledger.submissions() == [
        Submission(name=first, elements=(("a",), ("b", "c")), job_id="12"),
        Submission(name=second, elements=()),
    ]
    assert [each.is_open for each in ledger.submissions()] == [False, True]


def test_a_ledger_cut_short_by_a_crash_is_still_read(run):
    name = Ledger(run).intend("x", [["a"]])
    with run.submissions.open("a") as handle:
        handle.write('{"event": "submitted", "na')
    assert [each.name for each in Ledger(run).submissions()] == [name]


def test_repair_settles_open_intents_by_name(run):
    ledger = Ledger(run)
    lost, never = ledger.intend("x", [["a"]]), ledger.intend("x", [["b"]])
    settled = ledger.repair([QueueRow(job_id="5", index=0, started=False, name=lost)])
    assert [(each.job_id, each.dropped) for each in settled] == [("5", False), (None, True)]
    assert ledger.submissions() == settled
    assert ledger.repair([]) == []
    assert {each.name for each in settled} == {lost, never}


def test_rows_of_other_jobs_are_not_ours(run):
    ours = [Submission(name="x-1", elements=(("a",), ("b",)), job_id="5")]
    rows = [
        QueueRow(job_id="5", index=1, started=True, name="x-1"),
        QueueRow(job_id="6", index=0, started=True, name="someone-else"),
        QueueRow(job_id="5", index=7, started=True, name="x-1"),
    ]
    found = queue_activity(run, ours, rows)
    assert found.jobs == {"b": rows[0]}
    assert found.tasks == {"b": "running"}
    assert found.n_queued == 3


def test_squeue_is_asked_once_and_read(run, command, tmp_path):
    name = Ledger(run).intend("x", [["a"], ["b"], ["c"]])
    command(
        "squeue",
        f"echo called >> {tmp_path}/calls\n"
        f"echo '5|0|RUNNING|None|{name}'; echo '9|N/A|RUNNING|None|odd|name'\n"
        f"echo '5|1|PENDING|launch failed requeued held|{name}'",
    )
    found = activity(run)
    assert found.tasks == {"a": "running", "b": "queued"}
    assert found.held == ["5_1"]
    assert (tmp_path / "calls").read_text() == "called\n"
    assert squeue.query()[1] == QueueRow(job_id="9", index=0, started=True, name="odd|name")


def test_a_run_without_submissions_asks_no_scheduler(run, command):
    command("squeue", "exit 1")
    assert activity(run).tasks == {}


def test_a_silent_squeue_is_an_error_with_a_remedy(run, command):
    Ledger(run).intend("x", [["a"]])
    command("squeue", "echo 'slurm_load_jobs error: Unable to contact controller' >&2; exit 1")
    with pytest.raises(UserError, match="Unable to contact") as caught:
        activity(run)
    assert "try again" in str(caught.value)


def test_without_slurm_the_remedy_is_named(run, make_task, make_config, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="sbatch is not on the path") as caught:
        SlurmExecutor(run, make_config("slurm")).submit([make_task("a")])
    assert "executor=local" in str(caught.value)
    assert not run.submissions.exists()


def test_a_time_limit_leaves_time_to_save(run, make_task, make_config, command):
    command("sbatch", "exit 1")
    command("srun", "exit 1")
    tasks = [make_task("a", resources=Resources(time_min=1)), make_task("b")]
    for call in ("require", "preview", "submit"):
        executor = SlurmExecutor(run, make_config("slurm", site={"signal_before_end_s": 60}))
        with pytest.raises(UserError, match="60 s before its time limit") as caught:
            getattr(executor, call)(tasks)
        assert "resources.time_min to more than 1" in str(caught.value)
    executor = SlurmExecutor(run, make_config("slurm", site={"signal_before_end_s": 59}))
    executor.require(tasks)
    assert not run.submissions.exists()


def test_damaged_lines_of_the_ledger_are_left_out(run):
    name = Ledger(run).intend("x", [["a"]])
    with run.submissions.open("ab") as handle:
        handle.write(
            b'[1]\n3\n{}\n{"event": "intent"}\n{"event": "intent", "name": "y", "tasks": 3}\n'
            b'{"event": "submitted", "name": "y"}\n\xff\xfe\n{"event": ["intent"], "name": "z"}\n'
        )
    Ledger(run).confirm(name, "5")
    assert Ledger(run).submissions() == [Submission(name=name, elements=(("a",),), job_id="5")]


def test_a_preview_needs_no_slurm(run, make_task, make_config, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    tasks = [make_task("a"), make_task("b"), make_task("c", needs=["a"])]
    preview = SlurmExecutor(run, make_config("slurm")).preview(tasks)
    assert "Array 1 of 2: 2 elements" in preview
    assert "Array 2 of 2: 1 element, after the arrays" in preview
    assert "scontrol requeue" in preview


def test_a_follower_keeps_to_the_partition_and_the_sites_reservation(run):
    site = SiteConfig(name="s", sbatch={"reservation": "maintenance", "exclusive": True})
    script = follower_script(run, site, name="n", when={"begin": "now"}, most_min=30)
    assert "#SBATCH --time=30\n" in script
    assert "#SBATCH --reservation=maintenance\n" in script
    assert "exclusive" not in script


@pytest.mark.parametrize(("most_gb", "expected"), [(None, 4), (64, 4), (32, 2), (4, 1)])
def test_no_more_tasks_of_a_pack_run_at_once_than_a_node_has_memory_for(most_gb, expected):
    resources = Resources(memory_gb=12)
    executor = ExecutorConfig(name="slurm", tasks_per_element=8, at_once=4)
    found = at_once_on_a_node(resources, executor, n_tasks=8, most_gb=most_gb)
    assert found == expected


def test_a_single_task_at_the_end_of_packed_ones_runs_as_a_pack(run, make_task, monkeypatch):
    ranks = Resources(tasks_per_node=2, cpus_per_task=1)
    tasks = [make_task(name, resources=ranks) for name in "abc"]
    name = Ledger(run).intend("x", [["a", "b"], ["c"]])
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    packed = []
    monkeypatch.setattr(pack, "run_pack", lambda _run, tasks, **_: packed.append(tasks) or 0)
    assert element.main([str(run.folder), name]) == 0
    assert packed == [[tasks[2]]]


def test_room_in_the_queue_counts_the_followers_that_are_there():
    found = Activity(n_queued=4, followers=["9"])
    assert _room(Limits(submit=10), found) == 5
    assert _room(Limits(submit=4), found) == 0

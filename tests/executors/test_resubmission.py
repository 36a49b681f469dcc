"""What a launch and the job that follows submit again, with what, and where not."""

import pytest
from runs import manifest_of, run_config

from mo_hpc.core.errors import WorkIncomplete
from mo_hpc.core.execution import Resources, SiteConfig
from mo_hpc.core.files import write_json
from mo_hpc.core.record import ErrorRecord, write_error
from mo_hpc.executors.failures.log import FailureLog
from mo_hpc.executors.resubmission import launch_lock, submit_missing
from mo_hpc.executors.slurm.ledger import Ledger
from mo_hpc.executors.slurm.limits import cluster_limits, selectable_nodes
from mo_hpc.plan.reconcile import Wish
from mo_hpc.plan.state import Diagnosis

BY_HAND, BY_ITSELF = Wish(), Wish(by_hand=False)


@pytest.fixture
def cluster(command, tmp_path):
    """Commands of a Slurm with three nodes that exists on the path only."""
    for name in ("srun", "sacct", "sacctmgr", "scancel"):
        command(name, "exit 1")
    command("squeue", "exit 0")
    command("sinfo", "printf 'n1 16384\\nn2 16384\\nn3 32768\\n'")
    command(
        "scontrol",
        "case $* in\n"
        "  'show config') echo 'MaxArraySize            = 1001';;\n"
        "  *partition*) echo 'PartitionName=main Default=YES MaxTime=1-12:00:00 State=UP';;\n"
        "  *hostnames*) echo n1;;\n"
        "  *) exit 1;;\n"
        "esac",
    )
    command(
        "sbatch",
        f'cp "${{@: -1}}" {tmp_path}/$(date +%s%N).submitted\n'
        f"echo Submitted batch job $(ls {tmp_path}/*.submitted | wc -l)",
    )
    return command


def scripts(tmp_path):
    """The batch scripts that were submitted, in order."""
    return [path.read_text() for path in sorted(tmp_path.glob("*.submitted"))]


def fail(run, task, name):
    error = ErrorRecord(
        task_id=task.id,
        digest=task.digest,
        failure_class=name,
        error_type="Error",
        message="It broke.",
        traceback="",
        provenance={},
    )
    write_error(run.task(task.id), error)


def begin(run, number):
    """An attempt of the last submission, whenever the test wrote that."""
    account = {"attempt": number, "started": f"2999-01-01T00:00:{number:02}+00:00"}
    write_json(run.task("a").attempt(number) / "slurm.json", account)


def submit(run, tasks, wish=BY_HAND, **words):
    config = run_config("slurm", **{"follow": False, "retry": "default", **words})
    return submit_missing(run, config, manifest_of(tasks), tasks, wish)


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("host_out_of_memory", True),
        ("time_limit", True),
        ("preempted", True),
        ("node_failure", True),
        ("killed", True),
        ("communication", True),
        ("never_started", True),
        ("python_error", False),
        ("bad_input", False),
        ("bad_data", False),
        ("diverged", False),
        ("gpu_out_of_memory", False),
    ],
)
@pytest.mark.parametrize("wish", [BY_HAND, BY_ITSELF], ids=["launch", "follow"])
def test_a_class_goes_again_by_its_rule_alone(run, make_task, cluster, name, again, wish):
    task = make_task("a")
    fail(run, task, name)
    outcome = submit(run, [task], wish)
    assert outcome.submitted == (["a"] if again else [])


def test_a_wish_takes_what_the_rules_leave(run, make_task, cluster):
    tasks = [make_task(name) for name in ("a", "b")]
    fail(run, tasks[0], "python_error")
    fail(run, tasks[1], "diverged")
    named = Wish(tasks=frozenset({"b"}))
    assert submit(run, tasks, named).submitted == ["b"]
    assert submit(run, tasks, Wish(failed=True)).submitted == ["a", "b"]


def test_what_was_cancelled_goes_again_by_hand_only(run, make_task, cluster):
    task = make_task("a")
    name = Ledger(run).intend("x", [["a"]])
    Ledger(run).confirm(name, "7")
    Ledger(run).cancel(name, ["a"])
    assert submit(run, [task], BY_ITSELF).submitted == []
    assert submit(run, [task], BY_HAND).submitted == ["a"]


def test_the_budget_of_a_class_ends(run, make_task, cluster):
    task = make_task("a")
    submitted = []
    for attempt in range(1, 6):
        begin(run, attempt)
        fail(run, task, "host_out_of_memory")
        submitted.append(len(submit(run, [task], BY_ITSELF).submitted))
    assert submitted == [1, 1, 1, 0, 0]


def test_memory_grows_up_to_the_largest_node(run, make_task, cluster, tmp_path):
    task = make_task("a", resources=Resources(cpus_per_task=1, memory_gb=12, time_min=60))
    for attempt in range(1, 4):
        begin(run, attempt)
        fail(run, task, "host_out_of_memory")
        submit(run, [task])
    memory = [line for text in scripts(tmp_path) for line in text.splitlines() if "--mem=" in line]
    assert memory == [f"#SBATCH --mem={gb * 1024}M" for gb in (18, 27, 32)]


def test_time_grows_up_to_the_partitions(run, make_task, cluster, tmp_path):
    task = make_task("a", resources=Resources(cpus_per_task=1, memory_gb=1, time_min=1200))
    for attempt in range(1, 4):
        begin(run, attempt)
        fail(run, task, "time_limit")
        submit(run, [task])
    times = [line for text in scripts(tmp_path) for line in text.splitlines() if "--time=" in line]
    assert times == [f"#SBATCH --time={minutes}" for minutes in (1800, 2160, 2160)]


@pytest.mark.parametrize(
    ("site", "bad", "n_nodes", "expected"),
    [
        ({}, ["n1"], 1, "n1"),
        ({}, ["n1", "n2"], 1, "n1,n2"),
        ({}, ["n1", "n2"], 2, None),
        ({}, ["n1", "n2", "n3"], 1, None),
        ({"sbatch": {"exclude": "n1"}}, ["n2"], 1, "n1,n2"),
        ({"sbatch": {"exclude": "n1"}}, ["n2", "n3"], 1, "n1"),
        ({"sbatch": {"nodelist": "n1"}}, ["n1"], 1, None),
    ],
)
def test_bad_nodes_are_left_out_while_enough_remain(
    run, make_task, cluster, tmp_path, site, bad, n_nodes, expected
):
    log = FailureLog(run)
    for node in bad:
        for number in (1, 2):
            log.add(f"other-{number}", Diagnosis("node_failure", "", node=node, attempt=number))
            log.add(f"more-{node}-{number}", Diagnosis("node_failure", "", node=node))
    resources = Resources(nodes=n_nodes, cpus_per_task=1, memory_gb=1, time_min=60)
    submit(run, [make_task("a", resources=resources)], site=site)
    (script,) = scripts(tmp_path)
    excluded = [line for line in script.splitlines() if "--exclude=" in line]
    assert excluded == ([f"#SBATCH --exclude={expected}"] if expected else [])


def test_a_cluster_that_says_nothing_excludes_nothing(cluster):
    for name in ("scontrol", "sinfo"):
        cluster(name, "exit 1")
    site = SiteConfig(name="s")
    assert selectable_nodes(site, cluster_limits(site)) == frozenset()


def test_a_second_launch_is_told_who_is_at_work(run):
    with launch_lock(run), pytest.raises(WorkIncomplete, match="Another launch"), launch_lock(run):
        raise AssertionError("two launches at work")
    with launch_lock(run):
        pass

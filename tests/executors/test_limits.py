"""What the cluster allows is asked from it and kept."""

import subprocess

import pytest
from faults import Victim
from runs import run_config

from mo_hpc.core.execution import SiteConfig
from mo_hpc.core.paths import RunPaths
from mo_hpc.executors.slurm import squeue
from mo_hpc.executors.slurm.executor import SlurmExecutor
from mo_hpc.executors.slurm.ledger import Ledger
from mo_hpc.executors.slurm.limits import Limits, cluster_limits, minutes


@pytest.fixture
def bare_path(tmp_path, monkeypatch):
    """A path with no command but those that the test makes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def command(name, text):
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)

    return command


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UNLIMITED", None),
        ("7-00:00:00", 10080),
        ("1-02", 1560),
        ("02:30:00", 150),
        ("45:30", 45),
        ("30", 30),
        ("INVALID", None),
    ],
)
def test_times_as_slurm_writes_them(text, expected):
    assert minutes(text) == expected


def test_without_slurm_nothing_is_limited(bare_path):
    assert cluster_limits(SiteConfig(name="s")) == Limits()


def test_the_site_has_the_last_word(bare_path):
    site = SiteConfig(name="s", max_array_size=7, max_submit=9)
    found = cluster_limits(site)
    assert (found.array_size, found.submit) == (7, 9)


def test_what_the_cluster_says_is_read(bare_path):
    bare_path(
        "scontrol",
        'case "$*" in\n'
        '  *config) echo "MaxArraySize            = 1001";;\n'
        '  *) echo "PartitionName=a Default=NO MaxTime=1:00:00"\n'
        '     echo "PartitionName=b Default=YES MaxTime=2-00:00:00";;\n'
        "esac",
    )
    bare_path("sacctmgr", 'echo 150; echo ""; echo 90')
    bare_path("sinfo", '[[ $* == *"-p b "* ]] && { echo "n1 8192"; echo "n2 16384+"; }')
    found = cluster_limits(SiteConfig(name="s"))
    assert found == Limits(1001, 90, 2880, 16.0, frozenset({"n1", "n2"}))


def test_accounting_that_is_off_limits_nothing(bare_path):
    bare_path("sacctmgr", 'echo "You are not running a supported accounting_storage" >&2; exit 1')
    assert cluster_limits(SiteConfig(name="s")).submit is None


@pytest.mark.slurm
def test_a_real_user_limit_is_never_overrun(slurm, run, make_task, make_config):
    site = {"sbatch": {"hold": True}}
    limits = cluster_limits(SiteConfig(name="s"))
    if limits.submit is None or limits.submit > 500:
        pytest.skip(f"This cluster sets no small submit limit for its users: {limits.submit}.")
    tasks = [make_task(f"t{number}") for number in range(limits.submit + 20)]
    before = len(squeue.query())
    try:
        submitted = SlurmExecutor(run, make_config("slurm", site=site)).submit(tasks)
        room = limits.submit - before - 1
        assert submitted == [task.id for task in tasks[:room]]
        sizes = [len(each.elements) for each in Ledger(run).submissions()]
        assert sum(sizes) == room
        assert max(sizes) <= limits.array_size
        assert sizes[-1] == 0, "the last is the job that follows"
        assert len(squeue.query()) == limits.submit
    finally:
        ids = [each.job_id for each in Ledger(run).submissions() if each.job_id]
        subprocess.run(["scancel", *ids], check=True)


@pytest.mark.slurm
def test_at_a_real_limit_every_follower_has_room_for_its_successor(slurm, tmp_path):
    limits = cluster_limits(SiteConfig(name="s"))
    if limits.submit is None or limits.submit > 500:
        pytest.skip(f"This cluster sets no small submit limit for its users: {limits.submit}.")
    fill = limits.submit - len(squeue.query()) - 6
    sizes = [min(limits.array_size, fill - start) for start in range(0, fill, limits.array_size)]
    hold = ("sbatch", "--parsable", "--hold")
    fillers = [
        subprocess.run(
            [*hold, f"--array=0-{size - 1}", "-o", "/dev/null", "--wrap", "true"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for size in sizes
    ]
    victim = Victim(RunPaths(tmp_path / "run"))
    names = [f"t{number:02}" for number in range(14)]
    for name in names:
        victim.task(name, "ok")
    victim.config = run_config("slurm", retry="default", collect=False)
    victim.save()
    try:
        assert victim.launch(by_hand=True).n_waiting == len(names) - 5
        victim.wait_done(*names, timeout_s=300)
    finally:
        victim.clean_up()
        subprocess.run(["scancel", *fillers], check=True)
    assert [victim.starts(name) for name in names] == [1] * len(names)

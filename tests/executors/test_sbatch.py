"""Submitting once, whatever goes wrong on the way: a controller that is busy, full or silent."""

import json
import os
import subprocess
import sys
import textwrap
import time

import pytest
from faults import Victim
from runs import run_config

from mo_hpc.core.errors import UserError
from mo_hpc.core.execution import Resources
from mo_hpc.core.files import read_lines
from mo_hpc.executors.slurm import sbatch
from mo_hpc.executors.slurm.executor import SlurmExecutor
from mo_hpc.executors.slurm.ledger import Ledger
from mo_hpc.executors.slurm.sbatch import Refused

TIMED_OUT = "Batch job submission failed: Socket timed out on send/recv operation"
FULL = (
    "AssocMaxSubmitJobLimit\\n"
    "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, "
    "user's size and/or time limits)"
)


@pytest.fixture
def cluster(command, tmp_path, monkeypatch):
    """Commands of a Slurm that exists on the path only; ``squeue`` lists the file ``queue``."""
    monkeypatch.setattr(sbatch, "_FIRST_WAIT_S", 0.01)
    for name in ("srun", "scontrol", "sinfo", "sacct", "sacctmgr", "scancel"):
        command(name, "exit 1")
    command("squeue", f"[[ $* == *' -n '* ]] && cat {tmp_path}/queue 2>/dev/null; exit 0")
    return command


def counting(tmp_path, script):
    """A script that leaves a line for each call, with the array it was asked for."""
    asked = f'grep -h "^#SBATCH --array" "${{@: -1}}" >> {tmp_path}/calls'
    return f"{asked} || echo none >> {tmp_path}/calls\nn=$(wc -l < {tmp_path}/calls)\n{script}"


def calls(tmp_path):
    return [line.removeprefix("#SBATCH ") for line in (tmp_path / "calls").read_text().splitlines()]


def submit(run, make_task, number=3, **fields):
    tasks = [make_task(f"t{i}") for i in range(number)]
    executor = SlurmExecutor(run, run_config("slurm", **{"follow": False, **fields}))
    return executor.submit(tasks)


def test_a_busy_controller_is_asked_again(run, make_task, cluster, tmp_path):
    busy = f"[ $n -lt 3 ] && {{ echo 'sbatch: error: {TIMED_OUT}' >&2; exit 1; }}"
    cluster("sbatch", counting(tmp_path, f"{busy}\necho Submitted batch job 41"))
    assert submit(run, make_task) == ["t0", "t1", "t2"]
    assert len(calls(tmp_path)) == 3
    (submission,) = Ledger(run).submissions()
    assert submission.job_id == "41"


def test_a_job_that_was_taken_without_an_answer_is_not_submitted_twice(
    run, make_task, cluster, tmp_path
):
    script = f"echo 77 > {tmp_path}/queue; echo '{TIMED_OUT}' >&2; exit 1"
    cluster("sbatch", counting(tmp_path, script))
    assert submit(run, make_task) == ["t0", "t1", "t2"]
    assert len(calls(tmp_path)) == 1
    assert [each.job_id for each in Ledger(run).submissions()] == ["77"]


def test_while_the_queue_is_silent_nothing_is_submitted_again(run, make_task, cluster, tmp_path):
    cluster("sbatch", counting(tmp_path, f"echo '{TIMED_OUT}' >&2; exit 1"))
    cluster("squeue", "[[ $* == *' -n '* ]] && exit 1; exit 0")
    with pytest.raises(UserError, match="timed out"):
        submit(run, make_task)
    assert len(calls(tmp_path)) == 1
    (submission,) = Ledger(run).submissions()
    assert submission.is_open, "the next launch has to look for it"


def test_a_refusal_for_good_is_not_repeated(run, make_task, cluster, tmp_path):
    cluster("sbatch", counting(tmp_path, "echo 'sbatch: error: Invalid account' >&2; exit 1"))
    with pytest.raises(UserError, match="Invalid account"):
        submit(run, make_task)
    assert len(calls(tmp_path)) == 1
    assert [each.dropped for each in Ledger(run).submissions()] == [True]


def test_a_limit_that_nobody_told_of_halves_the_array(run, make_task, cluster, tmp_path):
    full = f'[ "$n" -lt 3 ] && {{ echo -e "{FULL}" >&2; exit 1; }}'
    cluster("sbatch", counting(tmp_path, f"{full}\necho Submitted batch job $n"))
    submitted = submit(run, make_task, number=9)
    assert calls(tmp_path)[:3] == ["--array=0-8%9", "--array=0-3%4", "--array=0-1%2"]
    assert submitted == ["t0", "t1"]
    states = [(len(each.tasks), each.job_id) for each in Ledger(run).submissions()]
    assert states == [(9, None), (4, None), (2, "3")]


def test_a_full_queue_leaves_the_work_to_a_follower(run, make_task, cluster, tmp_path):
    full = f'[[ $1 != --parsable ]] && {{ echo -e "{FULL}" >&2; exit 1; }}'
    cluster("sbatch", counting(tmp_path, f"{full}\necho 5"))
    assert submit(run, make_task, follow=True) == []
    follower = Ledger(run).submissions()[-1]
    assert (follower.elements, follower.job_id) == ((), "5")
    script = (run.scheduler_logs / f"{follower.name}.sh").read_text()
    assert "--begin=now+5minutes" in script


@pytest.mark.parametrize(
    ("message", "full", "unsure"),
    [
        (TIMED_OUT, False, True),
        ("Unable to contact slurm controller (connect failure)", False, True),
        ("Slurm temporarily unable to accept job, sleeping and retrying", False, True),
        (FULL, True, False),
        ("QOSMaxSubmitJobPerUserLimit", True, False),
        (FULL.replace("AssocMaxSubmitJobLimit", "QOSMaxWallDurationPerJobLimit"), False, False),
        (FULL.replace("AssocMaxSubmitJobLimit", ""), True, False),
        ("Requested time limit is invalid (missing or exceeds some limit)", False, False),
        ("Invalid job array specification", False, False),
    ],
)
def test_refusals_are_told_apart(message, full, unsure):
    refusal = Refused(f"sbatch: error: {message}\n")
    assert (refusal.is_full, refusal.is_unsure) == (full, unsure)


# -- launchers that die and launchers that meet, on the real Slurm ------------------------

LAUNCHER = textwrap.dedent("""
    import json, pathlib, sys
    from mo_hpc.core.errors import run_command
    from mo_hpc.core.paths import RunPaths
    from mo_hpc.core.record import read_task
    from mo_hpc.executors.resubmission import launch_lock, submit_missing
    from mo_hpc.plan.manifest import read_manifest
    from mo_hpc.plan.reconcile import Wish
    from mo_hpc.plan.runs import read_run_config

    def main(words):
        run = RunPaths(pathlib.Path(words[0]))
        manifest = read_manifest(run)
        tasks = [read_task(run.task(task.id)) for task in manifest.tasks]
        with launch_lock(run):
            outcome = submit_missing(run, read_run_config(run), manifest, tasks, Wish())
        print(json.dumps(outcome.submitted))
        return 0

    if __name__ == "__main__":
        sys.exit(run_command(main, sys.argv[1:]))
""")


@pytest.fixture
def victim(slurm, run):
    victim = Victim(run)
    yield victim
    victim.clean_up()


@pytest.fixture
def start(victim, tmp_path):
    script = tmp_path / "launcher.py"
    script.write_text(LAUNCHER)

    def start(**environment):
        victim.save()
        return subprocess.Popen(
            [sys.executable, str(script), str(victim.run.folder)],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def deadly_sbatch(tmp_path):
    """A path on which sbatch kills the launcher that calls it, at a moment of choice."""

    def path(script):
        folder = tmp_path / "deadly"
        folder.mkdir()
        real = subprocess.run(["which", "sbatch"], capture_output=True, text=True, check=True)
        text = script.replace("SBATCH", real.stdout.strip())
        (folder / "sbatch").write_text(f"#!/bin/bash\n{text}\n")
        (folder / "sbatch").chmod(0o755)
        return f"{folder}{os.pathsep}{os.environ['PATH']}"

    return path


def finished(process):
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return json.loads(out)


@pytest.mark.slurm
@pytest.mark.parametrize(
    ("script", "submitted_again"),
    [
        ("kill -9 $PPID", ["a", "b"]),
        ('SBATCH "$@" > /dev/null; kill -9 $PPID', []),
        ('kill -9 $PPID; sleep 2; SBATCH "$@" > /dev/null', ["a", "b"]),
    ],
    ids=["before", "after", "while-sbatch-goes-on"],
)
def test_a_launcher_that_is_killed_at_sbatch_is_repaired(
    victim, start, deadly_sbatch, script, submitted_again
):
    names = ["a", "b"]
    for name in names:
        victim.task(name, "sleep", seconds=4)
    dead = start(PATH=deadly_sbatch(script))
    dead.communicate(timeout=60)
    assert dead.returncode == -9
    assert [each.is_open for each in victim.submissions()] == [True]
    assert finished(start()) == submitted_again
    victim.wait_done(*names)
    time.sleep(0.5)
    assert [victim.starts(name) for name in names] == [1, 1]
    assert not any(each.is_open for each in victim.submissions())


@pytest.mark.slurm
def test_launches_at_the_same_time_submit_every_task_once(victim, start):
    names = [f"t{i}" for i in range(6)]
    for name in names:
        victim.task(name, "ok")
    victim.config = run_config("slurm", follow=False, site={"sbatch": {"hold": True}})
    launches = [start() for _ in range(4)]
    outputs = [launch.communicate(timeout=60) for launch in launches]
    codes = sorted(launch.returncode for launch in launches)
    assert set(codes) <= {0, 1}
    assert codes[0] == 0
    for launch, (_, errors) in zip(launches, outputs, strict=True):
        assert launch.returncode == 0 or "Another launch of this run is at work" in errors
    submitted = [name for out, _ in outputs if out for name in json.loads(out)]
    assert sorted(submitted) == names
    (intent,) = victim.submissions()
    assert intent.tasks == tuple(names)
    assert len(read_lines(victim.run.submissions)) == 2


def test_a_refused_array_leaves_no_other_without_a_follower(run, make_task, cluster, tmp_path):
    first_only = '[[ $n == 2 ]] && { echo "sbatch: error: Invalid qos" >&2; exit 1; }'
    cluster("sbatch", counting(tmp_path, f'{first_only}\necho "Submitted batch job 5"'))
    big = Resources(cpus_per_task=1, memory_gb=64, time_min=5)
    tasks = [make_task("a"), make_task("b", resources=big)]
    with pytest.raises(UserError, match="Invalid qos"):
        SlurmExecutor(run, run_config("slurm")).submit(tasks)
    accepted, refused, follower = Ledger(run).submissions()
    assert (accepted.job_id, refused.dropped, follower.elements) == ("5", True, ())
    script = (run.scheduler_logs / f"{follower.name}.sh").read_text()
    assert "--dependency=afterany:5" in script

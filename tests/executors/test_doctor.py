"""A site is examined: what is wrong is named, what is right passes, and nothing stays behind."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mo_hpc import doctor
from mo_hpc.core.errors import run_command
from mo_hpc.core.execution import Resources, SiteConfig
from mo_hpc.core.files import sha256_file
from mo_hpc.core.installation import locked_versions
from mo_hpc.executors.checkup import probe
from mo_hpc.executors.checkup.cluster import read_cluster
from mo_hpc.executors.checkup.container import container_findings
from mo_hpc.executors.checkup.finding import Group
from mo_hpc.executors.checkup.folder_checks import folder_findings
from mo_hpc.executors.checkup.node_checks import clock_difference_s, node_findings
from mo_hpc.executors.checkup.node_report import (
    Outcome,
    SignalReport,
    printed_report,
    read_report,
    read_signal,
    software,
)
from mo_hpc.executors.checkup.partition_checks import partition_findings
from mo_hpc.executors.checkup.policy_checks import policy_findings
from mo_hpc.executors.checkup.report import lines_of
from mo_hpc.executors.checkup.version_checks import version_findings

SETTINGS = """
AccountingStorageEnforce = none
AccountingStorageType   = accounting_storage/slurmdbd
ClusterName             = big
JobRequeue              = 0
KillWait                = 30 sec
MaxArraySize            = 1001
MinJobAge               = 10 sec
PreemptType             = preempt/partition_prio
"""
PARTITION = (
    "PartitionName={name} AllowAccounts={accounts} AllowQos=ALL Default={default} "
    "GraceTime={grace} MaxNodes={nodes} MaxTime={time} PreemptMode={mode} State={state}"
)


@pytest.fixture
def gpu_cluster(command):
    """A cluster that answers as Slurm does, with GPUs, features, accounts and preemption."""
    told = {"accounts": "ALL", "grace": 300, "mode": "REQUEUE", "time": "1-00:00:00"}
    gpu = PARTITION.format(name="gpu", default="YES", nodes="2", state="UP", **told)
    old = PARTITION.format(name="old", default="NO", nodes="UNLIMITED", state="DOWN", **told)
    harsh = PARTITION.format(
        name="harsh",
        default="NO",
        nodes="UNLIMITED",
        state="UP",
        **told | {"mode": "CANCEL", "accounts": "other"},
    )
    command(
        "scontrol",
        f"case $* in *config) echo '{SETTINGS}' ;; *) echo '{gpu}\n{old}\n{harsh}' ;; esac",
    )
    command(
        "sinfo",
        "[[ $* == *'%N %m' ]] && { echo g1 515000; exit; }\n"
        "cat <<END\n"
        "g1|gpu*|64|515000|gpu:a100:4(S:0-1),gpu:a100.mig:2|a100,ib|mixed\n"
        "g2|gpu*|64|257000|gpu:v100:2|v100|down*\n"
        "g3|gpu*|64|257000|(null)|(null)|idle\n"
        "o1|old|8|16000|(null)|(null)|drained\n"
        "h1|harsh|8|16000|(null)|(null)|idle\nEND",
    )
    command("sacctmgr", "case $* in *MaxSubmit*) echo 500 ;; *) echo 'lab|normal,long' ;; esac")
    return read_cluster()


def verdicts(findings):
    return {finding.name: finding.verdict for finding in findings}


def by_name(findings, name):
    return next(finding for finding in findings if finding.name == name)


def report_of(**changes):
    """What a probe on a healthy node would have written now, and how its job went."""
    host = software(probe.software())
    report = probe.node_report(Path("nowhere"), [], with_cuda=False)
    report |= {"word": "w", "lock": "held", "n_cores": 4, "memory_mb": 8192, "time_s": 1000.5}
    printed = probe.PRINTED + json.dumps(report | changes)
    outcome = Outcome(
        job_id="7",
        batch={"scontrol": "0", "node": "n1"},
        report=printed_report(f"noise\n{printed}\n"),
        window_s=(1000.0, 1001.0),
        stop=SignalReport(received_at_s=1002.5),
        stop_window_s=(1002.0, 1003.0),
    )
    assert outcome.report is not None
    return outcome, host


# -- what the cluster offers ----------------------------------------------------------


@pytest.mark.parametrize(
    ("site", "resources", "name", "verdict", "said"),
    [
        ({}, {}, "partition", "ok", "gpu is UP, 2 of 3 nodes in service"),
        ({"partition": "old"}, {}, "partition", "problem", "old is DOWN, 0 of 1"),
        ({"partition": "none"}, {}, "partition", "problem", "there are: gpu, old, harsh"),
        ({}, {"time_min": 1440}, "time limit", "ok", "limit of gpu: 1440 min"),
        ({}, {"time_min": 1441}, "time limit", "problem", "1441 min"),
        ({}, {"time_min": 1}, "time limit", "problem", "to stop 90 s before"),
        ({}, {"nodes": 3}, "nodes", "problem", "3 of at most 2"),
        ({}, {"cpus_per_task": 16, "tasks_per_node": 5}, "cores", "problem", "80 on a node"),
        ({}, {"memory_gb": 500}, "memory", "ok", "502.9 GB"),
        ({}, {"memory_gb": 600}, "memory", "problem", "600 GB"),
        ({}, {"gpus_per_node": 6}, "GPUs", "ok", "6 asked for; 6 on a node of gpu"),
        ({}, {"gpus_per_node": 7}, "GPUs", "problem", "7 asked for"),
        ({"partition": "harsh"}, {"gpus_per_node": 1}, "GPUs", "problem", "harsh has none"),
        ({"constraint": "[a100*2&ib]|v100"}, {}, "constraint", "ok", "known in gpu"),
        ({"constraint": "h100&ib"}, {}, "constraint", "problem", "no node of gpu has h100;"),
    ],
)
def test_the_partition_is_held_against_what_tasks_ask_for(
    gpu_cluster, site, resources, name, verdict, said
):
    found = partition_findings(gpu_cluster, SiteConfig(name="s", **site), Resources(**resources))
    finding = by_name(found, name)
    assert finding.verdict == verdict
    assert said in finding.found
    assert (finding.remedy is None) == (verdict == "ok")


@pytest.mark.parametrize(
    ("site", "name", "verdict", "said"),
    [
        ({"account": "lab"}, "account", "ok", "lab is yours"),
        ({"account": "nobody"}, "account", "problem", "you may use: lab"),
        ({"account": "lab", "partition": "harsh"}, "account", "problem", "may use: none"),
        ({}, "qos", "ok", "long, normal"),
        ({"qos": "fast"}, "qos", "problem", "'fast' is not yours"),
        ({"max_array_size": 2000}, "array size", "problem", "the cluster takes 1001"),
        ({}, "jobs per user", "ok", "up to 500"),
        ({"max_submit": 501}, "jobs per user", "problem", "the cluster takes 500"),
        ({"max_requeues": 0}, "requeue", "warning", "waits for the next launch"),
        ({}, "preemption", "ok", "gets 330 s to save"),
        ({"signal_before_end_s": 600}, "preemption", "warning", "less than signal_before_end_s"),
        ({"partition": "harsh"}, "preemption", "warning", "PreemptMode=CANCEL"),
        ({}, "ended jobs", "warning", "after 10 s"),
    ],
)
def test_the_rules_of_the_cluster(gpu_cluster, site, name, verdict, said):
    found = policy_findings(gpu_cluster, SiteConfig(name="s", **site))
    finding = by_name(found, name)
    assert (finding.verdict, said in finding.found) == (verdict, True), finding


# -- folders and containers -----------------------------------------------------------


def test_folders_are_tried_out(make_config, tmp_path):
    (tmp_path / "afile").write_text("")
    roots = {"cache_root": str(tmp_path / "cache"), "data_root": str(tmp_path / "gone")}
    good = make_config("slurm").model_copy(update=roots | {"runs_root": str(tmp_path / "a/b")})
    found = verdicts(folder_findings(good))
    assert found["runs_root"] == found["runs_root locks"] == found["cache_root"] == "ok"
    assert found["data_root"] == "warning"
    for unusable in (tmp_path / "afile" / "runs", Path("/proc/runs")):
        bad = good.model_copy(update={"runs_root": str(unusable)})
        found = verdicts(folder_findings(bad))
        assert found["runs_root"] == "problem"
        assert "runs_root locks" not in found
    assert not (tmp_path / "a").exists()


def test_the_image_is_looked_at(make_config, stand_in_runtime, tmp_path):
    def found():
        site = {"container": str(stand_in_runtime.image)}
        roots = {"cache_root": str(tmp_path / "cache")}
        config = make_config("slurm", site=site).model_copy(update=roots)
        return {each.name: each for each in container_findings(config)}

    assert {name: each.verdict for name, each in found().items()} == {
        "image": "ok",
        "image inside": "ok",
    }
    assert sha256_file(stand_in_runtime.image) in found()["image"].found
    stand_in_runtime.image.unlink()
    assert found()["image"].verdict == "problem"
    assert "containers/build" in found()["image"].remedy
    assert not list(container_findings(make_config("slurm")))


def test_the_node_must_see_the_same_image(stand_in_runtime):
    outcome, _ = report_of()
    outcome.batch |= {"runtime": "apptainer version 1.3", "image_bytes": "4"}
    found = verdicts(node_findings(outcome, Resources(), stand_in_runtime.image))
    assert (found["runtime on node"], found["image on node"]) == ("ok", "problem")
    del outcome.batch["runtime"]
    found = verdicts(node_findings(outcome, Resources(), stand_in_runtime.image))
    assert found["runtime on node"] == "problem"


# -- the probe and what is made of it -------------------------------------------------


@pytest.fixture
def start_probe():
    """Starts the probe as the test job does."""
    started = []

    def start(*words):
        command = [sys.executable, "-m", "mo_hpc.executors.checkup.probe", *map(str, words)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_probe_reads_writes_sees_the_lock_and_is_told_to_stop(
    tmp_path, start_probe, wait_until
):
    (tmp_path / probe.WORD).write_text("hello")
    with (tmp_path / probe.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start_probe(tmp_path, tmp_path, tmp_path / "gone")
        wait_until((tmp_path / probe.REPORT).exists)
    report = read_report(tmp_path / probe.REPORT)
    assert (report.word, report.lock) == ("hello", "held")
    assert report.paths == {str(tmp_path): True, str(tmp_path / "gone"): False}
    assert report.code_sha256 == probe.software()["code_sha256"]
    assert abs(report.time_s - time.time()) < 20
    process.send_signal(signal.SIGUSR2)
    assert process.wait(timeout=20) == 0
    assert read_signal(tmp_path / probe.SIGNAL).received_at_s >= report.time_s
    assert printed_report(process.stdout.read()) == report


def test_a_probe_that_does_not_see_the_folder_still_tells(tmp_path, start_probe):
    process = start_probe(tmp_path / "elsewhere")
    told = printed_report(process.communicate(timeout=30)[0])
    assert (told.word, told.lock) == (None, "refused: No such file or directory")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("times", "difference_s"),
    [((5, 4, 6), 0), ((4, 4, 6), 0), ((9, 4, 6), 3), ((1, 4, 6), -3)],
)
def test_clocks_are_compared_as_far_as_is_certain(times, difference_s):
    assert clock_difference_s(*times) == difference_s


@pytest.mark.parametrize(
    ("changes", "name", "verdict", "said"),
    [
        ({}, "clock", "ok", "within 2 s"),
        ({"time_s": 1031.0}, "clock", "warning", "30 s ahead"),
        ({"time_s": 700.0}, "clock", "problem", "300 s behind"),
        ({"lock": "free"}, "locks shared", "warning", "is free on the node"),
        ({"lock": "refused: Function not implemented"}, "locks shared", "warning", "refused"),
        ({"word": None}, "runs_root shared", "problem", "does not read"),
        ({"paths": {"/data": False}}, "shared path", "problem", "/data is here"),
        ({"n_cores": 1}, "cores granted", "problem", "2 asked for, 1 usable"),
        ({"memory_mb": 4096}, "memory granted", "problem", "4 GB granted"),
        ({"tmp": None}, "$TMPDIR", "problem", "no temporary folder"),
        ({"tmp_free_gb": 0.2}, "$TMPDIR", "warning", "0 GB free"),
        (
            {"cuda": {"devices": [], "runtime": None, "error": "no kernel image"}},
            "GPUs",
            "problem",
            "no kernel image",
        ),
        (
            {"cuda": {"devices": ["A100"] * 2, "runtime": "12.8", "error": None}},
            "GPUs",
            "ok",
            "torch sees 2 (A100); CUDA 12.8, driver 570",
        ),
    ],
)
def test_what_the_node_says_is_judged(changes, name, verdict, said):
    outcome, _ = report_of(**changes)
    outcome.batch["driver"] = "570"
    asked = Resources(gpus_per_node=2)
    finding = by_name(node_findings(outcome, asked, None), name)
    assert (finding.verdict, said in finding.found) == (verdict, True), finding


def test_a_signal_that_never_came_is_a_problem():
    outcome, _ = report_of()
    outcome.stop = SignalReport(received_at_s=None)
    found = verdicts(node_findings(outcome, Resources(), None))
    assert found["stop signal"] == "problem"


@pytest.mark.parametrize(
    ("outcome", "verdict", "said"),
    [
        (Outcome(refusal="Invalid account"), "problem", "refused it: Invalid account"),
        (Outcome(job_id="7", pending="(Resources)"), "not checked", "reason: Resources"),
        (Outcome(job_id="7", pending="(PartitionTimeLimit)"), "problem", "PartitionTimeLimit"),
        (Outcome(job_id="7", end="JobState=FAILED"), "problem", "left nothing in runs_root"),
        (Outcome(job_id="7", end="JobState=FAILED", began=True), "problem", "site.setup ended"),
    ],
)
def test_a_job_without_a_report_is_explained(outcome, verdict, said):
    (finding,) = node_findings(outcome, Resources(), None)
    assert (finding.verdict, said in finding.found) == (verdict, True), finding
    assert finding.remedy


def test_versions_of_both_sides_are_compared():
    outcome, host = report_of()
    known = {name: version for name, version in host.packages.items() if version}
    as_here = {name: version.partition("+")[0] for name, version in known.items()}
    assert set(verdicts(version_findings(host, outcome.report, as_here)).values()) == {"ok"}
    assert {"torch", "mace-torch", "submitit"} <= set(locked_versions())
    other = {"packages": host.packages | {"torch": None, "ase": "3.0"}, "code_sha256": "0"}
    node = outcome.report.model_copy(update=other)
    found = version_findings(host, node, as_here)
    assert by_name(found, "packages on node").found == "missing: torch"
    assert by_name(found, "mo_hpc").verdict == "warning"
    node = node.model_copy(update={"packages": host.packages | {"ase": "3.0"}, "python": "3.10.4"})
    found = list(version_findings(host, node, as_here))
    assert by_name(found, "packages on node").verdict == "warning"
    assert "ase 3.0 (lock: " in by_name(found, "packages on node").found
    assert by_name(found, "Python on node").verdict == "problem"


# -- the command ----------------------------------------------------------------------


@pytest.fixture
def examined(tmp_path, monkeypatch, capsys):
    """Examines a site from an empty folder: exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MO_HPC_CACHE", str(tmp_path))
    monkeypatch.setenv("MO_HPC_DATA", str(tmp_path))

    def run(*words):
        code = run_command(doctor.main, [*words, "resources.memory_gb=0.25"])
        return code, *capsys.readouterr()

    return run


def checks(out):
    return {check["name"]: check for check in json.loads(out)["checks"]}


def test_without_slurm_the_rest_is_still_checked(examined, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/nowhere")
    code, out, _ = examined()
    assert code == 1
    assert "problem     commands" in out
    assert "not checked test job" in out
    assert "ok          runs_root " in out
    assert "module load slurm" in out
    assert list(tmp_path.iterdir()) == []


def test_a_controller_that_is_down_is_named(examined, command):
    for name in ("sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol"):
        command(name, "echo 'Unable to contact slurm controller (connect failure)' >&2; exit 1")
    code, out, _ = examined("--json")
    assert code == 1
    assert "(connect failure)" in checks(out)["controller"]["found"]
    assert checks(out)["test job"]["verdict"] == "not checked"


@pytest.mark.parametrize(
    ("word", "valid"), [("site=nowhere", "default"), ("executor=local", "slurm")]
)
def test_wrong_words_are_refused(examined, word, valid):
    code, out, err = examined(word, "--json")
    assert code == 2
    assert valid in json.loads(out)["error"]["valid"]
    assert err.startswith("error: ")


def test_help_tells_every_exit_status(capsys):
    with pytest.raises(SystemExit):
        doctor.main(["--help"])
    assert "130 interrupted" in " ".join(capsys.readouterr().out.split())


def test_lines_fit_and_say_what_to_do():
    group = Group("Folders")
    finding = group.problem("runs_root", "word " * 60 + "\nsecond", "Do " + "this " * 40)
    lines = lines_of(finding)
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("  problem     runs_root")
    assert any("→ Do this" in line for line in lines)
    assert any(line.strip() == "second" for line in lines)


# -- on a real cluster ----------------------------------------------------------------


@pytest.mark.slurm
@pytest.mark.usefixtures("slurm")
def test_a_site_that_is_all_right(examined, tmp_path):
    code, out, err = examined("--json", f"runs_root={tmp_path / 'new/runs'}")
    found = checks(out)
    assert code == 0, (out, err)
    for name in (
        *("sbatch", "test job", "requeue", "runs_root shared", "locks shared", "clock"),
        *("memory granted", "stop signal", "Python on node", "mo_hpc"),
    ):
        assert found[name]["verdict"] == "ok", found[name]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slurm
@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize(
    ("word", "name", "field"),
    [
        ("site.partition=gone", "partition", "site.partition"),
        ("resources.time_min=99999999", "time limit", "resources.time_min"),
        ("resources.cpus_per_task=9999", "cores", "resources.cpus_per_task"),
        ("resources.gpus_per_node=99", "GPUs", "resources.gpus_per_node"),
        ("site.sbatch.nonsense=3", "sbatch", "site.sbatch"),
    ],
)
def test_what_the_cluster_lacks_is_named_with_its_field(examined, word, name, field):
    code, out, _ = examined("--json", "--no-job", word)
    assert code == 1
    assert checks(out)[name]["verdict"] == "problem"
    assert field in checks(out)[name]["remedy"]


@pytest.mark.slurm
@pytest.mark.usefixtures("slurm")
def test_a_python_that_is_not_on_the_node(examined, tmp_path):
    code, out, _ = examined("--json", "site.python=/no/such/python")
    assert code == 1
    found = checks(out)["test job"]
    assert found["verdict"] == "problem"
    assert "/no/such/python: No such file" in found["found"]
    assert "site.python" in found["remedy"]
    (logs,) = (tmp_path / "runs").iterdir()
    assert str(logs) in found["found"]


@pytest.mark.slurm
@pytest.mark.usefixtures("slurm")
def test_an_image_that_does_not_see_the_runs(examined, stand_in_runtime, tmp_path):
    """A mount namespace stands in for the image: it hides a folder as one would."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("a mount namespace of its own takes root and unshare")
    hidden = f'mount -t tmpfs none {tmp_path}/runs && exec "$@"'
    stand_in_runtime.write(["unshare", "-m", "bash", "-c", hidden, "bash"])
    code, out, _ = examined("--json", *stand_in_runtime.words())
    assert code == 1
    found = checks(out)
    assert found["runtime on node"]["found"] == "stands in for apptainer"
    assert {found[name]["verdict"] for name in ("image", "test job", "Python on node")} == {"ok"}
    assert "image on node" not in found
    assert found["runs_root shared"]["verdict"] == "problem"
    assert "not seen inside the image" in found["runs_root shared"]["found"]
    assert "site.binds" in found["runs_root shared"]["remedy"]
    assert not (tmp_path / "runs").exists()


@pytest.mark.slurm
@pytest.mark.usefixtures("slurm")
def test_an_image_that_runs_on_the_node(examined, stand_in_runtime):
    code, out, _ = examined("--json", *stand_in_runtime.words())
    assert code == 0, out
    found = checks(out)
    assert {
        found[name]["verdict"] for name in ("image", "runtime on node", "runs_root shared")
    } == {"ok"}


@pytest.mark.slurm
@pytest.mark.usefixtures("slurm")
def test_a_job_that_does_not_start_is_taken_away(examined, tmp_path):
    words = ("site.sbatch.begin=now+1hour", "--wait-s=5", f"runs_root={tmp_path / 'runs'}")
    code, out, _ = examined("--json", *words)
    assert code == 0
    found = checks(out)["test job"]
    assert found["verdict"] == "not checked"
    assert "reason: BeginTime" in found["found"]
    job_id = found["found"].split()[1]
    left = subprocess.run(
        ["squeue", "-h", "-t", "PENDING,RUNNING", "-o", "%F"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert job_id not in left.stdout.split()
    assert list(tmp_path.iterdir()) == []

"""Why a task is not done, from each kind of evidence, in words as Slurm prints them."""

import json
import time

import pytest
from runs import manifest_of, run_config

from mo_hpc.core.failure import EXPLANATIONS, FAILURE_CLASSES
from mo_hpc.core.files import append_line, write_json
from mo_hpc.core.record import ErrorRecord, write_error
from mo_hpc.executors.attempts import begin_attempt
from mo_hpc.executors.failures import evidence
from mo_hpc.executors.failures.diagnosis import Diagnostician
from mo_hpc.executors.resubmission import current_states
from mo_hpc.executors.run_task import run_task
from mo_hpc.executors.slurm.ledger import Ledger

OVER_MEMORY = """\
slurmstepd-n3: error: StepId=378.0 exceeded memory limit (335142912 > 268435456), being killed
srun: Job step aborted: Waiting up to 32 seconds for job step to finish.
slurmstepd-n3: error: Exceeded job memory limit
slurmstepd-n3: error: *** STEP 378.0 ON n3 CANCELLED AT 2026-11-20T14:29:26 ***
srun: error: n3: task 0: Killed
"""
OF_CGROUPS = """\
slurmstepd: error: Detected 1 oom_kill event in StepId=5.0. Some of the step tasks have been \
OOM Killed.
srun: error: n3: task 0: Out Of Memory
"""
TIME_LIMIT = """\
slurmstepd-n3: error: *** STEP 401.0 ON n3 CANCELLED AT 2026-11-20T14:35:52 DUE TO TIME LIMIT ***
slurmstepd-n3: error: *** JOB 401 ON n3 CANCELLED AT 2026-11-20T14:35:52 DUE TO TIME LIMIT ***
srun: Job step aborted: Waiting up to 32 seconds for job step to finish.
srun: error: n3: task 0: Killed
"""
PREEMPTED = """\
slurmstepd-n2: error: *** STEP 399.0 ON n2 CANCELLED AT 2026-11-20T14:34:33 ***
slurmstepd-n2: error: *** JOB 399 ON n2 CANCELLED AT 2026-11-20T14:35:22 DUE TO PREEMPTION ***
srun: Force Terminated StepId=399.0
"""
NODE_DOWN = """\
srun: error: Node failure on n3
slurmstepd-n3: error: *** JOB 410 ON n3 CANCELLED AT 2026-11-20T14:36:27 DUE TO NODE FAILURE, SEE \
SLURMCTLD LOG FOR DETAILS ***
"""
CANCELLED = """\
srun: got SIGCONT
slurmstepd-n4: error: *** JOB 386 ON n4 CANCELLED AT 2026-11-20T14:31:31 ***
srun: forcing job termination
slurmstepd-n4: error: *** STEP 386.0 ON n4 CANCELLED AT 2026-11-20T14:31:31 ***
"""
SIGNALLED = """\
slurmstepd-n4: error: *** STEP 385.0 ON n4 CANCELLED AT 2026-11-20T14:31:31 ***
srun: error: n4: task 0: Exited with exit code 85
srun: launch/slurm: _step_signal: Terminating StepId=385.0
"""
KILLED = """\
srun: error: n4: task 0: Killed
srun: launch/slurm: _step_signal: Terminating StepId=379.0
"""
PORT_TAKEN = "The server socket has failed to listen on any local network address. EADDRINUSE\n"
GPU_FULL = "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (OVER_MEMORY, "host_out_of_memory"),
        (OF_CGROUPS, "host_out_of_memory"),
        (TIME_LIMIT, "time_limit"),
        (PREEMPTED, "preempted"),
        (NODE_DOWN, "node_failure"),
        ("srun: error: Node failure on n4\n", "node_failure"),
        (CANCELLED, "cancelled"),
        (SIGNALLED, None),
        (KILLED, None),
        (PORT_TAKEN, "communication"),
        (GPU_FULL, "gpu_out_of_memory"),
        ("epoch 3: loss 0.1\n", None),
        ("", None),
    ],
)
def test_last_words_tell_the_class(words, expected):
    assert evidence.class_from_words(words) == expected


def test_every_class_can_be_explained():
    assert set(EXPLANATIONS) == set(FAILURE_CLASSES)


class Scene:
    """One task, the array it went with, and what is found of both."""

    def __init__(self, run, make_task, monkeypatch):
        self.run, self.patch = run, monkeypatch
        self.task = make_task("a")
        self.paths = run.task("a")
        self.name = Ledger(run).intend("x", [["other"], ["a"]])
        Ledger(run).confirm(self.name, "70")

    def attempt(self, *, exit_code=None, words="", restart=0, job="70"):
        for variable, value in (
            ("SLURM_JOB_ID", "71"),
            ("SLURM_ARRAY_JOB_ID", job),
            ("SLURM_ARRAY_TASK_ID", "1"),
            ("SLURM_RESTART_COUNT", str(restart)),
            ("SLURMD_NODENAME", "n7"),
        ):
            self.patch.setenv(variable, value)
        attempt = begin_attempt(self.paths, self.task.resources, None)
        with (attempt.folder / "stderr").open("a") as log:
            log.write(words)
        if exit_code is not None:
            attempt.end(exit_code)

    def element_ended(self, status, restart=0, at=None):
        path = self.run.element_ends(self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as handle:
            handle.write(f"1 {status} {restart} n8 {int(at or time.time())}\n")

    def log(self, text):
        folder = self.run.scheduler_logs
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "70_1_0_log.err").write_text(text)

    def found(self):
        config = run_config("slurm", retry="default")
        (task,) = manifest_of([self.task]).tasks
        return Diagnostician(self.run, config.retry)(task)

    def found_class(self):
        found = self.found()
        return found and found.failure_class


@pytest.fixture
def scene(run, make_task, monkeypatch, command):
    command("scontrol", "exit 1")
    command("sacct", "exit 1")
    command("squeue", "exit 0")
    return Scene(run, make_task, monkeypatch)


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        ("", 137, "killed"),
        (KILLED, 137, "killed"),
        (OVER_MEMORY, 137, "host_out_of_memory"),
        (TIME_LIMIT, None, "time_limit"),
        (PREEMPTED, None, "preempted"),
        (NODE_DOWN, 0, "node_failure"),
        (CANCELLED, 143, "cancelled"),
        (PORT_TAKEN, 1, "communication"),
        ("", None, "node_failure"),
        ("", 139, "killed"),
        ("", 85, "time_limit"),
    ],
)
def test_an_attempt_without_an_end_is_told_by_words_and_status(scene, words, status, expected):
    scene.attempt(words=words)
    if status is not None:
        scene.element_ended(status)
    found = scene.found()
    assert (found.failure_class, found.node, found.attempt) == (expected, "n7", 1)
    assert found.submission == scene.name


def test_the_signal_is_named(scene):
    scene.attempt()
    scene.element_ended(139)
    assert scene.found().reason == "Attempt 1 on n7 was ended by signal 11."


def test_a_task_that_saved_and_was_not_put_back(scene):
    scene.attempt(exit_code=85, words=SIGNALLED)
    scene.element_ended(85)
    assert scene.found_class() == "time_limit"
    assert "put back too often" in scene.found().reason


def test_a_task_that_saved_because_srun_died_was_killed(scene):
    scene.attempt(exit_code=85)
    scene.element_ended(137)
    assert scene.found_class() == "killed"


def test_a_task_that_saved_because_it_was_cancelled_waits_for_a_person(scene):
    scene.attempt(exit_code=85, words=CANCELLED)
    assert scene.found_class() == "cancelled"
    assert not scene.found().again


def test_words_of_an_earlier_attempt_in_the_same_log_do_not_count(scene):
    scene.attempt(exit_code=85, words=TIME_LIMIT)
    log = scene.paths.attempt(1) / "stderr"
    scene.paths.attempt(2).mkdir()
    (scene.paths.attempt(2) / "stderr").symlink_to(log)
    document = json.loads((scene.paths.attempt(1) / "slurm.json").read_text())
    document |= {"attempt": 2, "exit_code": None, "log_offset": log.stat().st_size}
    document["slurm"]["restart_count"] = "1"
    write_json(scene.paths.attempt(2) / "slurm.json", document)
    scene.element_ended(85)
    scene.element_ended(137, restart=1)
    assert scene.found_class() == "killed"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("TIMEOUT", "time_limit"),
        ("PREEMPTED", "preempted"),
        ("NODE_FAIL", "node_failure"),
        ("OUT_OF_MEMORY", "host_out_of_memory"),
        ("CANCELLED", "cancelled"),
        ("FAILED", "node_failure"),
    ],
)
def test_scontrol_tells_what_no_log_does(scene, command, state, expected):
    row = "JobId=7{0} ArrayJobId=70 ArrayTaskId={0} JobName=x UserId=a(0) JobState={1} Reason=None"
    command("scontrol", f"echo '{row.format(0, 'COMPLETED')}'; echo '{row.format(1, state)}'")
    scene.attempt()
    assert scene.found_class() == expected


def test_sacct_is_asked_where_scontrol_has_forgotten(scene, command):
    command("sacct", "echo '70_0|COMPLETED'; echo '70_1|CANCELLED by 0'")
    scene.attempt()
    assert scene.found_class() == "cancelled"


def test_slurm_is_asked_once_for_an_array_and_not_where_words_tell(scene, command, tmp_path):
    command("scontrol", f"echo asked >> {tmp_path}/asked; exit 1")
    scene.attempt(words=TIME_LIMIT)
    scene.found()
    assert not (tmp_path / "asked").exists()


def test_a_record_of_a_failure_comes_before_all_else(scene, run, make_task):
    bad = make_task("bad", "diverge")
    run_task(run.task("bad").folder)
    (task,) = manifest_of([bad]).tasks
    found = Diagnostician(run)(task)
    assert (found.failure_class, found.reason) == ("diverged", "the loss is nan")


@pytest.mark.parametrize("damage", ["cut", "foreign", "older"])
def test_an_unreadable_or_foreign_error_record_is_none(scene, damage):
    scene.attempt()
    scene.element_ended(137)
    error = ErrorRecord(
        task_id="a",
        digest=scene.task.digest if damage != "foreign" else "0" * 64,
        failure_class="python_error",
        error_type="RuntimeError",
        message="not ours",
        traceback="",
        provenance={},
    )
    write_error(scene.paths, error)
    if damage == "cut":
        scene.paths.error.write_text(scene.paths.error.read_text()[:40])
    if damage == "older":
        document = json.loads(scene.paths.error.read_text())
        scene.paths.error.write_text(json.dumps(document | {"schema_version": 0}))
    assert scene.found_class() == "killed"


def test_an_attempt_that_ended_without_a_record_is_no_endless_work(scene):
    scene.attempt(exit_code=1)
    found = scene.found()
    assert (found.failure_class, found.again) == ("python_error", False)
    assert "status 1, no record" in found.reason


def test_an_old_error_is_not_charged_to_a_submission_that_never_began(scene):
    scene.attempt(exit_code=1)
    error = ErrorRecord(
        task_id="a",
        digest=scene.task.digest,
        failure_class="communication",
        error_type="DistStoreError",
        message="a rank did not come",
        traceback="",
        provenance={},
    )
    write_error(scene.paths, error)
    assert scene.found_class() == "communication"
    # Job times are written to the second.
    document = json.loads((scene.paths.attempt(1) / "slurm.json").read_text())
    write_json(scene.paths.attempt(1) / "slurm.json", document | {"started": "2026-01-01"})
    scene.name = Ledger(scene.run).intend("x", [["other"], ["a"]])
    Ledger(scene.run).confirm(scene.name, "72")
    scene.element_ended(127)
    found = scene.found()
    assert (found.failure_class, found.node) == ("never_started", "n8")


def test_sacct_is_asked_for_the_elements_that_scontrol_has_forgotten(scene, command):
    row = "JobId=70 ArrayJobId=70 ArrayTaskId=0 JobName=x JobState=RUNNING Reason=None"
    command("scontrol", f"echo '{row}'")
    command("sacct", "echo '70_1|TIMEOUT'")
    scene.attempt()
    assert scene.found_class() == "time_limit"


def test_an_element_that_never_began_is_told_by_the_last_line_that_tells(scene):
    scene.log(
        "slurmstepd-n8: error: execve(): /nowhere/python: No such file or directory\n"
        "srun: error: n8: task 0: Exited with exit code 2\n"
        "srun: launch/slurm: _step_signal: Terminating StepId=699.0\n"
    )
    scene.element_ended(2)
    found = scene.found()
    assert (found.failure_class, found.node, found.attempt) == ("never_started", "n8", 0)
    assert found.reason.endswith("execve(): /nowhere/python: No such file or directory")
    assert found.again


def test_an_element_that_never_began_again_is_not_blamed_on_the_first_start(scene):
    scene.attempt(exit_code=85, words=SIGNALLED)
    scene.element_ended(85)
    scene.element_ended(127, restart=1)
    found = scene.found()
    assert (found.failure_class, found.node) == ("never_started", "n8")


def test_a_job_that_never_began_and_left_no_trace(scene, command):
    assert scene.found_class() == "never_started"
    row = "JobId=71 ArrayJobId=70 ArrayTaskId=1 JobName=x UserId=a(0) JobState=CANCELLED"
    command("scontrol", f"echo '{row}'")
    assert scene.found_class() == "cancelled"


def test_a_task_that_was_done_when_its_element_came_never_failed(scene):
    scene.element_ended(0)
    assert scene.found() is None


@pytest.mark.parametrize("then_done", [False, True])
def test_a_task_that_waited_for_a_need_did_not_fail(scene, run, make_task, then_done):
    need = make_task("need")
    scene.task = make_task("a", needs=["need"])
    scene.element_ended(1, at=time.time() - 60)
    if then_done:
        run_task(run.task(need.id).folder)
    assert scene.found() is None
    # The other elements of the array may end much later.
    with run.element_ends(scene.name).open("a") as handle:
        handle.write(f"0 0 0 n8 {int(time.time()) + 60}\n")
    assert scene.found() is None


def test_what_a_person_took_back_is_cancelled(scene):
    Ledger(scene.run).cancel(scene.name, ["a"])
    scene.element_ended(143)
    assert scene.found_class() == "cancelled"


def test_a_dropped_submission_leaves_the_task_to_the_one_before(scene):
    scene.attempt()
    scene.element_ended(137)
    lost = Ledger(scene.run).intend("x", [["a"]])
    Ledger(scene.run).drop(lost, "not in the queue at the next launch")
    assert scene.found_class() == "killed"


def test_a_task_that_was_never_submitted_has_no_failure(run, make_task):
    (task,) = manifest_of([make_task("a")]).tasks
    assert Diagnostician(run)(task) is None


@pytest.mark.parametrize("damage", ["cut", "foreign", "older", "other"])
def test_a_damaged_record_is_named_and_the_task_runs_again(scene, run, make_task, damage):
    run_task(scene.paths.folder)
    metrics = scene.paths.metrics
    document = json.loads(metrics.read_text())
    text = {
        "cut": json.dumps(document)[:99],
        "foreign": json.dumps(document | {"task_id": "b"}),
        "older": json.dumps(document | {"schema_version": 0}),
        "other": '{"loss": 1}',
    }[damage]
    metrics.write_text(text)
    states = current_states(run, manifest_of([scene.task]), run_config("slurm"))
    assert states["a"].name == "missing"
    named = {
        "cut": "is cut short",
        "foreign": "belongs to another task",
        "older": "has schema version 0",
        "other": "has schema version None",
    }
    assert named[damage] in states["a"].reason
    assert run_task(scene.paths.folder) == 0
    again = current_states(run, manifest_of([scene.task]), run_config("slurm"))
    assert again["a"].name == "done"


def test_version_1_lines_of_the_ledger_are_still_read(run):
    for line in (
        {"schema_version": 1, "event": "intent", "name": "old-1", "tasks": ["a", "b"]},
        {"schema_version": 1, "event": "submitted", "name": "old-1", "job_id": "9"},
    ):
        append_line(run.submissions, line)
    (submission,) = Ledger(run).submissions()
    assert (submission.elements, submission.job_id) == ((("a",), ("b",)), "9")
    assert submission.index("b") == 1

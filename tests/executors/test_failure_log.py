"""What the rules make of failures: how often, with what, and where not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_hpc.core.config import load_named
from mo_hpc.core.execution import Resources, RetryConfig, RetryRule
from mo_hpc.core.failure import FAILURE_CLASSES
from mo_hpc.core.files import append_line, read_lines
from mo_hpc.core.paths import RunPaths
from mo_hpc.core.validation import validated
from mo_hpc.executors.failures.log import FailureLog
from mo_hpc.executors.slurm.limits import Limits
from mo_hpc.plan.state import Diagnosis

NODES = frozenset({"n1", "n2", "n3"})


def rules(**of_class):
    return RetryConfig(
        name="test", rules={name: RetryRule(**words) for name, words in of_class.items()}
    )


def failure(name="killed", *, node="n1", attempt=1, job="array-1"):
    return Diagnosis(name, "It broke.", node=node, attempt=attempt, submission=job)


def failed(run, name, number, task="a", **words):
    """A log with so many failures of a task."""
    log = FailureLog(run)
    for attempt in range(1, number + 1):
        log.add(task, failure(name, attempt=attempt, **words))
    return log


@pytest.mark.parametrize("name", ["default", "none"])
def test_rule_files_are_valid(name):
    assert validated(RetryConfig, load_named("retry", name), where=name).name == name


def test_what_a_program_or_a_person_did_is_not_tried_again_by_default():
    default = validated(RetryConfig, load_named("retry", "default"), where="default")
    ours = {"python_error", "bad_input", "bad_data", "diverged", "gpu_out_of_memory", "cancelled"}
    assert set(FAILURE_CLASSES) - set(default.rules) == ours
    growing = {n for n, r in default.rules.items() if r.memory_factor > 1 or r.time_factor > 1}
    assert growing == {"host_out_of_memory", "time_limit"}


def test_a_class_is_tried_again_as_often_as_its_rule_says(run):
    log = FailureLog(run)
    verdicts = []
    for attempt in (1, 2, 3):
        verdicts.append(log.judged("a", failure(attempt=attempt), rules(killed={"times": 2})).again)
        log.add("a", failure(attempt=attempt))
        # What is written down is judged as it was.
        known = log.judged("a", failure(attempt=attempt), rules(killed={"times": 2}))
        assert known.again == verdicts[-1]
    assert verdicts == [True, True, False]
    assert log.judged("b", failure(), rules(killed={"times": 2})).again
    unheard_of = failure("preempted", attempt=9)
    assert not log.judged("a", unheard_of, rules(killed={"times": 2})).again
    assert not log.judged("a", failure(attempt=4), None).again


def test_what_was_found_while_slurm_remembered_the_job_stands(run):
    log = FailureLog(run)
    log.add("a", failure("time_limit"))
    later = FailureLog(run).judged("a", failure("node_failure"), rules(time_limit={"times": 1}))
    assert (later.failure_class, later.again) == ("time_limit", True)
    taken_back = FailureLog(run).judged("a", failure("cancelled"), rules())
    assert (taken_back.failure_class, taken_back.again) == ("cancelled", False)


def test_a_failure_counts_once_however_many_launches_see_it(run):
    for _ in range(3):
        FailureLog(run).add("a", failure())
    FailureLog(run).add("a", failure(job="array-2"))
    assert len(read_lines(run.failures)) == 2
    assert FailureLog(run).number("a", "killed") == 2


def test_memory_and_time_grow_with_each_failure_of_their_class_alone(run):
    given_ = Resources(memory_gb=8, time_min=60)
    grow = rules(
        host_out_of_memory={"times": 3, "memory_factor": 1.5},
        time_limit={"times": 3, "time_factor": 1.5},
        killed={"times": 5},
    )
    log = failed(run, "host_out_of_memory", 2)
    log.add("b", failure("time_limit"))
    log.add("c", failure("killed"))
    grown = {task: log.resources(task, given_, grow, Limits()) for task in "abc"}
    assert (grown["a"].memory_gb, grown["a"].time_min) == (18, 60)
    assert (grown["b"].memory_gb, grown["b"].time_min) == (8, 90)
    assert grown["c"] == given_


@given(
    memory_gb=st.floats(0.1, 500),
    time_min=st.integers(1, 10_000),
    number=st.integers(0, 6),
    most_gb=st.none() | st.floats(1, 1000),
    most_min=st.none() | st.integers(1, 20_000),
)
def test_nothing_grows_beyond_the_cluster_or_shrinks(
    tmp_path_factory, memory_gb, time_min, number, most_gb, most_min
):
    log = failed(RunPaths(tmp_path_factory.mktemp("run")), "time_limit", number)
    both = rules(time_limit={"times": 9, "memory_factor": 1.5, "time_factor": 1.5})
    given_ = Resources(memory_gb=memory_gb, time_min=time_min)
    grown = log.resources("a", given_, both, Limits(memory_gb=most_gb, time_min=most_min))
    assert memory_gb <= grown.memory_gb <= max(memory_gb, most_gb or float("inf"))
    assert time_min <= grown.time_min <= max(time_min, most_min or float("inf"))


def test_a_node_is_excluded_after_its_failures_of_one_class(run):
    rule = rules(node_failure={"exclude_node_after": 2}, killed={"exclude_node_after": 3})
    log = FailureLog(run)
    log.add("a", failure("node_failure"))
    log.add("b", failure("killed"))
    log.add("c", failure("killed", node=None))
    assert log.excluded_nodes(rule, NODES) == []
    log.add("d", failure("node_failure"))
    assert log.excluded_nodes(rule, NODES) == ["n1"]
    assert log.excluded_nodes(rule, frozenset({"n2", "n3"})) == []


def test_enough_nodes_always_remain(run):
    rule = rules(killed={"exclude_node_after": 1})
    log = FailureLog(run)
    for node in ("n1", "n2"):
        log.add(node, failure(node=node))
    assert log.excluded_nodes(rule, NODES) == ["n1", "n2"]
    assert log.excluded_nodes(rule, NODES, n_needed=2) == []
    log.add("n3", failure(node="n3"))
    assert log.excluded_nodes(rule, NODES) == []


def test_damaged_lines_and_unknown_classes_are_left_out(run):
    failed(run, "killed", 1)
    for line in (3, {"class": "meteorite"}, ["killed"], {"class": "killed"}):
        append_line(run.failures, line)
    with run.failures.open("a") as handle:
        handle.write('{"class": "kil')
    assert FailureLog(run).number("a", "killed") == 1
    FailureLog(run).add("a", failure(attempt=2))
    assert FailureLog(run).number("a", "killed") == 2


def test_a_run_without_failures_has_no_file(tmp_path):
    log = FailureLog(RunPaths(Path(tmp_path)))
    assert not log.has_entries
    assert not log.excluded_nodes(rules(killed={"exclude_node_after": 1}), NODES)

"""The order of starts, restarts, stops and the deadline, on a workplace that computes nothing."""

from types import SimpleNamespace

import pytest

from mo_hpc.executors.display import task_display
from mo_hpc.executors.processes import schedule as schedule_module
from mo_hpc.executors.processes import stop_requests as stop_requests_module
from mo_hpc.executors.processes.schedule import Bounds, Schedule
from mo_hpc.executors.processes.stop_requests import StopRequests


class Clock:
    """Time that passes when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(schedule_module, "time", SimpleNamespace(time=clock, monotonic=clock))
    return clock


class Desk:
    """Ends one task at each look, with the codes a test lists for it (else 0)."""

    def __init__(self, *, places=1, codes=None, on_wait=lambda: None):
        self.places, self.on_wait = places, on_wait
        self.codes = {name: list(each) for name, each in (codes or {}).items()}
        self.started, self.at_work, self.stops = [], [], []

    def start(self, task):
        if len(self.at_work) >= self.places:
            return False
        self.started.append(task.id)
        self.at_work.append(task)
        return True

    def wait(self, _timeout_s):
        self.on_wait()
        task = self.at_work.pop(0)
        code = 85 if self.stops else (self.codes.get(task.id) or [0]).pop(0)
        return [(task, code)]

    def stop(self, *, kill):
        self.stops.append(kill)


@pytest.fixture
def met(monkeypatch):
    """Says which needs are met, instead of records."""
    done = set()
    monkeypatch.setattr(
        "mo_hpc.executors.processes.schedule.unmet_needs",
        lambda _paths, task: {need: "-" for need in task.needs if need not in done},
    )
    return done


@pytest.fixture
def work(run, met):
    def work(desk, tasks, requests=None, **bounds):
        with task_display(len(tasks)) as display:
            schedule = Schedule(run, desk, display, Bounds(**{"max_requeues": 1} | bounds))
            return schedule.work(tasks, requests or StopRequests(burst_s=1))

    return work


def test_a_task_that_stopped_by_itself_goes_first_again(make_task, work):
    desk = Desk(codes={"a": [85, 0]})
    outcome = work(desk, [make_task("a"), make_task("b")])
    assert desk.started == ["a", "a", "b"]
    assert outcome.codes == {"a": 0, "b": 0}
    assert outcome.all_done


def test_restarts_end_and_what_is_left_is_no_failure(make_task, work):
    desk = Desk(codes={"a": [85, 85, 85]})
    outcome = work(desk, [make_task("a"), make_task("after", needs=["a"]), make_task("b")])
    assert desk.started == ["a", "a", "b"]
    assert outcome.codes == {"b": 0}
    assert outcome.left == ["a", "after"]
    assert not outcome.all_done


def test_what_needs_a_failed_task_never_starts(make_task, work):
    tasks = [
        make_task("bad"),
        make_task("after", needs=["bad"]),
        make_task("after-after", needs=["after"]),
        make_task("good"),
    ]
    outcome = work(Desk(codes={"bad": [-9]}), tasks)
    assert outcome.codes == {"bad": -9, "after": 1, "after-after": 1, "good": 0}
    assert outcome.left == []


def test_a_need_that_ends_in_here_lets_the_next_start(make_task, work, met):
    desk = Desk(places=2, on_wait=lambda: met.add("a"))
    outcome = work(desk, [make_task("a"), make_task("b", needs=["a"])])
    assert desk.started == ["a", "b"]
    assert outcome.all_done


def lasting(clock, seconds):
    """A desk at which one task after another takes so long."""

    def pass_by():
        clock.now += seconds

    return Desk(on_wait=pass_by)


def test_a_task_starts_only_if_it_would_fit(make_task, work, clock):
    desk = lasting(clock, 60)
    tasks = [make_task(name) for name in "abcd"]
    outcome = work(desk, tasks, ends_at=clock.now + 170, warning_s=10)
    assert desk.started == ["a", "b"]
    assert desk.stops == []
    assert outcome.left == ["c", "d"]


def test_the_first_task_starts_however_long_it_may_take(make_task, work, clock):
    desk = lasting(clock, 60)
    outcome = work(desk, [make_task("a")], ends_at=clock.now + 11, warning_s=10)
    assert desk.started == ["a"]
    assert outcome.all_done


def test_before_the_deadline_the_tasks_at_work_are_asked_once_to_stop(make_task, work, clock):
    desk = lasting(clock, 60)
    desk.places = 3
    tasks = [make_task(name) for name in "abcd"]
    outcome = work(desk, tasks, ends_at=clock.now + 60, warning_s=10)
    assert desk.stops == [False]
    # The first was over when the look came that found no time left.
    assert outcome.codes == {"a": 0}
    assert outcome.left == ["b", "c", "d"]


def test_after_the_deadline_nothing_starts(make_task, work, clock):
    desk = Desk()
    assert work(desk, [make_task("a")], ends_at=clock.now + 5, warning_s=10).left == ["a"]
    assert desk.started == []


def test_a_request_stops_all_and_starts_none(make_task, work):
    requests = StopRequests(burst_s=1)
    desk = Desk(places=2, on_wait=requests.note)
    outcome = work(desk, [make_task(name) for name in "abc"], requests)
    assert desk.stops == [False]
    assert outcome.codes == {"a": 0}
    assert outcome.left == ["b", "c"]


@pytest.mark.parametrize("patient", [True, False])
def test_who_asks_again_may_end_them_at_once(make_task, work, patient):
    requests = StopRequests(burst_s=-1)
    desk = Desk(places=3, on_wait=requests.note)
    tasks = [make_task(name) for name in "abc"]
    work(desk, tasks, requests, kill_when_asked_again=not patient)
    assert desk.stops == ([False] if patient else [False, True])


def test_one_signal_delivered_three_times_is_one_request(monkeypatch):
    clock = iter([100.0, 100.8, 101.6, 103.0])
    monkeypatch.setattr(stop_requests_module.time, "monotonic", lambda: next(clock))
    requests = StopRequests(burst_s=1)
    counts = []
    for _ in range(4):
        requests.note()
        counts.append(requests.count)
    assert counts == [1, 1, 1, 2]

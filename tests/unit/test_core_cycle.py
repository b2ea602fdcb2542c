"""One cycle over several jobs: who goes first, who is left alone, what an observer says."""

from dataclasses import replace

import pytest

from berth.core.cycle import Snapshot, cycle
from berth.core.model import Attempt, Cause, Job, JobKey, Mode
from berth.core.plan import Plan, Reason, State, Verb
from tests.builders import JobBuilder, a_gang, a_job, a_pod, by_name, drawn

NOW = 1_000
ROOM_FOR_FOUR = "spine-0\n  leaf-0  8 8 8 8\n  leaf-1  0 0 0 0"
OVER = Attempt(1, 900, 960, Cause.PODS_LOST)


def _plan(
    *jobs: JobBuilder, picture: str = ROOM_FOR_FOUR, mode: Mode = Mode.ACTIVE, touched: frozenset[JobKey] | None = None
) -> Plan:
    pools = by_name(drawn(picture))
    return cycle(Snapshot(tuple(job.built for job in jobs), pools, mode, touched), NOW)


def _verbs(plan: Plan) -> dict[str, Verb]:
    return {decision.key.name: decision.verb for decision in plan.decisions}


def _wants(name: str, replicas: int, **job: object) -> JobBuilder:
    return a_job(name, a_gang(replicas)).but(**job)


@pytest.mark.parametrize(
    ("jobs", "admitted"),
    [
        pytest.param([_wants("a", 3), _wants("b", 3, priority=1)], ["b"], id="higher priority goes first"),
        pytest.param([_wants("a", 3, submitted=2), _wants("b", 3, submitted=1)], ["b"], id="then who came first"),
        pytest.param([_wants("b", 3), _wants("a", 3)], ["a"], id="then by name"),
        pytest.param(
            [_wants("a", 3, submitted=1), _wants("b", 3, submitted=2).after(OVER)],
            ["a"],
            id="a second attempt keeps its place and no more",
        ),
        pytest.param(
            [_wants("a", 3, submitted=2), _wants("b", 3, submitted=1).after(OVER)],
            ["b"],
            id="who was requeued goes ahead of those who came later",
        ),
        pytest.param(
            [_wants("big", 5, priority=9), _wants("small", 4)], ["small"], id="a smaller one passes a blocked one"
        ),
        pytest.param([_wants("a", 2), _wants("b", 2), _wants("c", 1)], ["a", "b"], id="until nothing is left"),
        pytest.param([_wants("a", 2, suspended=True), _wants("b", 4)], ["b"], id="suspended ones take no place"),
        pytest.param([_wants("a", 2, busy=True), _wants("b", 4)], ["b"], id="busy ones are left alone"),
        pytest.param([_wants("a", 2, deleting=True), _wants("b", 4)], ["b"], id="and those that are being deleted"),
    ],
)
def test_the_queue(jobs: list[JobBuilder], admitted: list[str]) -> None:
    """Priority, then first submission, then name; what does not fit lets others pass."""
    assert [name for name, verb in _verbs(_plan(*jobs)).items() if verb is Verb.ADMIT] == admitted


def test_an_admission_says_where_and_creates_every_pod() -> None:
    """Attempt, placement, pods and an event, in one decision."""
    (decision,) = _plan(_wants("a", 3, generation=7)).decisions
    placement = decision.record.placement
    assert placement is not None
    assert (decision.record.attempt, placement.generation, placement.admitted_at) == (1, 7, NOW)
    assert placement.nodes == ("n0", "n1", "n2")
    assert decision.create == (0, 1, 2)
    assert decision.report.state is State.STARTING
    assert decision.event is not None
    assert decision.event.note == "attempt 1: 3 replicas on 3 nodes under spine-0/leaf-0 of pool h800"


def test_a_new_attempt_keeps_what_the_job_has_been_through() -> None:
    """Failures and former attempts stay; the wait is over."""
    (decision,) = _plan(_wants("a", 2).after(OVER, failures=2, retry_after=NOW)).decisions
    assert decision.verb is Verb.ADMIT
    assert decision.record == replace(decision.record, attempt=2, failures=2, attempts=(OVER,), retry_after=None)


def test_a_lost_status_does_not_bring_an_old_attempt_back() -> None:
    """An attempt's number is beyond that of any pod that is there, so that no old pod is taken for a new one."""
    (decision,) = _plan(_wants("a", 2).with_pods(a_pod(0, attempt=4, job="a", deleting=True))).decisions
    assert decision.record.attempt == 5


def test_equal_gangs_hear_the_same() -> None:
    """All are told of what is left once everybody has had a turn."""
    plan = _plan(_wants("a", 5), _wants("b", 5), _wants("c", 3))
    told = {d.key.name: d.report.pending for d in plan.decisions}
    assert told["a"] is not None
    assert told["b"] is not None
    assert told["a"] == replace(told["b"], position=1)
    assert told["b"].position == 2
    assert told["a"].message.startswith("needs 5 nodes; 1 of 8 is free in pool h800")


def test_an_observer_says_what_it_would_do() -> None:
    """Nothing is written but what is told, and nobody gets what somebody before it would have got."""
    plan = _plan(_wants("a", 3), _wants("b", 3), mode=Mode.OBSERVE)
    told = {d.key.name: d.report.pending for d in plan.decisions}
    assert told["a"] is not None
    assert told["a"].reason is Reason.OBSERVING
    assert told["a"].message == (
        "would start now: 3 replicas on 3 nodes under spine-0/leaf-0 of pool h800; Berth only observes (mode Observe)"
    )
    assert told["b"] is not None
    assert told["b"].reason is Reason.INSUFFICIENT_DEVICES
    assert {d.verb for d in plan.decisions} == {Verb.REPORT}


def test_an_observer_does_not_stop_create_or_remove() -> None:
    """What an active operator would do to pods and jobs is told and left."""
    jobs = [
        _wants("failed", 2).placed(created=True),
        _wants("placed", 2).placed(),
        _wants("old", 2).placed().ended(succeeded=True, at=0).but(ttl=1),
    ]
    assert set(_verbs(_plan(*jobs)).values()) == {Verb.ADMIT, Verb.CREATE, Verb.REMOVE}
    plan = _plan(*jobs, mode=Mode.OBSERVE)
    assert set(_verbs(plan).values()) == {Verb.REPORT}
    assert {d.key: d.record for d in plan.decisions} == {job.built.key: job.built.record for job in jobs}
    assert plan.wake_at is None, "a job that may not be removed is no reason to wake at once, again and again"


@pytest.mark.parametrize(
    ("job", "looked_at"),
    [
        pytest.param(_wants("a", 9), True, id="waiting"),
        pytest.param(_wants("a", 9).after(OVER, retry_after=NOW + 5), True, id="backing off"),
        pytest.param(_wants("a", 2).placed(created=True).with_pods(a_pod(0), a_pod(1)), False, id="running"),
        pytest.param(_wants("a", 2).placed().ended(succeeded=True, at=0), False, id="finished"),
        pytest.param(_wants("a", 2).placed().ended(succeeded=True, at=0).but(ttl=NOW + 1), False, id="to be removed"),
        pytest.param(_wants("a", 2).placed().ended(succeeded=True, at=0).but(ttl=NOW), True, id="to be removed now"),
    ],
)
def test_who_is_looked_at_without_having_changed(job: JobBuilder, looked_at: bool) -> None:
    """Who waits for devices, and whose time has come."""
    assert bool(_plan(job, touched=frozenset()).decisions) is looked_at
    assert _plan(job, touched=frozenset({job.built.key})).decisions


def test_the_next_wake_is_the_first_that_anybody_needs() -> None:
    """The earliest end of a back-off or of a time to live; jobs that are busy or going need none."""
    backing_off = _wants("a", 2).after(OVER, retry_after=NOW + 20)
    finished = _wants("b", 2).placed().ended(succeeded=True, at=NOW - 10)
    assert _plan(backing_off, finished.but(ttl=15)).wake_at == NOW + 5
    assert _plan(backing_off, finished.but(ttl=40)).wake_at == NOW + 20
    assert _plan(finished.but(ttl=5, busy=True), finished.named("c").but(ttl=15, deleting=True)).wake_at is None


def test_a_plan_lists_steps_by_name_then_admissions_and_refusals_in_order() -> None:
    """So that the same facts read the same, however they came in."""
    jobs: list[Job] = [
        _wants("z", 2, suspended=True).built,
        _wants("y", 9, priority=5).built,
        _wants("x", 1).built,
        _wants("w", 1, priority=1).built,
        _wants("v", 2, suspended=True).built,
    ]
    plan = cycle(Snapshot(tuple(jobs), by_name(drawn(ROOM_FOR_FOUR))), NOW)
    assert [decision.key.name for decision in plan.decisions] == ["v", "z", "w", "x", "y"]

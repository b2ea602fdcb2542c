"""`spec.maxDuration`: time held counts over all attempts, nothing sets it back, and when it is over the job fails."""

from dataclasses import replace

import pytest

from berth.core import explain
from berth.core.lifecycle import KEPT_ATTEMPTS, advance, due
from berth.core.model import Attempt, Cause, Outcome, Phase
from berth.core.plan import Decision, Reason, State, Verb
from tests.builders import JobBuilder, a_job, a_pod

NOW = 1_000
RUNNING = (a_pod(0), a_pod(1))
UP = a_job().placed(at=900, created=True).recorded(started_at=950).with_pods(*RUNNING)
OVER = Attempt(1, 100, 400, Cause.PODS_LOST)


def _next(job: JobBuilder, now: int = NOW) -> Decision:
    decision = advance(job.built, now)
    assert decision is not None
    return decision


@pytest.mark.parametrize(
    ("limit", "held", "stopped"),
    [
        pytest.param(101, 0, False, id="one second is left"),
        pytest.param(100, 0, True, id="the time is over"),
        pytest.param(400, 300, True, id="attempts before this one count"),
        pytest.param(401, 300, False, id="and only once"),
        pytest.param(None, 10**9, False, id="without a limit nothing counts"),
    ],
)
def test_a_gang_is_stopped_when_it_has_held_devices_for_as_long_as_it_may(
    limit: int | None, held: int, stopped: bool
) -> None:
    """Not a second before; the reason is on record before a pod is deleted."""
    decision = _next(UP.but(max_duration=limit).recorded(held=held))
    ending = decision.record.ending
    assert (ending is not None and ending.cause is Cause.TIME_LIMIT) == stopped
    assert bool(decision.delete) == stopped


def test_the_cycle_wakes_for_the_moment() -> None:
    """As nothing else may change until then; afterwards the ending is on record, and nothing is waited for."""
    job = UP.but(max_duration=400).recorded(held=120)
    assert due(job.built, NOW) == 900 + 400 - 120
    assert due(job.built, 5_000) == 5_000
    assert due(job.ending(Cause.TIME_LIMIT, "it is over").built, NOW) is None
    assert due(UP.built, NOW) is None


def test_what_succeeds_or_fails_at_that_moment_has_succeeded_or_failed() -> None:
    """A replica that has ended says more than the clock."""
    late = UP.but(max_duration=100)
    assert _next(late.with_pods(a_pod(0, Phase.SUCCEEDED), a_pod(1, Phase.SUCCEEDED))).report.state is State.SUCCEEDED
    failed = _next(late.with_pods(a_pod(0, Phase.FAILED, exit_code=1), a_pod(1))).record.ending
    assert failed is not None
    assert failed.cause is Cause.OWN_FAILURE


@pytest.mark.parametrize(
    ("attempt", "held", "message"),
    [
        pytest.param(1, 0, "held devices for 1m40s, spec.maxDuration is 1m30s", id="in its first attempt"),
        pytest.param(3, 7200, "held devices for 2h1m40s over 3 attempts, spec.maxDuration is 1m30s", id="in its third"),
    ],
)
def test_the_job_ends_as_failed_with_the_numbers(attempt: int, held: int, message: str) -> None:
    """Finished, Failed, MaxDurationExceeded; the attempt is kept with its cause and no failure is charged."""
    stopping = UP.placed(at=900, attempt=attempt, created=True).recorded(held=held).but(max_duration=90)
    decision = _next(stopping.ending(Cause.TIME_LIMIT, "it is over", 990).with_pods())
    assert decision.verb is Verb.FINISH
    assert decision.record.outcome == Outcome(False, NOW, message, out_of_time=True)
    assert decision.record.attempts == (Attempt(attempt, 900, 990, Cause.TIME_LIMIT),)
    assert decision.record.failures == 0
    finished = decision.report.conditions[-1]
    assert (finished.type, finished.status, finished.reason) == ("Finished", True, Reason.MAX_DURATION_EXCEEDED)
    assert (decision.report.state, finished.message) == (State.FAILED, message)
    assert decision.event is not None
    assert decision.event.warning


@pytest.mark.parametrize("limit", [None, 500])
def test_a_job_that_is_given_more_time_while_it_is_stopped_goes_on(limit: int | None) -> None:
    """What counts is the limit that stands when its devices are given back."""
    decision = _next(UP.but(max_duration=limit).ending(Cause.TIME_LIMIT, "it is over", 990).with_pods())
    assert (decision.verb, decision.record.outcome) == (Verb.CLOSE, None)


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause is not Cause.TIME_LIMIT])
def test_nothing_sets_the_count_back(cause: Cause) -> None:
    """Time counts from the admission until the last pod is gone, whatever ended the attempt."""
    decision = _next(UP.recorded(held=7).ending(cause, "it ends", 990).with_pods(), now=1_010)
    assert decision.record.held == 7 + 110


def test_time_held_outlives_the_list_of_attempts() -> None:
    """The list is bounded; the sum is not taken from it."""
    job = UP
    for attempt in range(1, KEPT_ATTEMPTS + 4):
        job = job.placed(at=900, attempt=attempt, created=True).ending(Cause.EDITED, "edited", 990).with_pods()
        job = job.but(record=_next(job).record)
    assert len(job.built.record.attempts) == KEPT_ATTEMPTS
    assert job.built.record.held == (KEPT_ATTEMPTS + 3) * 100


def test_a_job_whose_time_was_used_up_by_a_lost_attempt_is_not_started_again() -> None:
    """It ends as soon as it wants devices; while it is suspended its owner may still allow it more."""
    used_up = a_job().after(OVER).recorded(held=300).but(max_duration=300)
    assert _next(used_up).verb is Verb.FINISH
    assert _next(used_up.but(suspended=True)).report.state is State.SUSPENDED
    assert advance(replace(used_up.built, max_duration=301), NOW) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (45, "45s"), (60, "1m"), (5400, "1h30m"), (259_200, "72h"), (3661, "1h1m1s")]
)
def test_durations_are_written_as_go_does(seconds: int, text: str) -> None:
    """Without units that are zero."""
    assert explain.span(seconds) == text

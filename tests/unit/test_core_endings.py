"""How attempts end: why, what is kept of them, and how long the next one waits."""

from dataclasses import replace

import pytest

from berth.core.lifecycle import advance, due
from berth.core.model import Attempt, Cause, FirstFailure, NodeTrouble, Phase, Pod, Record, Trouble
from berth.core.plan import Decision, State, Verb
from tests.builders import JobBuilder, a_gang, a_job, a_pod

NOW = 1_000
RUNNING = (a_pod(0), a_pod(1))
STARTING = (a_pod(0, Phase.PENDING), a_pod(1))
FAILED = a_pod(0, Phase.FAILED, exit_code=1, finished_at=990, message="CUDA error")
TAKEN = a_pod(0, Phase.FAILED, exit_code=137, disrupted=True, message="Preempted")
OVER = Attempt(1, 900, 960, Cause.OWN_FAILURE)
JOB = a_job()
PLACED = JOB.placed(at=900)
UP = PLACED.placed(at=900, created=True).recorded(started_at=950)
STOPPING = UP.ending(Cause.PODS_LOST, "pod train-1-0 vanished", 990)
ENDED = UP.ended(succeeded=True, at=900)


def _next(job: JobBuilder) -> Decision:
    decision = advance(job.built, NOW)
    assert decision is not None
    return decision


def test_what_was_seen_goes_on_record() -> None:
    """Once all pods were there it is on record, and once all were ready, too: later, a missing one is a lost one."""
    seen = _next(PLACED.with_pods(*STARTING)).record
    assert seen.placement is not None
    assert (seen.placement.pods_created, seen.started_at) == (True, None)
    assert _next(PLACED.with_pods(*RUNNING)).record.started_at == NOW
    assert _next(UP.with_pods(*RUNNING)).record.started_at == 950


@pytest.mark.parametrize(
    ("pods", "cause", "message"),
    [
        pytest.param(
            (FAILED, a_pod(1)),
            Cause.OWN_FAILURE,
            "replica 0 failed on node n0 with exit code 1",
            id="a container failed",
        ),
        pytest.param(
            (replace(FAILED, exit_code=None, node=""), a_pod(1)),
            Cause.OWN_FAILURE,
            "replica 0 failed before it had a node",
            id="without node and exit code",
        ),
        pytest.param(
            (TAKEN, a_pod(1)), Cause.PODS_LOST, "replica 0 was taken away on node n0: Preempted", id="it was preempted"
        ),
        pytest.param(
            (replace(FAILED, finished_at=980), replace(TAKEN, rank=1, node="n1", finished_at=985, message="")),
            Cause.PODS_LOST,
            "replica 1 was taken away on node n1",
            id="one failed because another was preempted",
        ),
        pytest.param(
            (replace(FAILED, exit_code=143, deleting=True), a_pod(1)),
            Cause.PODS_LOST,
            "somebody else deleted pod train-1-0",
            id="deleted, and it has answered SIGTERM",
        ),
        pytest.param(
            (FAILED, a_pod(1, deleting=True)),
            Cause.PODS_LOST,
            "somebody else deleted pod train-1-1",
            id="one failed because another was deleted",
        ),
        pytest.param((a_pod(1),), Cause.PODS_LOST, "pod train-1-0 vanished", id="one vanished"),
        pytest.param(
            (a_pod(1, deleting=True), a_pod(0, deleting=True)),
            Cause.PODS_LOST,
            "somebody else deleted pods train-1-0, train-1-1",
            id="in rank order",
        ),
    ],
)
def test_why_an_attempt_ends(pods: tuple[Pod, ...], cause: Cause, message: str) -> None:
    """Only what a job does by itself is its own failure; the sentence names replica, node and exit code."""
    record = _next(UP.with_pods(*pods)).record
    ending = record.ending or record.attempts[-1]
    assert ending.cause == cause
    if record.ending is not None:
        assert record.ending.message == message
        assert record.ending.at == NOW


DONE = a_pod(0, Phase.SUCCEEDED)


def _with_rank_0_done(job: JobBuilder) -> JobBuilder:
    placement = job.built.record.placement
    assert placement is not None
    return job.recorded(placement=replace(placement, succeeded=(0,)))


def test_a_replica_that_succeeded_goes_on_record_and_its_pod_may_go() -> None:
    """Its work is done: the others run on, whether a user, a pod garbage collector or its node takes the pod away."""
    job = UP.with_pods(DONE, a_pod(1))
    seen = _next(job)
    assert seen.record.placement is not None
    assert (seen.verb, seen.record.placement.succeeded) == (Verb.REPORT, (0,))
    job = job.but(record=seen.record)
    for later in (
        job.with_pods(a_pod(1)),
        job.with_pods(replace(DONE, deleting=True), a_pod(1)),
        job.with_pods(a_pod(1)).but(troubles=(NodeTrouble("n0", Trouble.GONE),)),
    ):
        decision = _next(later)
        assert (decision.verb, decision.record, decision.create) == (Verb.REPORT, seen.record, ())
        assert decision.report.state is State.RUNNING
        assert due(later.built, NOW) is None


def test_a_gang_succeeds_though_some_of_its_pods_are_only_on_record() -> None:
    """Whichever is left, or none at all."""
    job = _with_rank_0_done(UP)
    decision = _next(job.with_pods(a_pod(1, Phase.SUCCEEDED)))
    assert (decision.verb, decision.event and decision.event.note) == (
        Verb.FINISH,
        "2 replicas succeeded in attempt 1",
    )
    assert _next(job.recorded(placement=decision.record.placement).with_pods()).verb is Verb.FINISH


def test_a_success_on_record_does_not_hide_what_is_lost() -> None:
    """Another pod that vanishes ends the attempt, and the next one starts whole; until then nothing is kept of it."""
    job = a_job("train", a_gang(3)).placed(at=900, created=True).recorded(started_at=950)
    job = _with_rank_0_done(job)
    record = _next(job.with_pods(a_pod(2))).record
    assert record.ending is not None
    assert record.ending.message == "pod train-1-1 vanished"
    assert record.placement is not None
    assert record.placement.succeeded == ()
    (over,) = _next(job.with_pods()).record.attempts
    assert over.cause == Cause.PODS_LOST


def test_a_replica_that_is_done_before_the_last_pod_was_made_is_not_made_again() -> None:
    """Nor is it late."""
    job = _with_rank_0_done(PLACED.but(start_deadline=100))
    assert _next(job.but(start_deadline=None)).create == (1,)
    record = _next(job).record
    assert record.attempts[-1].cause == Cause.START_DEADLINE
    assert [refusal.nodes for refusal in record.refusals] == [frozenset({"n1"})]


def test_a_pod_that_lands_late_for_a_replica_that_is_done_is_deleted() -> None:
    """A creation that was sent twice may land when the first pod has come and gone."""
    job = _with_rank_0_done(UP)
    decision = _next(job.with_pods(a_pod(0, Phase.PENDING), a_pod(1)))
    assert (decision.verb, [name for name, _ in decision.delete]) == (Verb.STOP, ["train-1-0"])
    assert decision.record.ending is None


def test_of_many_vanished_pods_the_first_are_named() -> None:
    """Five hundred names help nobody."""
    decision = _next(a_job("train", a_gang(6)).placed(created=True).with_pods(a_pod(2)))
    assert decision.record.ending is not None
    assert decision.record.ending.message == "pods train-1-0, train-1-1, train-1-3 and 2 more vanished"


def test_the_first_failure_is_kept() -> None:
    """Survivors fail after it, and only because of it: what it said is in the ending, and then in the attempt."""
    late = a_pod(1, Phase.FAILED, exit_code=134, finished_at=995, message="NCCL timeout")
    record = _next(UP.with_pods(late, FAILED)).record
    assert record.attempts[-1].first_failure == FirstFailure(0, "n0", 1, "CUDA error")
    assert record.attempts == (
        Attempt(1, 900, NOW, Cause.OWN_FAILURE, FirstFailure(0, "n0", 1, "CUDA error"), ("n0", "n1")),
    )


def test_only_the_last_five_attempts_are_kept() -> None:
    """The sixth pushes out the first."""
    former = tuple(Attempt(n, 0, 1, Cause.PODS_LOST) for n in range(1, 6))
    record = _next(STOPPING.recorded(attempt=6, attempts=former)).record
    assert [attempt.attempt for attempt in record.attempts] == [2, 3, 4, 5, 6]


def test_a_closed_attempt_leaves_nothing_behind_but_its_memory() -> None:
    """Attempt number, failures and the attempts stay; devices, start and ending go."""
    record = _next(STOPPING.recorded(failures=2)).record
    over = Attempt(1, 900, 990, Cause.PODS_LOST)
    assert record == Record(attempt=1, failures=2, held=100, attempts=(over,))


@pytest.mark.parametrize(
    ("cause", "admitted", "failures", "wait"),
    [
        pytest.param(Cause.OWN_FAILURE, 0, 0, 10, id="after the first failure"),
        pytest.param(Cause.OWN_FAILURE, 0, 1, 20, id="after the second"),
        pytest.param(Cause.OWN_FAILURE, 0, 5, 320, id="after the sixth"),
        pytest.param(Cause.OWN_FAILURE, 0, 6, 600, id="ten minutes at most"),
        pytest.param(Cause.OWN_FAILURE, 0, 99, 600, id="however often"),
        pytest.param(Cause.PODS_LOST, 931, 0, 10, id="lost within a minute: a moment's pause"),
        pytest.param(Cause.PODS_LOST, 930, 0, None, id="lost later: at once"),
        pytest.param(Cause.SUSPENDED, 989, 0, None, id="resumed: at once"),
        pytest.param(Cause.EDITED, 989, 0, None, id="edited: at once"),
        pytest.param(Cause.PODS_REFUSED, 0, 0, 10, id="refused by the API server: as after a failure"),
    ],
)
def test_the_wait_before_the_next_attempt(cause: Cause, admitted: int, failures: int, wait: int | None) -> None:
    """Doubling after own failures; a pause after a short attempt; else none."""
    job = JOB.placed(at=admitted, created=True).recorded(failures=failures).ending(cause, "why", 990)
    record = _next(job.but(backoff_limit=100)).record
    assert record.retry_after == (None if wait is None else 990 + wait)


def test_what_is_refused_again_and_again_is_tried_ever_more_seldom() -> None:
    """Every attempt that the API server refused doubles the wait before the next."""
    refused = tuple(Attempt(n, 0, 1, Cause.PODS_REFUSED) for n in range(1, 4))
    job = JOB.placed(attempt=4).recorded(attempts=refused).ending(Cause.PODS_REFUSED, "exceeded quota: team", 990)
    assert _next(job).record.retry_after == 990 + 80


@pytest.mark.parametrize(
    ("job", "at"),
    [
        pytest.param(JOB, None, id="a new job"),
        pytest.param(JOB.after(OVER, retry_after=NOW + 1), NOW + 1, id="backing off"),
        pytest.param(JOB.after(OVER, retry_after=NOW), None, id="backed off"),
        pytest.param(UP, None, id="running"),
        pytest.param(ENDED, None, id="finished, to stay"),
        pytest.param(ENDED.but(ttl=200), NOW + 100, id="finished, to be removed"),
        pytest.param(ENDED.but(ttl=5), NOW, id="to be removed long since"),
    ],
)
def test_when_time_alone_changes_something(job: JobBuilder, at: int | None) -> None:
    """The end of a back-off, and of a time to live."""
    assert due(job.built, NOW) == at

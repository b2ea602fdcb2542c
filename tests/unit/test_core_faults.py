"""Faults of gangs: whose fault an ending was, what is waited for, and where a job does not go again."""

from dataclasses import replace
from typing import Any

import pytest

from berth.core.charges import review
from berth.core.cycle import Snapshot, cycle
from berth.core.faults import MOST_REFUSED, Waits, avoiding, stopped, told
from berth.core.lifecycle import advance, due
from berth.core.model import Attempt, Cause, FirstFailure, NodeTrouble, Phase, Pod, Record, Refusal, Trouble
from berth.core.plan import Decision, Reason, Verb
from tests.builders import JobBuilder, a_gang, a_job, a_pod, by_name, drawn

NOW = 1_000
WAITS = Waits()
FAILED = a_pod(0, Phase.FAILED, exit_code=1, finished_at=990, message="CUDA error")
FIRST = FirstFailure(0, "n0", 1, "CUDA error")
UP = a_job().placed(at=100, created=True).recorded(started_at=150)
RUNNING = (a_pod(0), a_pod(1))


def gone(node: str) -> NodeTrouble:
    return NodeTrouble(node, Trouble.GONE)


def out_of_service(node: str) -> NodeTrouble:
    return NodeTrouble(node, Trouble.OUT_OF_SERVICE)


def unready(node: str, since: int) -> NodeTrouble:
    return NodeTrouble(node, Trouble.NOT_READY, since)


def _next(job: JobBuilder, now: int = NOW) -> Decision:
    decision = advance(job.built, now)
    assert decision is not None
    return decision


# Why an attempt stops


@pytest.mark.parametrize(
    ("trouble", "pods", "cause", "message"),
    [
        pytest.param(gone("n1"), RUNNING, Cause.NODE_FAILURE, "node n1 is gone", id="its object is gone"),
        pytest.param(
            out_of_service("n1"), RUNNING, Cause.NODE_FAILURE, "node n1 is out of service", id="out of service"
        ),
        pytest.param(
            unready("n1", NOW - 20), RUNNING, Cause.NODE_FAILURE, "node n1 is not ready", id="not ready for 20 s"
        ),
        pytest.param(unready("n1", NOW - 19), RUNNING, None, "", id="not ready for 19 s"),
        pytest.param(unready("n1", NOW + 60), RUNNING, None, "", id="not ready since later, by another clock"),
        pytest.param(gone("n7"), RUNNING, None, "", id="another node"),
        pytest.param(
            gone("n1"),
            (a_pod(0), a_pod(1, Phase.SUCCEEDED)),
            None,
            "",
            id="a node whose replica is done",
        ),
        pytest.param(
            unready("n1", NOW - 1),
            (FAILED, a_pod(1)),
            Cause.NODE_FAILURE,
            "node n1 is not ready; replica 0 failed on node n0 with exit code 1",
            id="a survivor failed, and a node has just turned",
        ),
        pytest.param(
            unready("n1", NOW - 1),
            (a_pod(0), a_pod(1, deleting=True)),
            Cause.NODE_FAILURE,
            "node n1 is not ready",
            id="its pod is being taken away already",
        ),
        pytest.param(
            unready("n1", NOW - 1), (a_pod(0),), Cause.NODE_FAILURE, "node n1 is not ready", id="its pod has vanished"
        ),
        pytest.param(
            None,
            (FAILED, a_pod(1)),
            Cause.OWN_FAILURE,
            "replica 0 failed on node n0 with exit code 1",
            id="all nodes are well: its own failure",
        ),
    ],
)
def test_whose_fault_it_is(
    trouble: NodeTrouble | None, pods: tuple[Pod, ...], cause: Cause | None, message: str
) -> None:
    """A bad node takes the blame; one that is not ready gets a grace, unless pods of the gang suffer already."""
    job = UP.but(troubles=(trouble,) if trouble else ()).built
    record = stopped(job, {pod.rank: pod for pod in pods}, NOW, WAITS)
    if cause is None:
        assert record is None
        return
    assert record is not None
    assert record.ending is not None
    assert (record.ending.cause, record.ending.message) == (cause, message)


def test_a_suspended_gang_on_a_lost_node_has_lost_its_node() -> None:
    """So that nobody waits for its pod for ever."""
    decision = _next(UP.but(suspended=True, troubles=(gone("n1"),)).with_pods(*RUNNING))
    assert decision.record.ending is not None
    assert decision.record.ending.cause is Cause.NODE_FAILURE


def test_many_lost_nodes_are_told_by_kind() -> None:
    """The first three of each."""
    troubles = [gone(f"n{number}") for number in range(5)] + [unready("x", 1), out_of_service("y")]
    assert told(troubles) == "nodes n0, n1, n2 and 2 more are gone and node x is not ready and node y is out of service"


# Charges


def _after_failure(**facts: Any) -> JobBuilder:
    over = Attempt(1, 100, 950, Cause.OWN_FAILURE, FIRST, ("n0", "n1"))
    return a_job().after(over, failures=1, retry_after=NOW + 100).but(**facts)


@pytest.mark.parametrize(
    ("trouble", "now", "taken_back"),
    [
        pytest.param(unready("n1", 1_040), 1_041, True, id="a node turns within 90 s"),
        pytest.param(unready("n1", 1_041), 1_041, False, id="a node turns later"),
        pytest.param(unready("n1", 1_030), 9_999, True, id="seen late, after a restart"),
        pytest.param(gone("n0"), 1_040, True, id="gone within 90 s"),
        pytest.param(gone("n0"), 1_041, False, id="gone later"),
        pytest.param(gone("n5"), NOW, False, id="a node of somebody else"),
    ],
)
def test_a_charge_is_taken_back_if_a_node_turns_out_to_be_bad(trouble: NodeTrouble, now: int, taken_back: bool) -> None:
    """Then the attempt ended for the node's sake, and nothing has to be waited for."""
    job = _after_failure(troubles=(trouble,)).built
    found = review(job, now, WAITS)
    assert (found is not None) == taken_back
    if found is not None:
        record, news = found
        assert (record.failures, record.retry_after) == (0, None)
        assert record.attempts == (Attempt(1, 100, 950, Cause.NODE_FAILURE, FIRST),)
        assert news == f"the failure of attempt 1 is not charged: {told([trouble])}"


def test_what_was_taken_back_is_told_and_written_at_once() -> None:
    """And once only: the next look finds nothing to take back, and the job wants devices."""
    job = _after_failure(troubles=(gone("n1"),))
    decision = _next(job)
    assert (decision.verb, decision.record.failures) == (Verb.REPORT, 0)
    assert decision.event is not None
    assert decision.event.reason == "NotCharged"
    assert advance(job.but(record=decision.record).built, NOW) is None


def test_a_charge_is_taken_back_while_the_next_attempt_runs() -> None:
    """Which goes on: it does not sit on the bad node."""
    over = _after_failure().built.record.attempts
    job = UP.placed("n4", "n5", at=960, attempt=2, created=True).recorded(started_at=970, failures=1, attempts=over)
    pods = [replace(a_pod(rank, attempt=2), node=f"n{rank + 4}") for rank in (0, 1)]
    decision = _next(job.but(troubles=(gone("n1"),)).with_pods(*pods))
    assert (decision.verb, decision.record.failures) == (Verb.REPORT, 0)
    assert decision.record.placement == job.built.record.placement


def test_news_of_a_charge_are_not_lost_in_other_news() -> None:
    """One event says both."""
    over = _after_failure().built.record.attempts
    job = a_job().placed("n4", "n5", at=960, attempt=2, created=True).recorded(failures=1, attempts=over)
    pods = [replace(a_pod(rank, attempt=2), node=f"n{rank + 4}") for rank in (0, 1)]
    decision = _next(job.but(troubles=(gone("n1"),)).with_pods(*pods))
    assert decision.event is not None
    assert decision.event.reason == "Started"
    assert decision.event.note.endswith("; the failure of attempt 1 is not charged: node n1 is gone")


def test_an_ending_that_is_under_way_changes_its_cause() -> None:
    """The survivors are still being stopped when the node turns out to be lost: no charge, no back-off."""
    job = UP.ending(Cause.OWN_FAILURE, "replica 0 failed", 950).but(troubles=(gone("n1"),))
    decision = _next(job)
    (over,) = decision.record.attempts
    assert (decision.verb, over.cause, decision.record.failures) == (Verb.CLOSE, Cause.NODE_FAILURE, 0)
    assert decision.record.retry_after is None
    assert decision.event is not None
    assert decision.event.note == "attempt 1 is over: replica 0 failed; not charged: node n1 is gone"


def test_only_the_last_attempt_remembers_its_nodes_and_only_if_it_was_charged() -> None:
    """A status has to stay small."""
    job = UP.recorded(attempts=_after_failure().built.record.attempts, attempt=2)
    pods = (a_pod(0, Phase.FAILED, attempt=2), a_pod(1, Phase.SUCCEEDED, attempt=2))
    assert [attempt.nodes for attempt in _next(job.with_pods(*pods)).record.attempts] == [(), ("n0", "n1")]
    lost = job.ending(Cause.PODS_LOST, "vanished", 990)
    assert [attempt.nodes for attempt in _next(lost).record.attempts] == [(), ()]


@pytest.mark.parametrize(("nodes", "seconds"), [(1500, 10), (1501, 90)])
def test_a_gang_on_very_many_nodes_starts_again_once_its_charge_is_final(nodes: int, seconds: int) -> None:
    """The nodes of two attempts would make its status too large, and starting it takes longer than that."""
    job = a_job(gang=a_gang(nodes)).placed(*(f"n{number}" for number in range(nodes)), created=True)
    record = _next(job.ending(Cause.OWN_FAILURE, "replica 0 failed", 990)).record
    assert record.retry_after == 990 + seconds


@pytest.mark.parametrize(("now", "nodes"), [(1_039, ("n0", "n1")), (1_040, ())])
def test_the_nodes_of_a_failed_attempt_are_kept_until_its_charge_is_final(now: int, nodes: tuple[str, ...]) -> None:
    """The next admission drops them after that."""
    job = _after_failure().recorded(retry_after=None).but(gang=a_gang(1))
    (decision,) = cycle(Snapshot((job.built,), by_name(drawn("s0\n  l0 8"))), now).decisions
    assert (decision.verb, decision.record.attempts[-1].nodes) == (Verb.ADMIT, nodes)


def test_the_last_allowed_failure_waits_and_says_until_when() -> None:
    """With the failure in the sentence; a node that is lost meanwhile saves the job."""
    job = _after_failure(backoff_limit=0)
    decision = _next(job)
    assert decision.report.pending is not None
    assert decision.report.pending.reason is Reason.CHARGE_PENDING
    assert decision.report.pending.message == (
        "replica 0 failed on node n0 with exit code 1; 1 failure, spec.backoffLimit is 0; "
        "Failed at 1970-01-01T00:17:20Z, unless a node of attempt 1 is lost until then"
    )
    assert due(job.built, NOW) == 1_040
    assert _next(job, 1_040).verb is Verb.FINISH
    saved = advance(job.but(troubles=(unready("n1", 1_000),)).built, 1_040)
    assert saved is not None
    assert saved.record.failures == 0


def test_a_job_that_has_failed_for_good_stays_so() -> None:
    """Whatever becomes of its nodes."""
    job = _after_failure(troubles=(gone("n1"),)).ended(succeeded=False, at=990)
    assert review(job.built, NOW, WAITS) is None


# Pods that nobody can confirm gone


@pytest.mark.parametrize(
    ("troubles", "ended_at", "verb"),
    [
        pytest.param((), 0, Verb.REPORT, id="on a good node: waited for, however long"),
        pytest.param((unready("n1", 600),), NOW - 299, Verb.REPORT, id="without contact: for 5 m"),
        pytest.param((unready("n1", 600),), NOW - 300, Verb.CLOSE, id="and no longer"),
        pytest.param((gone("n1"),), NOW - 1, Verb.CLOSE, id="its node is gone: at once"),
        pytest.param((out_of_service("n1"),), NOW - 1, Verb.CLOSE, id="out of service: at once"),
        pytest.param((gone("n0"),), NOW - 1, Verb.REPORT, id="another node is gone"),
    ],
)
def test_how_long_a_pod_that_does_not_go_is_waited_for(
    troubles: tuple[NodeTrouble, ...], ended_at: int, verb: Verb
) -> None:
    """It may still write to the same volume: but not from a machine that is known to be off, and not for ever."""
    job = UP.ending(Cause.SUSPENDED, "spec.suspend is true", ended_at).but(troubles=troubles)
    job = job.with_pods(a_pod(1, deleting=True))
    decision = _next(job)
    assert decision.verb is verb
    if troubles == (unready("n1", 600),) and verb is Verb.REPORT:
        (text,) = {c.message for c in decision.report.conditions if c.message}
        assert text.endswith(
            "; pod train-1-1 on node n1 cannot be confirmed gone, waited for until 1970-01-01T00:16:41Z"
        )
    waited = any(trouble.kind is Trouble.NOT_READY for trouble in troubles)
    assert due(job.built, NOW) == (max(NOW, ended_at + 300) if waited else None)


def test_a_pod_that_was_not_asked_to_go_is_not_given_up() -> None:
    """It is deleted first, also on a node that is gone, so that nothing of it stays."""
    job = UP.ending(Cause.NODE_FAILURE, "node n1 is gone", NOW).but(troubles=(gone("n1"),))
    decision = _next(job.with_pods(a_pod(1)))
    assert (decision.verb, [name for name, _ in decision.delete]) == (Verb.STOP, ["train-1-1"])


# Replicas that do not come up


SLOW = a_job().placed(at=100, created=True).but(start_deadline=900)
STUCK = a_pod(1, Phase.PENDING, waiting="container trainer: ErrImagePull: not found")


@pytest.mark.parametrize(
    ("pods", "message", "nodes"),
    [
        pytest.param(
            (a_pod(0), STUCK),
            "1 of 2 replicas not running 15m after admission: replica 1 on node n1: "
            "container trainer: ErrImagePull: not found",
            {"n1"},
            id="the kubelet says why",
        ),
        pytest.param(
            (a_pod(0, Phase.PENDING), STUCK),
            "2 of 2 replicas not running 15m after admission: replica 0 on node n0: no kubelet has reported",
            {"n0", "n1"},
            id="the first by rank is told, all are refused",
        ),
        pytest.param(
            (a_pod(0, Phase.PENDING, node=""), a_pod(1)),
            "1 of 2 replicas not running 15m after admission: replica 0 on node n0: "
            "kube-scheduler has not said anything",
            {"n0"},
            id="nobody has bound it",
        ),
        pytest.param(
            (a_pod(0, ready=False), STUCK),
            "1 of 2 replicas not running 15m after admission: replica 1 on node n1: "
            "container trainer: ErrImagePull: not found",
            {"n1"},
            id="one that runs has come up",
        ),
        pytest.param(
            (a_pod(0, Phase.SUCCEEDED),),
            "1 of 2 replicas not running 15m after admission: replica 1 on node n1: its pod is not there",
            {"n1"},
            id="its pod could not be made",
        ),
    ],
)
def test_what_does_not_come_up_in_time_is_taken_back(pods: tuple[Pod, ...], message: str, nodes: set[str]) -> None:
    """Whole, with the first replica, its node and the reason; those nodes are avoided for 10 m."""
    job = SLOW.placed(at=100).but(start_deadline=900).built
    record = stopped(job, {pod.rank: pod for pod in pods}, NOW, WAITS)
    assert record is not None
    assert record.ending is not None
    assert (record.ending.cause, record.ending.message) == (Cause.START_DEADLINE, message)
    assert record.refusals == (Refusal(frozenset(nodes), NOW + 600, 1),)


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(SLOW.with_pods(a_pod(0), STUCK).but(start_deadline=901), id="not yet"),
        pytest.param(SLOW.with_pods(a_pod(0), STUCK).but(start_deadline=None), id="however long it takes"),
        pytest.param(SLOW.with_pods(a_pod(0), STUCK).recorded(started_at=200), id="it was up once"),
        pytest.param(SLOW.with_pods(*RUNNING), id="just in time"),
        pytest.param(SLOW.with_pods(a_pod(0), a_pod(1, ready=False)), id="all run, and one is unready just now"),
        pytest.param(SLOW.with_pods(a_pod(0), a_pod(1, Phase.UNKNOWN)), id="one ran and is out of sight"),
    ],
)
def test_who_is_not_late(job: JobBuilder) -> None:
    """Before the deadline, or once all replicas have come up, whether or not anybody saw them all ready at once."""
    assert _next(job).record.ending is None


def test_a_replica_that_kube_scheduler_keeps_off_its_node_is_not_waited_for_long() -> None:
    """Something is there of which Berth knows nothing, and will be at the next try."""
    said = a_pod(1, Phase.PENDING, node="", waiting="Unschedulable: 0/9 nodes are available", unschedulable_since=940)
    job = UP.recorded(started_at=None).with_pods(a_pod(0), said)
    assert due(job.built, 990) == 1_000
    decision = _next(job)
    assert decision.record.ending is not None
    assert decision.record.ending.message == (
        "kube-scheduler keeps replica 1 off node n1 for 1m: Unschedulable: 0/9 nodes are available"
    )
    assert [refusal.nodes for refusal in decision.record.refusals] == [frozenset({"n1"})]
    assert advance(job.built, 999) is not None
    assert _next(job, 999).record.ending is None


REFUSED = "UnexpectedAdmissionError: Allocate failed due to no healthy devices present"
TURNED_AWAY = a_pod(1, Phase.FAILED, message="Allocate failed", turned_away=REFUSED)


@pytest.mark.parametrize(
    "others",
    [
        pytest.param((a_pod(0),), id="the other runs"),
        pytest.param((FAILED,), id="the other failed for it"),
        pytest.param((a_pod(0, deleting=True),), id="the other is being deleted"),
        pytest.param((), id="the other vanished"),
    ],
)
def test_what_a_node_turns_away_is_not_charged_and_does_not_go_there_again(others: tuple[Pod, ...]) -> None:
    """Its kubelet has no device for it, say, of which Berth knows nothing: the node's words are told."""
    decision = _next(UP.with_pods(TURNED_AWAY, *others))
    ending = decision.record.ending or decision.record.attempts[-1]
    assert (ending.cause, decision.record.failures) == (Cause.START_DEADLINE, 0)
    assert decision.record.refusals == (Refusal(frozenset({"n1"}), NOW + 600, 1),)
    assert decision.event is not None
    assert decision.event.note.endswith(f"node n1 turned replica 1 away: {REFUSED}")


def test_a_node_that_is_lost_or_gives_way_to_another_pod_is_not_said_to_turn_away() -> None:
    """There the node, or whoever took the pod, is the cause."""
    record = _next(UP.but(troubles=(gone("n1"),)).with_pods(a_pod(0), TURNED_AWAY)).record
    assert record.ending is not None
    assert (record.ending.cause, record.refusals) == (Cause.NODE_FAILURE, ())
    record = _next(UP.with_pods(a_pod(0), replace(TURNED_AWAY, disrupted=True))).record
    assert record.ending is not None
    assert (record.ending.cause, record.refusals) == (Cause.PODS_LOST, ())


@pytest.mark.parametrize(("before", "seconds"), [(0, 600), (1, 1200), (2, 2400), (3, 3600), (4, 3600)])
def test_each_further_refusal_doubles_the_time_up_to_an_hour(before: int, seconds: int) -> None:
    """And the wait before the next attempt, as with pods that the API server refuses."""
    former = tuple(Attempt(number, 0, 1, Cause.START_DEADLINE) for number in range(1, before + 1))
    job = SLOW.recorded(attempts=former).with_pods(STUCK, a_pod(0))
    (refusal,) = _next(job).record.refusals
    assert refusal.until == NOW + seconds
    closed = _next(job.recorded(ending=_next(job).record.ending).with_pods())
    assert closed.record.retry_after == NOW + min(600, 10 << before)


def test_refusals_on_record_stay_few_and_small() -> None:
    """Those that are over go, then the oldest; of thousands of nodes the first are named."""
    old = tuple(Refusal(frozenset({f"n{number}"}), NOW + number, 1) for number in range(12))
    replicas = 2 * MOST_REFUSED
    job = SLOW.but(gang=a_gang(replicas)).placed(at=100).recorded(refusals=old)
    record = stopped(job.built, {}, NOW, WAITS)
    assert record is not None
    assert [refusal.until - NOW for refusal in record.refusals] == [5, 6, 7, 8, 9, 10, 11, 600]
    assert len(record.refusals[-1].nodes) == MOST_REFUSED


def test_a_job_avoids_what_refused_it_until_then_and_until_it_is_edited() -> None:
    """Others may go there."""
    refusal = Refusal(frozenset({"n0"}), NOW + 50, generation=1)
    job = a_job(gang=a_gang(1)).recorded(refusals=(refusal,))
    assert avoiding(job.built, NOW).gang.avoid == (refusal,)
    assert avoiding(job.built, NOW + 50).gang == job.built.gang
    assert avoiding(job.but(generation=2).built, NOW).gang == job.built.gang
    assert due(job.built, NOW) == NOW + 50

    one = cycle(Snapshot((job.built,), by_name(drawn("s0\n  l0 8"))), NOW)
    (decision,) = one.decisions
    assert decision.report.pending is not None
    assert decision.report.pending.message == (
        "needs 1 node; pool h800 has 0 (1 of 1 node: refused this job until 1970-01-01T00:17:30Z)"
    )
    assert one.wake_at == NOW + 50
    two = cycle(Snapshot((job.built, a_job("other", a_gang(1)).built), by_name(drawn("s0\n  l0 8"))), NOW)
    assert {d.key.name: d.verb for d in two.decisions} == {"train": Verb.REPORT, "other": Verb.ADMIT}


def test_an_admission_forgets_refusals_that_are_over() -> None:
    """And keeps the others, for the attempt after it."""
    refusals = (Refusal(frozenset({"n8"}), NOW, 1), Refusal(frozenset({"n9"}), NOW + 1, 1))
    job = a_job(gang=a_gang(1)).recorded(refusals=refusals)
    (decision,) = cycle(Snapshot((job.built,), by_name(drawn("s0\n  l0 8"))), NOW).decisions
    assert (decision.verb, decision.record.refusals) == (Verb.ADMIT, refusals[1:])


# Time


@pytest.mark.parametrize(
    ("job", "at"),
    [
        pytest.param(UP.but(troubles=(unready("n1", 990),)).with_pods(*RUNNING), 1_010, id="the end of a grace"),
        pytest.param(UP.but(troubles=(unready("n1", 900),)).with_pods(*RUNNING), NOW, id="a grace that is over"),
        pytest.param(UP.but(troubles=(unready("n7", 990),)).with_pods(*RUNNING), None, id="not of the gang"),
        pytest.param(SLOW.but(start_deadline=950), 1_050, id="the start deadline"),
        pytest.param(SLOW.but(start_deadline=950).recorded(started_at=9), None, id="of one that is up: none"),
    ],
)
def test_when_a_doubt_is_over(job: JobBuilder, at: int | None) -> None:
    """The cycle wakes for it, though nothing else changes."""
    assert due(job.built, NOW) == at


def test_shorter_waits_are_kept_to() -> None:
    """Settings may shorten them."""
    job = UP.but(troubles=(unready("n1", 995),)).with_pods(*RUNNING).built
    decision = advance(job, NOW, replace(WAITS, node_grace=5))
    assert decision is not None
    assert decision.record.ending is not None
    assert isinstance(decision.record, Record)

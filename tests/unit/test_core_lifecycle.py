"""One job, row by row: what is on record and which pods are there → the next step."""

from dataclasses import dataclass, replace

import pytest

from berth.core.lifecycle import advance, due, untried
from berth.core.model import Attempt, Cause, Phase
from berth.core.plan import Decision, Reason, State, Verb
from tests.builders import JobBuilder, a_job, a_pod

NOW = 1_000
RUNNING = (a_pod(0), a_pod(1))
STARTING = (a_pod(0, Phase.PENDING), a_pod(1))
DONE = (a_pod(0, Phase.SUCCEEDED), a_pod(1, Phase.SUCCEEDED))
FAILED = a_pod(0, Phase.FAILED, exit_code=1, finished_at=990, message="CUDA error")
TAKEN = a_pod(0, Phase.FAILED, exit_code=137, disrupted=True, message="Preempted")
OVER = Attempt(1, 900, 960, Cause.OWN_FAILURE)
JOB = a_job()
PLACED = JOB.placed(at=900)
UP = PLACED.placed(at=900, created=True).recorded(started_at=950)
STOPPING = UP.ending(Cause.PODS_LOST, "pod train-1-0 vanished", 990)
ENDED = UP.ended(succeeded=True, at=900)


@dataclass(frozen=True)
class Step:
    """What is expected: the verb, the state told, and of the rest what the row is about."""

    verb: Verb
    state: State
    create: tuple[int, ...] = ()
    delete: tuple[str, ...] = ()
    event: str | None = None
    reason: Reason | None = None

    @classmethod
    def of(cls, decision: Decision) -> "Step":
        pending = decision.report.pending
        return cls(
            verb=decision.verb,
            state=decision.report.state,
            create=decision.create,
            delete=tuple(name for name, _ in decision.delete),
            event=decision.event.reason if decision.event else None,
            reason=pending.reason if pending else None,
        )


def _stop(*names: str, state: State = State.REQUEUED, event: str | None = "Stopping") -> Step:
    reason = None if state is State.SUSPENDED else Reason.STOPPING
    return Step(Verb.STOP, state, delete=names, event=event, reason=reason)


ROWS = [
    # Without devices
    ("a new job wants devices", JOB, None),
    ("one that was suspended holds still", JOB.but(suspended=True), Step(Verb.REPORT, State.SUSPENDED)),
    (
        "one whose template is refused waits for an edit",
        JOB.held_back("TemplateRefused", "image: Required value: correct the template"),
        Step(Verb.REPORT, State.PENDING, reason=Reason.TEMPLATE_REFUSED),
    ),
    (
        "one that failed waits until its back-off is over",
        JOB.after(OVER, failures=1, retry_after=NOW + 1),
        Step(Verb.REPORT, State.REQUEUED, reason=Reason.BACK_OFF),
    ),
    ("and wants devices from then on", JOB.after(OVER, failures=1, retry_after=NOW), None),
    (
        "suspended while it backs off is suspended",
        JOB.after(OVER, failures=1, retry_after=NOW + 1).but(suspended=True),
        Step(Verb.REPORT, State.SUSPENDED),
    ),
    (
        "pods of an attempt that is over go first",
        JOB.after(OVER).with_pods(a_pod(1), a_pod(0, deleting=True)),
        _stop("train-1-1", event=None),
    ),
    ("pods of an attempt that is over may stay once they have ended", JOB.after(OVER).with_pods(*DONE), None),
    (
        "pods that somebody else deletes are waited for by nobody",
        JOB.after(OVER).with_pods(a_pod(0, deleting=True)),
        None,
    ),
    # Admitted
    ("a crash before the first pod: create them all", PLACED, Step(Verb.CREATE, State.STARTING, create=(0, 1))),
    (
        "a crash between pods: create what is missing",
        PLACED.with_pods(a_pod(1, Phase.PENDING)),
        Step(Verb.CREATE, State.STARTING, create=(0,)),
    ),
    ("all pods are there", PLACED.with_pods(*STARTING), Step(Verb.REPORT, State.STARTING)),
    ("all are ready", PLACED.with_pods(*RUNNING), Step(Verb.REPORT, State.RUNNING, event="Started")),
    ("nothing new", UP.with_pods(*RUNNING), Step(Verb.REPORT, State.RUNNING)),
    ("one is not ready any more", UP.with_pods(*STARTING), Step(Verb.REPORT, State.RUNNING)),
    ("one has succeeded", UP.with_pods(DONE[0], a_pod(1)), Step(Verb.REPORT, State.RUNNING)),
    (
        "edited before all of its pods were made: planned anew",
        PLACED.but(generation=2).with_pods(a_pod(1)),
        _stop("train-1-1"),
    ),
    (
        "edited before the first pod was made",
        PLACED.but(generation=2),
        Step(Verb.CLOSE, State.REQUEUED, event="Requeued", reason=Reason.BACK_OFF),
    ),
    (
        "edited with all pods there: it runs on",
        UP.but(generation=2).with_pods(*RUNNING),
        Step(Verb.REPORT, State.RUNNING),
    ),
    (
        "the API server takes no more of its pods",
        PLACED.but(refused="exceeded quota: team").with_pods(a_pod(0)),
        _stop("train-1-0"),
    ),
    (
        "the API server takes none of its pods",
        PLACED.but(refused="exceeded quota: team"),
        Step(Verb.CLOSE, State.REQUEUED, event="Requeued", reason=Reason.BACK_OFF),
    ),
    (
        "what was refused once all pods were there is past",
        UP.but(refused="?").with_pods(*RUNNING),
        Step(Verb.REPORT, State.RUNNING),
    ),
    (
        "a stray of an older attempt goes",
        UP.recorded(attempt=2).with_pods(a_pod(0), a_pod(0, attempt=2), a_pod(1, attempt=2)),
        Step(Verb.STOP, State.RUNNING, delete=("train-1-0",)),
    ),
    (
        "a stray goes while pods are still being made",
        PLACED.recorded(attempt=2).with_pods(a_pod(0), a_pod(0, attempt=2)),
        Step(Verb.CREATE, State.STARTING, create=(1,), delete=("train-1-0",)),
    ),
    (
        "a pod of a rank that the gang has not is a stray",
        UP.with_pods(*RUNNING, a_pod(7, Phase.RUNNING)),
        Step(Verb.STOP, State.RUNNING, delete=("train-1-7",)),
    ),
    # It ends
    ("all have succeeded", UP.with_pods(*DONE), Step(Verb.FINISH, State.SUCCEEDED, event="Succeeded")),
    (
        "all have succeeded before anybody looked",
        PLACED.with_pods(*DONE),
        Step(Verb.FINISH, State.SUCCEEDED, event="Succeeded"),
    ),
    (
        "suspended when all have succeeded: it has succeeded",
        UP.but(suspended=True).with_pods(*DONE),
        Step(Verb.FINISH, State.SUCCEEDED, event="Succeeded"),
    ),
    ("one has failed: the others are stopped", UP.with_pods(FAILED, a_pod(1)), _stop("train-1-1")),
    (
        "the only one has failed",
        UP.with_pods(FAILED, DONE[1]),
        Step(Verb.CLOSE, State.REQUEUED, event="Requeued", reason=Reason.BACK_OFF),
    ),
    (
        "it has failed too often: the devices go back, and the verdict waits",
        UP.recorded(failures=3).with_pods(FAILED, DONE[1]),
        Step(Verb.CLOSE, State.REQUEUED, event="ChargePending", reason=Reason.CHARGE_PENDING),
    ),
    (
        "it may not fail at all",
        UP.but(backoff_limit=0).with_pods(FAILED, DONE[1]),
        Step(Verb.CLOSE, State.REQUEUED, event="ChargePending", reason=Reason.CHARGE_PENDING),
    ),
    (
        "the verdict waits",
        JOB.after(replace(OVER, ended=NOW - 89), failures=4),
        Step(Verb.REPORT, State.REQUEUED, reason=Reason.CHARGE_PENDING),
    ),
    (
        "it has failed for good",
        JOB.after(replace(OVER, ended=NOW - 90), failures=4),
        Step(Verb.FINISH, State.FAILED, event="Failed"),
    ),
    (
        "suspended while the verdict waits is suspended",
        JOB.after(replace(OVER, ended=NOW - 90), failures=4).but(suspended=True),
        Step(Verb.REPORT, State.SUSPENDED),
    ),
    (
        "allowed to fail once more while the verdict waits",
        JOB.after(replace(OVER, ended=NOW - 89), failures=4).but(backoff_limit=4),
        None,
    ),
    ("one was taken away", UP.with_pods(TAKEN, a_pod(1)), _stop("train-1-1")),
    ("one vanished", UP.with_pods(a_pod(1)), _stop("train-1-1")),
    (
        "all vanished",
        UP,
        Step(Verb.CLOSE, State.REQUEUED, event="Requeued", reason=Reason.BACK_OFF),
    ),
    ("somebody else deletes one", UP.with_pods(a_pod(0, deleting=True), a_pod(1)), _stop("train-1-1")),
    (
        "somebody else deletes all",
        UP.with_pods(*[replace(pod, deleting=True) for pod in RUNNING]),
        Step(Verb.REPORT, State.REQUEUED, event="Stopping", reason=Reason.STOPPING),
    ),
    (
        "somebody clears away one that has succeeded",
        UP.with_pods(replace(DONE[0], deleting=True), a_pod(1)),
        Step(Verb.REPORT, State.RUNNING),
    ),
    (
        "suspended: stopped",
        UP.but(suspended=True).with_pods(*RUNNING),
        _stop("train-1-0", "train-1-1", state=State.SUSPENDED),
    ),
    (
        "suspended before the first pod",
        PLACED.but(suspended=True),
        Step(Verb.CLOSE, State.SUSPENDED, event="Suspended"),
    ),
    # It is being stopped
    (
        "a crash before the first deletion: delete them all",
        STOPPING.with_pods(*RUNNING),
        _stop("train-1-0", "train-1-1", event=None),
    ),
    (
        "a crash between deletions: delete the rest",
        STOPPING.with_pods(a_pod(0, deleting=True), a_pod(1)),
        _stop("train-1-1", event=None),
    ),
    (
        "all are going: wait",
        STOPPING.with_pods(*[replace(pod, deleting=True) for pod in RUNNING]),
        Step(Verb.REPORT, State.REQUEUED, reason=Reason.STOPPING),
    ),
    (
        "all are gone: the devices are given back",
        STOPPING,
        Step(Verb.CLOSE, State.REQUEUED, event="Requeued", reason=Reason.BACK_OFF),
    ),
    (
        "those that ended may stay",
        STOPPING.with_pods(*DONE),
        Step(Verb.CLOSE, State.REQUEUED, event="Requeued", reason=Reason.BACK_OFF),
    ),
    (
        "a stray of an older attempt goes, too",
        STOPPING.recorded(attempt=2).with_pods(a_pod(0), a_pod(0, attempt=2)),
        _stop("train-2-0", "train-1-0", event=None),
    ),
    # It is over
    ("finished: nothing to do", ENDED.with_pods(*DONE), Step(Verb.REPORT, State.SUCCEEDED)),
    (
        "finished, and something still runs",
        ENDED.with_pods(a_pod(0, attempt=3)),
        Step(Verb.STOP, State.SUCCEEDED, delete=("train-3-0",)),
    ),
    ("finished, to be removed later", ENDED.but(ttl=101), Step(Verb.REPORT, State.SUCCEEDED)),
    ("finished, and its time to live is over", ENDED.but(ttl=100), Step(Verb.REMOVE, State.SUCCEEDED)),
    ("failed, to be removed at once", UP.ended(succeeded=False, at=NOW).but(ttl=0), Step(Verb.REMOVE, State.FAILED)),
    ("finished and suspended is finished", ENDED.but(suspended=True), Step(Verb.REPORT, State.SUCCEEDED)),
]


@pytest.mark.parametrize(("job", "expected"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_the_next_step(job: JobBuilder, expected: Step | None) -> None:
    """Record and pods say what comes next, whoever looks at them, and whenever."""
    decision = advance(job.built, NOW)
    assert (decision and Step.of(decision)) == expected


@pytest.mark.parametrize(("job", "expected"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_who_has_no_history_has_no_step_and_nothing_due(job: JobBuilder, expected: Step | None) -> None:
    """It is said of nobody else, as it is not looked any further then."""
    if untried(job.built):
        assert expected is None
        assert due(job.built, NOW) is None


def test_a_job_has_no_history_when_it_comes_and_has_one_once_it_was_placed() -> None:
    """It is what keeps a cycle over a long queue short, so it is to be seen."""
    assert untried(JOB.built)
    assert not untried(PLACED.built)
    assert not untried(JOB.after(OVER).built)

"""A job's status: what it keeps of the past, and the closed sets of words that two layers share."""

from enum import StrEnum
from itertools import product

import pytest

from berth.api import job, job_status
from berth.api.job_status import JOB_REASONS, JobStatus, PendingReason
from berth.cluster import records
from berth.core import explain, lifecycle, model, plan
from berth.core.model import Cause, Ending, Gang, Hindrance, Job, JobKey, Outcome, Policy, Record
from berth.core.plan import Condition, Pending, Reason, Report, State
from tests.unit.wire_objects import a_placement, placed

JOB = Job(JobKey("team", "train"), "uid", 1, 0, Gang(2, 8))
WAITING = explain.waiting(JOB, Pending(Reason.INSUFFICIENT_DEVICES, "needs 2 nodes; 1 of 4 is free in pool h800"))


def status(report: Report, record: Record | None = None, before: JobStatus | None = None, now: int = 100) -> JobStatus:
    return records.write(record or Record(), report, generation=1, priority=0, before=before, now=now)


def since(of: JobStatus) -> dict[str, int]:
    """When each condition last changed."""
    return {condition.type: condition.last_transition_time for condition in of.conditions}


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    """Another reason or sentence is no transition; another status is one."""
    first = status(WAITING, now=100)
    other = explain.waiting(JOB, Pending(Reason.TOPOLOGY_BLOCKED, "another reason and sentence"))
    second = status(other, before=first, now=200)
    assert since(second) == {"Placed": 100, "PodsReady": 100, "Finished": 100}
    third = status(explain.placed(JOB.gang, placed("n1", "n2"), 0), placed("n1", "n2"), before=second, now=300)
    assert since(third) == {"Placed": 300, "PodsReady": 100, "Finished": 100}
    fourth = status(WAITING, before=third, now=400)
    assert since(fourth) == {"Placed": 400, "PodsReady": 100, "Finished": 100}


def test_a_job_that_nobody_has_written_yet_has_an_empty_record() -> None:
    """No status, and a status in which no attempt was made, are the same to a cycle."""
    assert Record() == records.read(None) == records.read(JobStatus()) == records.read(status(WAITING))


def test_a_failed_outcome_is_not_read_as_a_success() -> None:
    """What tells the two apart is the state; the time is the same field."""
    for succeeded in (True, False):
        record = Record(attempt=1, outcome=Outcome(succeeded, 50, "it is over"))
        assert record.outcome is not None
        assert record == records.read(status(explain.finished(record.outcome), record))


def test_a_condition_of_a_newer_version_does_not_disturb_an_older_operator() -> None:
    """After a roll-back the status may have conditions and reasons that this version does not know."""
    told = status(WAITING).wire()
    odd = {
        "type": "Checkpointed",
        "status": "Unknown",
        "reason": "Beyond",
        "lastTransitionTime": "2026-11-22T03:00:00Z",
    }
    newer = JobStatus.model_validate({**told, "conditions": [*told["conditions"], odd], "checkpoint": {"step": 7}})
    assert {"Placed", "PodsReady", "Finished"} == {c.type for c in status(WAITING, before=newer).conditions}


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (WAITING, "needs 2 nodes; 1 of 4 is free in pool h800"),
        (explain.suspended(), "spec.suspend is true"),
        (explain.placed(JOB.gang, placed("n1", "n2"), 0), "creating 2 pods"),
        (explain.placed(JOB.gang, placed("n1", "n2", created=True), 1), "1 of 2 replicas is ready"),
        (explain.finished(Outcome(True, 1, "2 replicas succeeded in attempt 1")), "2 replicas succeeded in attempt 1"),
        (
            explain.stopping(Record(1, a_placement("n1"), Ending(Cause.EDITED, 1, "edited")), 1),
            "edited; 1 pod of attempt 1 still to stop",
        ),
    ],
    ids=["waiting", "suspended", "creating", "starting", "finished", "stopping"],
)
def test_the_summary_says_in_a_few_words_what_matters_now(report: Report, expected: str) -> None:
    """Why it waits, what it waits for, or how it ended."""
    assert expected == records.summary(report)


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (plan.State, job_status.State),
        (model.Cause, job_status.Cause),
        (model.Policy, job.Policy),
    ],
    ids=["State", "Cause", "Policy"],
)
def test_the_heart_and_the_wire_have_the_same_words(here: type[StrEnum], there: type[StrEnum]) -> None:
    """One that only the heart knew would make every write of it fail, at the worst moment."""
    assert {member.name: member.value for member in here} == {member.name: member.value for member in there}


def test_every_reason_of_the_heart_is_one_of_the_wires() -> None:
    """And none is on the wire that nothing can say."""
    assert set(Reason) == {Reason(word) for words in JOB_REASONS.values() for word in words}
    assert set(Reason) >= {Reason(word) for word in PendingReason}


def test_as_many_attempts_are_kept_as_the_wire_has_room_for() -> None:
    """One more would be refused by the schema when the sixth attempt ends."""
    assert job_status.KEPT_ATTEMPTS == lifecycle.KEPT_ATTEMPTS


def reports() -> dict[str, Report]:
    """Everything that the heart can tell about a job."""
    found = {"suspended": explain.suspended(), "backing off": explain.backing_off(JOB, None)}
    for reason in PendingReason:
        found[f"waiting: {reason}"] = explain.waiting(JOB, Pending(Reason(reason), "because"))
        found[f"hindered: {reason}"] = explain.hindered(JOB, Hindrance(reason, "because"))
    for succeeded in (True, False):
        found[f"finished: {succeeded}"] = explain.finished(Outcome(succeeded, 1, "over"))
    for cause in Cause:
        found[f"stopping: {cause}"] = explain.stopping(Record(1, a_placement("n1"), Ending(cause, 1, "over")), 1)
    for created, started, policy in product((True, False), (None, 5), Policy):
        record = Record(1, a_placement("n1", "n2", created=created), started_at=started)
        for ready in (0, 2):
            gang = Gang(2, 8, level="node", policy=policy)
            found[f"placed: {created} {started} {policy} {ready}"] = explain.placed(gang, record, ready)
    return found


@pytest.mark.parametrize("report", reports().values(), ids=reports().keys())
def test_whatever_the_heart_tells_can_be_written(report: Report) -> None:
    """Each condition's reason is one of its closed set, or the write would end the operator."""
    wire = status(report).wire()
    assert [str(condition.reason) for condition in report.conditions] == [c["reason"] for c in wire["conditions"]]
    assert report.state in set(State)


def test_a_word_outside_its_closed_set_is_refused() -> None:
    """It is a bug of ours: what would be written is not what the reference promises."""
    odd = Report(State.PENDING, (Condition("Placed", False, Reason.ALL_READY), *WAITING.conditions[1:]))
    with pytest.raises(ValueError, match="'AllReady' is no reason of condition Placed"):
        status(odd).wire()

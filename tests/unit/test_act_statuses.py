"""Which reports are worth a write, and when."""

import pytest

from berth.act.statuses import BRIEF_SECONDS, FORECAST_SECONDS, SHARED_PER_SECOND, Told, begins_to_wait
from berth.api.job_status import JobStatus
from berth.cluster import records
from berth.cluster.jobs import JobEntry
from berth.core import explain
from berth.core.model import Gang, Job, JobKey, Record
from berth.core.plan import Decision, Forecast, Pending, Reason, Report, Verb
from tests.unit.wire_objects import a_job, placed

KEY = JobKey("team", "train")
JOB = Job(KEY, "train-uid", 1, 0, Gang(2, 8))


class Teller:
    """One job, and what is told of it at which time."""

    def __init__(self, every: float = 10.0) -> None:
        self.told = Told(every)
        self.entry = JobEntry.of(a_job())
        self.version = 1

    def asks(self, report: Report, at: float, record: Record | None = None, priority: int = 0) -> bool:
        """Whether this is to be written now; if so, it is written."""
        decision = Decision(KEY, "train-uid", Verb.REPORT, record or Record(), report)
        if not self.told.news(self.entry, decision, priority, at):
            return False
        status = records.write(
            decision.record, report, generation=self.entry.generation, priority=priority, before=None, now=int(at)
        )
        self.stands(status)
        self.told.tell(self.entry, self.entry.generation, decision, priority, at)
        return True

    def stands(self, status: JobStatus | None) -> None:
        """The status that the API server has, as the mirror learns it."""
        self.version += 1
        generation = self.entry.generation
        self.entry.renew(a_job(version=self.version, generation=generation).model_copy(update={"status": status}))

    def edited(self) -> None:
        """A new generation."""
        self.version += 1
        renewed = a_job(version=self.version, generation=self.entry.generation + 1)
        self.entry.renew(renewed.model_copy(update={"status": self.entry.manifest.status}))


def waits(text: str, reason: Reason = Reason.INSUFFICIENT_DEVICES) -> Report:
    return explain.waiting(JOB, Pending(reason, text))


VALIDATING = waits("a replica is being tried", Reason.VALIDATING)


def test_what_was_never_told_is_told() -> None:
    """Also after a restart, when nobody remembers; whether it differs from what stands is seen at the write."""
    assert Teller().asks(waits("needs 4 nodes"), 0)


def test_the_same_is_not_told_again() -> None:
    """However long ago it was."""
    teller = Teller()
    teller.asks(waits("needs 4 nodes"), 0)
    assert not teller.asks(waits("needs 4 nodes"), 1_000)
    assert teller.told.next_due is None


def test_numbers_in_a_sentence_are_told_once_in_a_while() -> None:
    """At once if the last report is old enough; else they are owed, and the last of them is what is told then."""
    teller = Teller()
    teller.asks(waits("1 is free"), 0)
    assert not teller.asks(waits("2 are free"), 3)
    assert (teller.told.next_due, teller.told.due(9.9)) == (10.0, [])
    assert not teller.asks(waits("3 are free"), 5)
    assert teller.told.due(10.0) == [KEY]
    assert teller.told.next_due is None
    assert teller.asks(waits("3 are free"), 10.0)
    assert teller.asks(waits("4 are free"), 20.5)


def test_numbers_that_are_back_where_they_were_are_owed_no_longer() -> None:
    """What stands there is right again."""
    teller = Teller()
    teller.asks(waits("1 is free"), 0)
    teller.asks(waits("2 are free"), 3)
    assert not teller.asks(waits("1 is free"), 4)
    assert teller.told.next_due is None


@pytest.mark.parametrize(
    "news",
    [
        waits("needs 4 nodes", Reason.UNKNOWN_POOL),
        explain.suspended(),
        explain.placed(Gang(2, 8), placed("n1", "n2"), 0),
    ],
    ids=["another reason", "another state", "placed"],
)
def test_news_are_told_at_once(news: Report) -> None:
    """Another state or reason is what people wait for."""
    teller = Teller()
    teller.asks(waits("needs 4 nodes"), 0)
    assert teller.asks(news, 0.1)


def forecast(position: int, start: int, text: str = "needs 4 nodes") -> Report:
    expected = Forecast(start, 0, 86_400)
    return explain.waiting(JOB, Pending(Reason.INSUFFICIENT_DEVICES, text, position=position, forecast=expected))


def test_a_position_or_an_estimate_alone_is_told_once_in_a_minute() -> None:
    """They change with every job that comes or goes; whatever else changes takes the newest of them along."""
    teller = Teller()
    teller.asks(forecast(3, 6_000), 0)
    assert not teller.asks(forecast(2, 6_000), 11)
    assert not teller.asks(forecast(2, 7_200), 12)
    assert teller.told.next_due == FORECAST_SECONDS
    assert teller.asks(forecast(2, 7_200, text="needs 5 nodes"), 13)
    assert not teller.asks(forecast(1, 7_200, text="needs 5 nodes"), 72.9)
    assert teller.asks(forecast(1, 7_200, text="needs 5 nodes"), 73)


def test_the_more_jobs_wait_the_longer_each_keeps_its_numbers() -> None:
    """A thousand that wait do not write a hundred times a second; one that runs is told as often as ever."""
    teller = Teller(every=10.0)
    teller.told.waiting = 1_000
    teller.asks(waits("1 is free"), 0)
    assert not teller.asks(waits("2 are free"), 499)
    assert teller.told.next_due == 1_000 / SHARED_PER_SECOND
    teller.told.waiting = 60
    assert teller.asks(waits("3 are free"), 31)
    teller.told.waiting = 1_000
    assert teller.asks(waits("needs 4 nodes", Reason.UNKNOWN_POOL), 31.1)
    record = placed("n1", "n2", created=True)
    teller.asks(explain.placed(Gang(2, 8), record, 0), 40, record)
    assert teller.asks(explain.placed(Gang(2, 8), record, 1), 51, record)


def test_what_is_short_may_change_back_and_forth_without_a_write_each_time() -> None:
    """Devices, contiguous ones, or those that are kept for others: room is what is waited for."""
    teller = Teller()
    teller.asks(waits("needs 4 nodes"), 0)
    assert not teller.asks(waits("needs 4 free nodes", Reason.TOPOLOGY_BLOCKED), 1)
    assert not teller.asks(waits("there is room now", Reason.QUEUED_BEHIND), 2)
    assert not teller.asks(waits("needs 4 nodes"), 3)
    assert teller.told.next_due is None
    assert teller.asks(waits("there is room now", Reason.QUEUED_BEHIND), 10)


def _waits_for(before: Report | None, now: Report) -> str | None:
    status = records.write(Record(), before, generation=1, priority=0, before=None, now=0) if before else None
    event = begins_to_wait(status, now)
    return event.reason if event else None


def test_an_event_tells_that_a_job_begins_to_wait_and_not_that_it_still_does() -> None:
    """Numbers, and what of the pool is short, are told by the status alone; so is what was an event anyway."""
    short, torn = waits("needs 4 nodes"), waits("needs 4 free nodes", Reason.TOPOLOGY_BLOCKED)
    assert _waits_for(None, short) == "InsufficientDevices"
    assert _waits_for(explain.suspended(), torn) == "TopologyBlocked"
    assert _waits_for(waits("there is none", Reason.NO_POOL), short) == "InsufficientDevices"
    assert _waits_for(short, waits("needs 5 nodes")) is None
    assert _waits_for(short, torn) is None
    assert _waits_for(None, VALIDATING) is None
    assert _waits_for(short, waits("the next attempt", Reason.BACK_OFF)) is None
    assert _waits_for(short, explain.placed(Gang(2, 8), placed("n1", "n2"), 0)) is None


def test_another_record_is_told_at_once() -> None:
    """It is what a fresh operator goes on from, whatever the sentences say."""
    teller = Teller()
    teller.asks(waits("needs 4 nodes"), 0)
    assert teller.asks(waits("needs 4 nodes"), 0.1, record=Record(attempt=1, failures=1))


def test_another_priority_or_generation_is_told_at_once() -> None:
    """Both stand in the status."""
    teller = Teller()
    teller.asks(waits("needs 4 nodes"), 0)
    assert teller.asks(waits("needs 4 nodes"), 0.1, priority=5)
    teller.edited()
    assert teller.asks(waits("needs 4 nodes"), 0.2, priority=5)


def test_a_status_that_somebody_else_changed_is_told_anew() -> None:
    """By hand, or by an operator that was there before; one that only looks new is not."""
    teller = Teller()
    teller.asks(waits("needs 4 nodes"), 0)
    same = teller.entry.manifest.status
    assert same is not None
    teller.stands(same.model_copy())
    assert not teller.asks(waits("needs 4 nodes"), 1)
    teller.stands(None)
    assert teller.asks(waits("needs 4 nodes"), 2)


def test_a_state_that_is_over_at_once_is_not_told() -> None:
    """A dry run takes milliseconds: nobody could read it, and every job would cost one write more."""
    teller = Teller()
    assert not teller.asks(VALIDATING, 0)
    assert teller.told.next_due == BRIEF_SECONDS
    assert teller.asks(waits("needs 4 nodes"), 0.02)
    assert teller.told.next_due is None


def test_a_brief_state_that_lasts_is_told() -> None:
    """The API server may be slow: then it is what the job waits for."""
    teller = Teller()
    teller.asks(VALIDATING, 0)
    assert teller.told.due(BRIEF_SECONDS) == [KEY]
    assert teller.asks(VALIDATING, BRIEF_SECONDS)


def test_a_brief_state_is_as_brief_the_next_time() -> None:
    """After an edit it begins anew."""
    teller = Teller()
    teller.asks(VALIDATING, 0)
    teller.asks(waits("needs 4 nodes"), 0.02)
    teller.edited()
    assert not teller.asks(VALIDATING, 100)


def test_what_was_told_about_jobs_that_are_gone_is_forgotten() -> None:
    """Once there are enough of them; memory must not grow with all jobs that ever were."""
    told = Told(10.0)
    decision = Decision(KEY, "", Verb.REPORT, Record(), waits("needs 4 nodes"))
    for number in range(300):
        told.tell(JobEntry.of(a_job(uid=f"uid-{number}")), 1, decision, 0, 0.0)
    told.forget({"uid-0", "uid-1"})
    assert {"uid-0", "uid-1"} == set(told._told)

"""Deciding which statuses are worth a write.

A status that says the same is not written. News (another record, state, or reason of a condition) is written at once;
where only numbers in sentences changed, or what of the pool is short, at most once in `every` seconds for each job,
because a pending job's counts change with every pod in the cluster, and ten thousand of them would keep the API server
busy with telling. For the same reason the jobs that wait share a number of such writes: the more of them, the longer
each keeps its numbers. Its position and the estimate of its start change with every job that comes or goes: by
themselves they are told once in a minute. A job that begins to wait, or to wait for something else, is news for an
event, too.
"""

from dataclasses import dataclass, replace

from berth.api.job_status import JobStatus
from berth.cluster.jobs import JobEntry
from berth.core import explain
from berth.core.model import JobKey, Record
from berth.core.plan import Decision, Event, Pending, Reason, Report

BRIEF_SECONDS = 1.0
"""A state that is usually over within milliseconds is told only once it has lasted this long."""

SHARED_PER_SECOND = 2.0
"""Writes a second that all jobs that wait have together for numbers in sentences that changed."""

FORECAST_SECONDS = 60.0
"""A position or an estimate that changed by itself is told at most this often."""
_ROOM = (Reason.INSUFFICIENT_DEVICES, Reason.TOPOLOGY_BLOCKED, Reason.QUEUED_BEHIND, Reason.CONTIGUOUS_SOON)
"""What comes and goes with every gang that starts or ends: all of them mean that room is waited for."""
_TOLD_OTHERWISE = (Reason.VALIDATING, Reason.BACK_OFF, Reason.STOPPING)
"""What is over by itself, or was an event when the attempt ended."""


@dataclass(slots=True)
class _Told:
    record: Record
    report: Report
    generation: int
    priority: int
    status: JobStatus | None
    at: float


class Told:
    """What was told about each job, and what is owed. Times are of one monotonic clock, in seconds.

    `every`: seconds for which numbers in sentences stand at least. `waiting`: how many jobs wait.
    """

    def __init__(self, every: float) -> None:
        self.every = every
        self.waiting = 0
        self._told: dict[str, _Told] = {}
        self._owed: dict[JobKey, float] = {}
        self._since: dict[str, float] = {}

    def news(self, entry: JobEntry, decision: Decision, priority: int, now: float) -> bool:
        """Say whether this decision's report is to be written now; if later, it is owed (see `due`)."""
        if _brief(decision.report) and not self._lasting(entry, now):
            return False
        last = self._told.get(entry.uid)
        if last is None or last.status is not entry.manifest.status or last.generation != entry.generation:
            return True
        if last.record != decision.record or last.priority != priority or _gist(last.report) != _gist(decision.report):
            return True
        if last.report == decision.report:
            self._owed.pop(entry.key, None)
            return False
        forecast_alone = _without_forecast(last.report) == _without_forecast(decision.report)
        every = self.every
        if every and decision.report.pending is not None:
            every = max(every, self.waiting / SHARED_PER_SECOND)
        due = last.at + (max(every, FORECAST_SECONDS) if forecast_alone else every)
        if now >= due:
            return True
        self._owed[entry.key] = due
        return False

    def knows(self, entry: JobEntry) -> bool:
        """Whether anything was told about a job since this process began."""
        return entry.uid in self._told

    def _lasting(self, entry: JobEntry, now: float) -> bool:
        """Whether what is soon over has lasted long enough to be told."""
        since = self._since.setdefault(entry.uid, now)
        if now - since < BRIEF_SECONDS:
            self._owed[entry.key] = since + BRIEF_SECONDS
            return False
        return True

    def tell(self, entry: JobEntry, generation: int, decision: Decision, priority: int, now: float) -> None:
        """Remember that the status that the entry now holds tells this decision, made about that generation."""
        self._told[entry.uid] = _Told(
            decision.record, decision.report, generation, priority, entry.manifest.status, now
        )
        self._owed.pop(entry.key, None)
        self._since.pop(entry.uid, None)

    def forget(self, known: set[str]) -> None:
        """Drop what was told about jobs that are gone; `known` are the uids that are not."""
        if len(self._told) > 2 * len(known) + 100:
            self._told = {uid: told for uid, told in self._told.items() if uid in known}
            self._since = {uid: at for uid, at in self._since.items() if uid in known}

    def due(self, now: float) -> list[JobKey]:
        """Jobs whose owed report may be written now; they are owed no longer."""
        found = [key for key, at in self._owed.items() if at <= now]
        for key in found:
            del self._owed[key]
        return found

    @property
    def next_due(self) -> float | None:
        """When the next owed report falls due."""
        return min(self._owed.values(), default=None)


def _brief(report: Report) -> bool:
    return report.pending is not None and report.pending.reason is Reason.VALIDATING


def _gist(report: Report) -> tuple[object, ...]:
    """A report without its sentences."""
    return (
        report.state,
        tuple((c.type, c.status, _kind(c.reason)) for c in report.conditions),
        _kind(report.pending.reason) if report.pending else None,
    )


def _kind(reason: Reason | str) -> str:
    return "room" if reason in _ROOM else str(reason)


def _without_forecast(report: Report) -> Report:
    """What a report says besides the position and the estimate."""
    if report.pending is None:
        return report
    pending: Pending = replace(report.pending, position=None, forecast=None)
    told = explain.told(report.pending)
    conditions = tuple(replace(c, message="") if c.message == told else c for c in report.conditions)
    return replace(report, conditions=conditions, pending=pending)


def begins_to_wait(before: JobStatus | None, report: Report) -> Event | None:
    """The event of a job that waits now, and did not before, or for something else."""
    pending = report.pending
    if pending is None or pending.reason in _TOLD_OTHERWISE:
        return None
    if before is not None and before.pending is not None and _kind(before.pending.reason) == _kind(pending.reason):
        return None
    return explain.news(pending)

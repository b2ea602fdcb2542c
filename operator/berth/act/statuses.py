"""Deciding which statuses are worth a write.

A status that says the same is not written. News (another record, state, or reason of a condition) is written at once;
where only numbers in sentences changed, at most once in `every` seconds for each job, because a pending job's counts
change with every pod in the cluster, and ten thousand of them would keep the API server busy with telling.
"""

from dataclasses import dataclass

from berth.api.job_status import JobStatus
from berth.cluster.jobs import JobEntry
from berth.core.model import JobKey, Record
from berth.core.plan import Decision, Reason, Report

BRIEF_SECONDS = 1.0
"""A state that is usually over within milliseconds is told only once it has lasted this long."""


@dataclass(slots=True)
class _Told:
    record: Record
    report: Report
    generation: int
    priority: int
    status: JobStatus | None
    at: float


class Told:
    """What was told about each job, and what is owed. Times are of one monotonic clock, in seconds."""

    def __init__(self, every: float) -> None:
        self._every = every
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
        due = last.at + self._every
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
        tuple((c.type, c.status, c.reason) for c in report.conditions),
        report.pending.reason if report.pending else None,
    )

"""Whose fault a failure was: the job's, or a node's that nobody knew to be dying.

Survivors of a dying node fail first, with collective errors, and the node's own condition turns up to 50 s later. A
failure is therefore charged to the job at once, so that the next attempt is not held up, and the charge is taken back
should a node of that attempt turn out to have been lost. Only the charge that would end the job waits for the verdict.
"""

from dataclasses import replace

from berth.core.explain import count, moment
from berth.core.faults import Waits, concerning, failure, told
from berth.core.model import Attempt, Cause, Job, NodeTrouble, Record

MOST_REMEMBERED = 1500
"""A gang that failed on more nodes than these starts again only once its charge is final: beside the nodes of its next
attempt, those of the last one would make its status too large. Starting it takes longer than that anyway."""


def wait(sat: tuple[str, ...], backoff: int, waits: Waits) -> int:
    """Seconds before the next attempt of a gang that failed on those nodes."""
    return max(backoff, waits.charge_window) if len(sat) > MOST_REMEMBERED else backoff


def remembered(attempts: tuple[Attempt, ...], now: int, waits: Waits) -> tuple[Attempt, ...]:
    """Attempts as the next one keeps them: without the nodes of the last one, if its charge is final."""
    if not attempts or not attempts[-1].nodes or now < attempts[-1].ended + waits.charge_window:
        return attempts
    return (*attempts[:-1], replace(attempts[-1], nodes=()))


def review(job: Job, now: int, waits: Waits) -> tuple[Record, str] | None:
    """Take a charge back if a node of the failed attempt has turned bad; the record without it, and the news."""
    record, placement = job.record, job.record.placement
    if record.outcome is not None:
        return None
    ending = record.ending
    if ending is not None and placement is not None and ending.cause is Cause.OWN_FAILURE:
        lost = _bad_since(job, set(placement.nodes), ending.at, now, waits)
        if not lost:
            return None
        text = f"{ending.message}; not charged: {told(lost)}"
        return replace(record, ending=replace(ending, cause=Cause.NODE_FAILURE, message=text)), text
    last = charged(record)
    lost = _bad_since(job, set(last.nodes), last.ended, now, waits) if last is not None else []
    if last is None or not lost:
        return None
    excused = replace(last, cause=Cause.NODE_FAILURE, nodes=())
    freed = replace(
        record,
        failures=record.failures - 1,
        attempts=(*record.attempts[:-1], excused),
        retry_after=record.retry_after if placement is not None else None,
    )
    return freed, f"the failure of attempt {last.attempt} is not charged: {told(lost)}"


def _bad_since(job: Job, nodes: set[str], failed_at: int, now: int, waits: Waits) -> list[NodeTrouble]:
    end = failed_at + waits.charge_window
    return [t for t in concerning(job, nodes) if (now if t.since is None else t.since) <= end]


def charged(record: Record) -> Attempt | None:
    """The last attempt, if it failed by its own fault."""
    last = record.attempts[-1] if record.attempts else None
    return last if last is not None and last.cause == Cause.OWN_FAILURE else None


def last_allowed(job: Job, waits: Waits) -> tuple[Attempt, int] | None:
    """The failed attempt that is one more than allowed, and when that is final; None if there is none."""
    last = charged(job.record)
    if last is None or job.record.failures <= job.backoff_limit:
        return None
    return last, last.ended + waits.charge_window


def verdict(job: Job, last: Attempt) -> str:
    """Why a job has failed for good."""
    what = failure(last.first_failure) if last.first_failure else f"attempt {last.attempt} failed"
    return f"{what}; {count(job.record.failures, 'failure')}, spec.backoffLimit is {job.backoff_limit}"


def undecided(job: Job, last: Attempt, until: int) -> str:
    """Why a job that has used up its failures is not Failed yet."""
    return (
        f"{verdict(job, last)}; Failed at {moment(until)}, unless a node of attempt {last.attempt} is lost until then"
    )


def due(job: Job, now: int, waits: Waits) -> list[int]:
    """When time alone makes the last charge final."""
    final = last_allowed(job, waits) if job.record.placement is None else None
    return [final[1]] if final is not None and final[1] > now else []

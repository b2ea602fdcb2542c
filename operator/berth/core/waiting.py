"""What the jobs that wait are told: why, what would help, their place in the queue, and when they may start.

Equal jobs are refused once. Those for which a place is kept are told by themselves, because what is kept for a job is
never in its own way.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile

from berth.core.admission import Berth, Pool, find, refusal
from berth.core.backfill import Line
from berth.core.changes import MOST, Try, nearest, suitable
from berth.core.explain import count, minute, span, where, within
from berth.core.model import Gang, Job
from berth.core.patience import apart, limit
from berth.core.picture import Reservation
from berth.core.plan import Change, Forecast, Pending, Reason

_THOROUGH = 16
"""Refusals of a cycle for which also those changes are tried that need slots to be counted anew."""


def pendings(waiting: list[Job], line: Line) -> Iterator[tuple[Job, Pending]]:
    """Tell each of the jobs that wait, in their order, once all who may start have been given a place."""
    line.settle()
    kept = {reservation.key: reservation for reservation in line.reservations}
    queued: Counter[frozenset[str]] = Counter()
    told: dict[tuple[Gang, int], Pending] = {}
    number = 0
    for job in waiting:
        seconds = line.seconds(job)
        own = kept.get(job.key)
        pending = None if own else told.get((job.gang, seconds))
        if pending is None:
            pending = _pending(job, line, own, seconds, thorough=number < _THOROUGH)
            number += 1
            if own is None:
                told[job.gang, seconds] = pending
        names = frozenset(job.gang.pools or line.pools)
        queued[names] += 1
        position = sum(jobs for others, jobs in queued.items() if names & others)
        forecast = Forecast(_rounded(own.start, line.now), own.guessed, line.settings.assumed) if own else None
        yield job, replace(pending, position=position, forecast=forecast)


def refused(gang: Gang, pools: dict[str, Pool]) -> Pending:
    """Why a gang that nobody is before finds no room, and what would help, each of it tried on what is free."""
    because = refusal(gang, pools)
    return replace(because, nearest=nearest(gang, pools, lambda changed: find(changed, pools)))


def _pending(job: Job, line: Line, own: Reservation | None, seconds: int, *, thorough: bool) -> Pending:
    torn = line.apart(job)
    if torn is not None and own is not None:
        return _patient(job, line, own, torn, thorough=thorough)
    if line.held_back(job):
        return _held_back(job, line, own, seconds, thorough=thorough)
    because = refusal(job.gang, line.pools, ends=line.future.ends)
    return replace(because, nearest=nearest(job.gang, line.pools, _trial(job, line, seconds), thorough=thorough))


def _trial(job: Job, line: Line, seconds: int) -> Try:
    """How a change of the job is tried: its own reservation is not in its way."""
    return lambda gang: line.could(job, gang, seconds)


def _patient(job: Job, line: Line, own: Reservation, torn: Berth, *, thorough: bool) -> Pending:
    """There is room for a job, but apart, and soon in one place: where, and for how long it waits for that at most."""
    pool, fit = own.berth.pool, own.berth.fit
    tree, level = pool.ledger.tree, own.gang.level
    assert level is not None, "who waits for a better place waits for one domain of a level"
    at = tree.level(level)
    assert at is not None, "an unknown level is refused before a place is looked for"
    crossing, pairs = apart(torn, at)
    share = max(1, round(100 * crossing / pairs))
    domain = tree.above(fit.counts[0][0])[at]
    seconds = line.seconds(job)
    most = limit(seconds, line.settings.patience, crossing, pairs)
    text = (
        f"there is room now, but apart: {share} % of its pairs of replicas would not be {within(level)}; "
        f"room {where(tree, at, domain)} is near, and it waits for that for at most {span(most)}"
    )
    return Pending(
        Reason.CONTIGUOUS_SOON, text, nearest(job.gang, line.pools, _trial(job, line, seconds), thorough=thorough)
    )


def _held_back(job: Job, line: Line, own: Reservation | None, seconds: int, *, thorough: bool) -> Pending:
    """There is room for a job, but kept for others: who they are, and how short it would have to be."""
    names = {pool.name for pool in suitable(job.gang, line.pools)}
    before = takewhile(lambda reservation: reservation is not own, line.reservations)
    others = [r for r in before if r.berth.pool.name in names and r.start < line.now + seconds]
    assert others, "room is only kept for somebody"
    first = others[0]
    whose = f"{first.key} and {count(len(others) - 1, 'other')}" if len(others) > 1 else f"{first.key}"
    guessed = " (it declares no maxDuration)" if job.max_duration is None else ""
    text = (
        f"there is room now, but it is kept for {whose} from {minute(first.start)} on, "
        f"and this job may run for {span(seconds)}{guessed}"
    )
    short = min(r.start for r in others) - line.now
    short -= max(60, short // 20)  # it takes somebody a while to read this and to act
    short -= short % _grain(short)
    changes = nearest(job.gang, line.pools, _trial(job, line, seconds), thorough=thorough)
    whole = job.record.held + short
    if short > 0 and line.could(replace(job, max_duration=whole), job.gang, short) is not None:
        change = Change(f"maxDuration {span(whole)}: could start now", job.gang, whole)
        changes = (change, *changes)[:MOST]
    return Pending(Reason.QUEUED_BEHIND, text, changes)


def _rounded(start: int, now: int) -> int:
    """An estimate as it is told: rounded up, the more the further away it is, so that it seldom changes."""
    grain = _grain(start - now)
    return -(-start // grain) * grain


def _grain(seconds: int) -> int:
    return 60 if seconds < 7_200 else 600 if seconds < 172_800 else 3_600

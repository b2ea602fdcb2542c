"""What is expected of those who hold devices: until when, and of which nodes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from berth.core.admission import Pool, Stay
from berth.core.model import Job, JobKey, Placement, Record

STOPPING_SECONDS = 60
"""A gang that is being stopped is expected to be gone within so many seconds."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """What the operator's settings say: for how many gangs of each pool a place is kept; none: whoever fits may start.

    `assumed`: seconds for which a gang is expected to run that does not say it (no `maxDuration`). `patience`: percent
    of its own run for which a gang waits rather than have all its replicas apart (`core.patience`); 0: it never does.
    """

    depth: int = 8
    assumed: int = 86_400
    patience: int = 20


DEFAULT = Backfill()


def lasts(job: Job, settings: Backfill) -> int:
    """Seconds for which a job would hold its devices if it started now."""
    return settings.assumed if job.max_duration is None else max(1, job.max_duration - job.record.held)


def expected_end(job: Job, placement: Placement, now: int, settings: Backfill) -> int:
    """When a placed job is expected to give its devices back; always to come.

    A gang without `maxDuration` that outlives what is assumed is expected to take a quarter of that more, again and
    again.
    """
    if job.record.ending is not None or job.deleting:
        return now + STOPPING_SECONDS
    end = placement.admitted_at + lasts(job, settings)
    if end > now:
        return end
    if job.max_duration is not None:
        return now + STOPPING_SECONDS
    quarter = max(STOPPING_SECONDS, settings.assumed // 4)
    return end + quarter * ((now - end) // quarter + 1)


def stays(
    jobs: Iterable[Job], pools: Mapping[str, Pool], now: int, settings: Backfill, decided: Mapping[JobKey, Record]
) -> list[Stay]:
    """All gangs that hold devices, by expected end. `decided`: the records that jobs will have after this cycle."""
    found = []
    for job in jobs:
        if job.record.placement is None and job.giving_back is None and job.key not in decided:
            continue  # most that wait
        after = decided.get(job.key, job.record)
        before = job.giving_back or job.record.holds
        if before is not None and after.holds is not None and after.attempt == job.record.attempt:
            believed = job if after is job.record else replace(job, record=after)
            end = expected_end(believed, before, now, settings)
            found.append(_stay(job, before, pools, end))
            continue
        if before is not None:
            found.append(_stay(job, before, pools, now + 1))
        if after.holds is not None:  # it goes on with the next attempt; what it keeps is counted where it is now
            stay = _stay(replace(job, claims={}), after.holds, pools, now + lasts(replace(job, record=after), settings))
            found = [*found[:-1], *_without(found[-1:], stay), stay]
    return sorted((stay for stay in found if stay.takes), key=lambda stay: (stay.end, stay.key))


def _stay(job: Job, placement: Placement, pools: Mapping[str, Pool], end: int) -> Stay:
    """What a placement takes: as its claims say, or else what its gang asks for."""
    pool = pools.get(placement.pool)
    if pool is None:
        return Stay(end, job.key, placement.pool, ())
    position = pool.ledger.tree.position
    claims: Mapping[str, Iterable[tuple[str, int]]] = job.claims
    if not claims:
        each = pool.demand(job.gang).requests
        counts = Counter(placement.nodes)
        claims = {name: [(what, n * replicas) for what, n in each] for name, replicas in counts.items()}
    masks: dict[str, int] = {}
    for name, mask in zip(placement.nodes, placement.devices, strict=False):
        masks[name] = masks.get(name, 0) | mask
    taken = sorted(
        ((position[name], dict(claim), masks.get(name, 0)) for name, claim in claims.items() if name in position),
        key=lambda take: take[0],
    )
    return Stay(end, job.key, pool.name, tuple(taken), job.max_duration is None)


def _without(former: list[Stay], now: Stay) -> list[Stay]:
    """What a gang leaves behind as it goes on: the nodes on which it no longer is."""
    kept = {position for position, *_ in now.takes}
    return [replace(stay, takes=tuple(take for take in stay.takes if take[0] not in kept)) for stay in former]

"""Bugs of a repair: survivors are moved, what is bad is trusted, what is given is forgotten."""

from dataclasses import replace

from berth.core import repair
from berth.core.admission import Pool, describe, find
from berth.core.model import Demand, Job, Placement
from berth.core.repair import Mended, mend
from berth.core.slots import Ledger
from tests.properties.bugs_of_places import swapped


def places_the_gang_anew(job: Job, pools: dict[str, Pool], now: int) -> Mended | None:
    """Takes the best place there is, whoever has to move for it."""
    mended, before = mend(job, pools, now), job.record.placement
    if mended is None or before is None:
        return mended
    pool = replace(mended.pool, ledger=mended.pool.ledger.fork())
    for name in mended.placement.nodes:
        pool.ledger.give_back(pool.ledger.tree.position[name], job.gang.demand(pool.resource).requests)
    berth = find(job.gang, {pool.name: pool})
    if berth is None:
        return mended
    berth.take()
    placement = berth.placement(job.generation, now)
    moved = [(rank, a, b) for rank, (a, b) in enumerate(zip(before.nodes, placement.nodes, strict=True)) if a != b]
    return Mended(placement, tuple(moved), pool)


def forgets_what_others_took(job: Job, pools: dict[str, Pool], now: int) -> Mended | None:
    """Sees nothing but its own gang."""
    alone = {}
    for name, pool in pools.items():
        used = [dict(job.claims.get(node.name, ())) for node in pool.ledger.nodes]
        alone[name] = replace(pool, ledger=Ledger(pool.ledger.tree, pool.ledger.nodes.copy(), [*used]))
    return mend(job, alone, now)


def forgets_what_it_took(job: Job, pools: dict[str, Pool], now: int) -> Mended | None:
    """Hands the pool back as it was."""
    mended = mend(job, pools, now)
    return mended and replace(mended, pool=pools[mended.pool.name])


def plans_on_the_pool(job: Job, pools: dict[str, Pool], now: int) -> Mended | None:
    """Takes on the ledger that it was only asked about."""
    mended = mend(job, pools, now)
    if mended is not None:
        for position, used in enumerate(mended.pool.ledger.used):
            pools[mended.pool.name].ledger.set_used(position, used)
    return mended


def _widest_with_room(ledger: Ledger, demand: Demand, survivors: list[int], lost: int, widest: int) -> int | None:
    return None if repair._level(ledger, demand, survivors, lost, widest) is None else widest


def _around_rank_0(
    pool: Pool, ranks: list[int], generation: int, now: int, epoch: int, devices: tuple[int, ...]
) -> Placement:
    told = describe(pool, ranks[:1], generation, now, epoch)
    return replace(describe(pool, ranks, generation, now, epoch, devices), spans=told.spans)


def _where_it_is_emptiest(
    ledger: Ledger, demand: Demand, kept: dict[int, int], lost: list[int], widest: int
) -> tuple[dict[int, int], dict[int, int]]:
    """Looks at the whole domain, whoever is beside."""
    domain = ledger.tree.above(next(iter(kept.values())))[widest]
    found = {}
    for rank in lost:
        free = ledger.index(demand).free[-1]
        found[rank] = max(ledger.tree.nodes(widest, domain), key=lambda position: free[position])
        ledger.take(found[rank], demand, 1)
    return found, {}


ignores_the_level_in_repair = swapped(mend, widest_level=lambda *_: 0)
takes_the_widest_domain = swapped(mend, _level=_widest_with_room, _replace=_where_it_is_emptiest)
frees_what_it_leaves = swapped(mend, _hold=lambda *_: None)
keeps_bad_nodes = swapped(mend, _keep=swapped(repair._keep, barrier=lambda *_: None))
gives_up_at_once = swapped(mend, _level=lambda *_: None)
tells_of_one_replica = swapped(mend, describe=_around_rank_0)

"""Repair: the next attempt of a gang that lost nodes, with everybody else where they were.

Ranks whose node is still good keep it: their images, caches and local checkpoints are there, and nothing else has to
move. The others get new nodes inside the narrowest domain around the survivors that has the room, never wider than the
gang's required level; within that domain, as near as possible to the nearest rank that stays. Where that cannot be, the
gang goes to the queue as any other, and so it does where groups of its ranks would be torn.

The pool's spares are there for this: they count as free here, and are kept again for everybody else.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from berth.core.admission import Pool, describe, unsuitable, widest_level
from berth.core.explain import count
from berth.core.faults import AT_ONCE
from berth.core.model import Demand, Groups, Job, Mode, Placement
from berth.core.placement import fill
from berth.core.plan import Decision, Verb
from berth.core.slots import Ledger, barrier
from berth.core.spares import keep_again, released


@dataclass(frozen=True, slots=True)
class Mended:
    """A gang put together again. `moved`: (rank, former node, new node).

    `pool` counts the gang where it is now and where it was: until that is written a crash would bring the former
    placement back, so what it leaves is nobody else's yet.
    """

    placement: Placement
    moved: tuple[tuple[int, str, str], ...]
    pool: Pool

    def told(self) -> str:
        """`509 replicas stay, 3 move: 17 from h800-0018 to h800-0611, …`."""
        stay = f"{count(len(self.placement.nodes) - len(self.moved), 'replica')} on the same nodes"
        if not self.moved:
            return stay
        moves = ", ".join(f"{rank} from {old} to {new}" for rank, old, new in self.moved[:3])
        more = f" and {len(self.moved) - 3} more" if len(self.moved) > 3 else ""
        return f"{stay}, {len(self.moved)} moved: {moves}{more}"


def may_go_on(job: Job, step: Decision, mode: Mode) -> bool:
    """Whether an attempt that is being closed may be followed by the next one at once."""
    if step.verb is not Verb.CLOSE or mode is Mode.OBSERVE or job.suspended or job.hindrance is not None:
        return False
    if job.max_duration is not None and step.record.held >= job.max_duration:
        return False
    return step.record.attempts[-1].cause in AT_ONCE and step.record.retry_after is None


def mend(job: Job, pools: dict[str, Pool], now: int, epoch: int = 0) -> Mended | None:
    """Find the gang of an attempt that is being closed its next nodes; None if it cannot be repaired.

    Nothing is changed in `pools`: what the gang holds afterwards is counted in `Mended.pool`.
    """
    before, gang = job.record.placement, job.gang
    assert before is not None, "only an attempt with a placement can be repaired"
    pool = pools.get(before.pool)
    if pool is None or len(before.nodes) != gang.replicas or unsuitable(gang, pool) is not None:
        return None
    if gang.pools and pool.name not in gang.pools:
        return None
    demand = pool.demand(gang)
    ledger = released(pool.ledger)
    former = _devices(job, before)
    bad = {trouble.node for trouble in job.troubles}
    # On a bad node a pod may still be there that nobody can confirm gone: what is taken there stays taken.
    given_back = [
        (node, requests) for node, requests in job.claims.items() if node in ledger.tree.position and node not in bad
    ]
    for node, requests in given_back:
        ledger.give_back(ledger.tree.position[node], requests, former[node])
    ranks, devices = _keep(before, ledger, demand)
    if not ranks:
        return None
    kept = set(ranks)
    lost = [rank for rank in range(gang.replicas) if rank not in kept]
    level = _level(ledger, demand, list(ranks.values()), len(lost), widest_level(gang, pool))
    if level is None:
        return None
    others, more = _replace(ledger, demand, ranks, lost, level)
    ranks, devices = ranks | others, devices | more
    positions = [ranks[rank] for rank in range(gang.replicas)]
    if not _groups_are_whole(ledger, positions, gang.groups):
        return None
    chosen = tuple(devices[rank] for rank in range(gang.replicas)) if devices else ()
    placement = describe(pool, positions, job.generation, now, epoch, chosen)
    seats = Counter(placement.nodes)
    for node, requests in given_back:
        _hold(ledger, node, requests, former[node], demand, seats[node])
    keep_again(ledger, pool.ledger)
    moved = tuple((rank, before.nodes[rank], placement.nodes[rank]) for rank in lost)
    return Mended(placement, moved, replace(pool, ledger=ledger))


def _devices(job: Job, before: Placement) -> dict[str, int]:
    """Mask of the devices that the gang has on each of its nodes: chosen, or really mounted. Zero where none is."""
    really = {pod.rank: pod.mounted for pod in job.pods if pod.attempt == job.record.attempt}
    found = dict.fromkeys((*before.nodes, *job.claims), 0)
    for rank, (node, chosen) in enumerate(zip(before.nodes, before.devices, strict=False)):
        mounted = really.get(rank)
        found[node] |= chosen if mounted is None else mounted
    return found


def _groups_are_whole(ledger: Ledger, positions: list[int], groups: Groups | None) -> bool:
    """Whether every group of consecutive ranks lies in one domain of its level."""
    if groups is None:
        return True
    level = ledger.tree.level(groups.level)
    assert level is not None, "an unknown level is refused before"
    domains = [ledger.tree.above(position)[level] for position in positions]
    return all(len(set(domains[first : first + groups.size])) == 1 for first in range(0, len(domains), groups.size))


def _hold(
    ledger: Ledger, node: str, former: Iterable[tuple[str, int]], devices: int, demand: Demand, replicas: int
) -> None:
    """Take again of what was given back on a node whatever the gang does not need there any more."""
    needed = {name: amount * replicas for name, amount in demand.requests}
    left = [(name, amount - needed.get(name, 0)) for name, amount in former]
    position = ledger.tree.position[node]
    used = Counter(ledger.used[position])
    used.update({name: amount for name, amount in left if amount > 0})
    held = ledger.held[position] | devices if ledger.numbering is not None else 0
    ledger.set_used(position, used, held)


def _keep(before: Placement, ledger: Ledger, demand: Demand) -> tuple[dict[int, int], dict[int, int]]:
    """Ranks that keep their node: its position, and the devices of each; they are taken in the ledger.

    Devices are chosen anew, as every pod of the attempt is made anew.
    """
    by_node: dict[str, list[int]] = {}
    for rank, node in enumerate(before.nodes):
        by_node.setdefault(node, []).append(rank)
    kept: dict[int, int] = {}
    devices: dict[int, int] = {}
    for node, ranks in by_node.items():
        position = ledger.tree.position.get(node)
        if position is None or barrier(ledger.nodes[position], demand) is not None:
            continue
        stay = ranks[: ledger.room(position, demand)]
        if stay:
            devices |= dict(zip(stay, ledger.choose(position, demand, len(stay)), strict=False))
            ledger.take(position, demand, len(stay))
            kept |= dict.fromkeys(stay, position)
    return dict(sorted(kept.items())), devices


def _level(ledger: Ledger, demand: Demand, survivors: list[int], lost: int, widest: int) -> int | None:
    """The narrowest level of which one domain holds all survivors, and has room for the rest."""
    tree, free = ledger.tree, ledger.index(demand).free
    domains = set(survivors)
    for level in range(tree.leaf_level, widest - 1, -1):
        if len(domains) == 1 and free[level][next(iter(domains))] >= lost:
            return level
        domains = {tree.parent[level][domain] for domain in domains}
    return None


def _replace(
    ledger: Ledger, demand: Demand, kept: dict[int, int], lost: list[int], widest: int
) -> tuple[dict[int, int], dict[int, int]]:
    """Take the nearest free slots for lost ranks: each beside its nearest surviving rank, then ever further around.

    Position and devices of each.
    """
    tree, order = ledger.tree, list(kept)
    around = {rank: kept[_nearest(order, rank)] for rank in lost}
    found: dict[int, int] = {}
    devices: dict[int, int] = {}
    for level in range(tree.leaf_level, widest - 1, -1):
        groups: dict[int, list[int]] = {}
        for rank, domain in around.items():
            groups.setdefault(domain, []).append(rank)
        for domain, ranks in sorted(groups.items()):
            index = ledger.index(demand)
            counts: list[tuple[int, int]] = []
            fill(index, level, domain, min(len(ranks), index.free[level][domain]), counts)
            positions = [position for position, number in sorted(counts) for _ in range(number)]
            chosen: list[int] = []
            for position, number in sorted(counts):
                chosen += ledger.choose(position, demand, number)
                ledger.take(position, demand, number)
            devices |= dict(zip(ranks, chosen, strict=False))
            found |= dict(zip(ranks, positions, strict=False))
        around = {rank: tree.parent[level][domain] for rank, domain in around.items() if rank not in found}
    assert not around, f"no room for ranks {sorted(around)}, though there was enough"
    return found, devices


def _nearest(order: list[int], rank: int) -> int:
    """The surviving rank next to a lost one, the lower of two as near."""
    at = bisect_left(order, rank)
    beside = order[max(0, at - 1) : at + 1]
    return min(beside, key=lambda other: (abs(other - rank), other))

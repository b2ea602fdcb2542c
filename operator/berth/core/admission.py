"""One waiting gang against the pools: where it fits, or what refuses it there and what would help.

A refusal is asked of the same slot counts that the placement was tried on, so its numbers are those of the decision.
"""

from dataclasses import dataclass

from berth.core.explain import count, domain_name, where
from berth.core.model import Demand, Gang, Placement, Policy, widest_first
from berth.core.placement import Fit, place
from berth.core.plan import Pending, Reason
from berth.core.slots import Ledger, SlotIndex


@dataclass(frozen=True, slots=True)
class Pool:
    """An AcceleratorPool as a cycle sees it. `sizes`: devices that one replica may ask for, None if any number.

    `problem`: why nothing can be placed here, as a sentence.
    """

    name: str
    resource: str
    ledger: Ledger
    sizes: tuple[int, ...] | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Berth:
    """A place found for a gang."""

    pool: Pool
    demand: Demand
    fit: Fit

    def placement(self, generation: int, now: int) -> Placement:
        """The berth as it will stand on record."""
        tree = self.pool.ledger.tree
        fit = self.fit
        paths = [tree.above(position) for position, _ in fit.counts]
        spans = {tree.levels[level]: len({path[level] for path in paths}) for level in range(1, len(tree.levels))}
        names = tree.domains[-1]
        return Placement(
            pool=self.pool.name,
            domain=domain_name(tree, fit.level, fit.domain),
            level=tree.levels[fit.level],
            spans=widest_first(spans),
            nodes=tuple(names[position] for position in fit.ranks()),
            generation=generation,
            admitted_at=now,
        )

    def take(self) -> None:
        """Count the gang's devices as taken in the pool's ledger."""
        for position, replicas in self.fit.counts:
            self.pool.ledger.take(position, self.demand, replicas)


def find(gang: Gang, pools: dict[str, Pool]) -> Berth | None:
    """Find room for a gang: in the first listed pool that has it, or, where none is listed, the narrowest there is."""
    best: Berth | None = None
    for pool in candidates(gang, pools):
        if unsuitable(gang, pool) is not None:
            continue
        demand = gang.demand(pool.resource)
        fit = place(pool.ledger.index(demand), gang.replicas, _widest(gang, pool))
        if fit is None:
            continue
        berth = Berth(pool, demand, fit)
        if gang.pools:
            return berth
        if best is None or _width(berth) < _width(best):
            best = berth
    return best


def candidates(gang: Gang, pools: dict[str, Pool]) -> list[Pool]:
    """Pools that the gang may run in: as listed, or all by name."""
    names = gang.pools or tuple(sorted(pools))
    return [pools[name] for name in names if name in pools]


def unsuitable(gang: Gang, pool: Pool) -> Pending | None:
    """Why a pool can never hold this gang, whatever is free."""
    if pool.problem is not None:
        return Pending(Reason.POOL_NOT_READY, f"pool {pool.name} cannot be used: {pool.problem}")
    if pool.sizes is not None and gang.devices not in pool.sizes:
        legal = ", ".join(map(str, pool.sizes))
        text = f"pool {pool.name} takes {legal} devices per replica, spec.devicesPerReplica is {gang.devices}"
        return Pending(Reason.SIZE_NOT_ALLOWED, text)
    if gang.level is not None and pool.ledger.tree.level(gang.level) is None:
        levels = ", ".join(pool.ledger.tree.levels[1:])
        text = f"pool {pool.name} has no level {gang.level} (spec.topology.level); it has {levels}"
        return Pending(Reason.UNKNOWN_LEVEL, text)
    return None


def refusal(gang: Gang, pools: dict[str, Pool]) -> Pending:
    """Say why a gang that `find` found no room for cannot start: by pool, the nearest to starting first."""
    if not pools:
        return Pending(Reason.NO_POOL, "there is no AcceleratorPool in this cluster; create one")
    unknown = [name for name in gang.pools if name not in pools]
    found = [_refusal_in(gang, pool) for pool in candidates(gang, pools)]
    if unknown:
        known = ", ".join(sorted(pools)[:8])
        text = f"spec.pools names {', '.join(unknown)}, which is no AcceleratorPool; there are {known}"
        found.append(Pending(Reason.UNKNOWN_POOL, text))
    found.sort(key=lambda pending: _HOPE.index(pending.reason))
    message = "; ".join(pending.message for pending in found[:3])
    if len(found) > 3:
        message += f"; and {count(len(found) - 3, 'more pool')}"
    nearest = [text for pending in found for text in pending.nearest]
    return Pending(found[0].reason, message, tuple((nearest + _elsewhere(gang, pools))[:3]))


_HOPE = (
    Reason.TOPOLOGY_BLOCKED,
    Reason.INSUFFICIENT_DEVICES,
    Reason.TOO_LARGE,
    Reason.POOL_NOT_READY,
    Reason.UNKNOWN_LEVEL,
    Reason.SIZE_NOT_ALLOWED,
    Reason.UNKNOWN_POOL,
)
"""Refusals from the one that time alone may lift to the one that only an edit does."""


def _refusal_in(gang: Gang, pool: Pool) -> Pending:
    never = unsuitable(gang, pool)
    if never is not None:
        return never
    ledger, tree = pool.ledger, pool.ledger.tree
    demand = gang.demand(pool.resource)
    index = ledger.index(demand)
    widest = _widest(gang, pool)
    noun = _slot_noun(gang, pool)
    need = count(gang.replicas, noun)
    # What would the largest domain hold if nothing were taken?
    largest = max(range(len(tree.domains[widest])), key=lambda d: (index.whole[widest][d], -d), default=0)
    room = index.whole[widest][largest] if tree.domains[widest] else 0
    level = tree.levels[widest]
    if room < gang.replicas:
        if widest == 0:
            text = f"needs {need}; pool {pool.name} has {room}{_kept_out(ledger, demand)}"
        else:
            place_ = where(tree, widest, largest) if tree.domains[widest] else "anywhere"
            text = f"needs {need} under one {level}; the most, {place_} of pool {pool.name}, is {room}"
            text += _kept_out(ledger, demand)
        return Pending(Reason.TOO_LARGE, text, _nearest(gang, index, widest))
    total = index.free[0][0]
    if total < gang.replicas:
        text = f"needs {need}; {total} of {index.whole[0][0]} are free in pool {pool.name}{_kept_out(ledger, demand)}"
        return Pending(Reason.INSUFFICIENT_DEVICES, text, _nearest(gang, index, widest))
    most, domain = index.most(widest)
    text = (
        f"needs {count(gang.replicas, f'free {noun}')} under one {level}; "
        f"the most free is {most} {where(tree, widest, domain)} (of {index.whole[widest][domain]})"
    )
    return Pending(Reason.TOPOLOGY_BLOCKED, text, _nearest(gang, index, widest))


def _kept_out(ledger: Ledger, demand: Demand) -> str:
    """`; 3 nodes: cordoned`: what besides other jobs keeps nodes out, largest first."""
    found = [f"{count(nodes, 'node')}: {why}" for why, nodes in ledger.barriers(demand).most_common(3)]
    return f" ({', '.join(found)})" if found else ""


def _nearest(gang: Gang, index: SlotIndex, widest: int) -> tuple[str, ...]:
    """Changes of the job that would let it start in this pool now; each was tried."""
    tree = index.tree
    found = []
    if widest > 0:
        wider = place(index, gang.replicas, 0)
        if wider is not None:
            over = len({tree.above(position)[widest] for position, _ in wider.counts})
            found.append(f"topology.policy Preferred: could start now over {count(over, tree.levels[widest])}")
    most, domain = index.most(widest)
    if 0 < most < gang.replicas:
        found.append(f"replicas {most}: could start now {where(tree, widest, domain)}")
    return tuple(found)


def _elsewhere(gang: Gang, pools: dict[str, Pool]) -> list[str]:
    """Pools that the job does not list and that would hold it now."""
    found = []
    for name in sorted(pools):
        if not gang.pools or name in gang.pools or unsuitable(gang, pools[name]) is not None:
            continue
        pool = pools[name]
        fit = place(pool.ledger.index(gang.demand(pool.resource)), gang.replicas, _widest(gang, pool))
        if fit is not None:
            found.append(f"pools [{name}]: could start now {where(pool.ledger.tree, fit.level, fit.domain)}")
    return found


def _slot_noun(gang: Gang, pool: Pool) -> str:
    """A slot is a node where a replica takes all devices of one; else it is told by its size."""
    sizes = {node.allocatable.get(pool.resource, 0) for node in pool.ledger.nodes}
    if sizes and max(sizes) == gang.devices:
        return "node"
    return f"slot of {count(gang.devices, 'device')}"


def _widest(gang: Gang, pool: Pool) -> int:
    """Number of the widest level that the gang may span within one domain."""
    if gang.level is None or gang.policy is Policy.PREFERRED:
        return 0
    level = pool.ledger.tree.level(gang.level)
    assert level is not None, "an unknown level is refused before a place is looked for"
    return level


def _width(berth: Berth) -> tuple[int, ...]:
    """Sort key: narrower first. Levels above the node are compared by their distance from it."""
    tree = berth.pool.ledger.tree
    return (tree.leaf_level - berth.fit.level,)

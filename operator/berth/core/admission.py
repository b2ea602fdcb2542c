"""One waiting gang against the pools: where it fits, or what refuses it there.

A refusal is asked of the same slot counts that the placement was tried on, so its numbers are those of the decision.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from berth.core import shortages
from berth.core.explain import count, domain_name, minute, where, within
from berth.core.grouping import place_groups
from berth.core.model import Demand, Gang, JobKey, Placement, Policy, widest_first
from berth.core.placement import Fit, Rule, place
from berth.core.plan import Pending, Reason
from berth.core.slots import Ledger, SlotIndex, barrier, room


@dataclass(frozen=True, slots=True)
class Pool:
    """An AcceleratorPool as a cycle sees it.

    `sizes`: devices that a replica of a gang may ask for, `sizes_alone`: that an only replica may; None if any number.
    `defaults`: name of what the pool merges into its replicas, empty if nothing. `problem`: why nothing can be placed
    here, as a sentence.
    """

    name: str
    resource: str
    ledger: Ledger
    sizes: tuple[int, ...] | None = None
    sizes_alone: tuple[int, ...] | None = None
    problem: str | None = None
    defaults: str = ""

    def demand(self, gang: Gang) -> Demand:
        """What one replica of a gang needs here."""
        numbered = self.ledger.numbering is not None
        return gang.demand(self.resource, self.defaults, numbered and gang.replicas > 1)


@dataclass(frozen=True, slots=True)
class Berth:
    """A place found for a gang. `devices`: as on the placement."""

    pool: Pool
    demand: Demand
    fit: Fit
    devices: tuple[int, ...] = ()

    @classmethod
    def at(cls, pool: Pool, demand: Demand, fit: Fit) -> "Berth":
        """A place in a pool, with the devices that every replica would get there now."""
        ledger = pool.ledger
        chosen = (ledger.choose(position, demand, replicas) for position, replicas in fit.counts)
        return cls(pool, demand, fit, tuple(mask for masks in chosen for mask in masks))

    def placement(self, generation: int, now: int, epoch: int = 0) -> Placement:
        """The berth as it will stand on record."""
        return describe(self.pool, self.fit.ranks(), generation, now, epoch, self.devices)

    def take(self) -> None:
        """Count the gang's devices as taken in the pool's ledger."""
        for position, replicas in self.fit.counts:
            self.pool.ledger.take(position, self.demand, replicas)


def describe(
    pool: Pool, ranks: Sequence[int], generation: int, now: int, epoch: int, devices: tuple[int, ...] = ()
) -> Placement:
    """The placement of a gang whose ranks sit on these node positions, with the narrowest domain around them."""
    tree = pool.ledger.tree
    paths = [tree.above(position) for position in sorted(set(ranks))]
    domains = [{path[level] for path in paths} for level in range(len(tree.levels))]
    narrowest = max(level for level, found in enumerate(domains) if len(found) == 1)
    names = tree.domains[-1]
    return Placement(
        pool=pool.name,
        domain=domain_name(tree, narrowest, paths[0][narrowest]),
        level=tree.levels[narrowest],
        spans=widest_first({tree.levels[level]: len(domains[level]) for level in range(1, len(tree.levels))}),
        nodes=tuple(names[position] for position in ranks),
        generation=generation,
        admitted_at=now,
        epoch=epoch,
        devices=devices,
        defaults=pool.defaults,
    )


Find = Callable[[Gang, dict[str, Pool]], Berth | None]
"""Finds room for a gang, the pools as they are; takes nothing."""


def find(gang: Gang, pools: dict[str, Pool], *, rule: Rule = place) -> Berth | None:
    """Find room for a gang: in the first listed pool that has it, or, where none is listed, the narrowest there is.

    `rule`: how a place is chosen within a pool.
    """
    best: Berth | None = None
    for pool in candidates(gang, pools):
        if unsuitable(gang, pool) is not None:
            continue
        demand = pool.demand(gang)
        index, widest = pool.ledger.index(demand), widest_level(gang, pool)
        if gang.groups is None:
            fit = rule(index, gang.replicas, widest)
        else:
            fit = place_groups(index, gang.replicas, widest, gang.groups, rule=rule)
        if fit is None:
            continue
        berth = Berth.at(pool, demand, fit)
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
    if pool.defaults or gang.shapes:
        shape = gang.shape(pool.defaults)
        if shape is None:
            text = f"a replica is being tried with the podDefaults of pool {pool.name}"
            return Pending(Reason.VALIDATING, text)
        if shape.refused is not None:
            text = f"{'with the podDefaults of' if pool.defaults else 'in'} pool {pool.name}: {shape.refused}"
            return Pending(Reason.TEMPLATE_REFUSED, text)
    sizes = pool.sizes if gang.replicas > 1 else pool.sizes_alone
    if sizes is not None and gang.devices not in sizes:
        legal = ", ".join(map(str, sizes))
        whose = "a replica of a gang" if gang.replicas > 1 else "a single replica"
        text = f"spec.devicesPerReplica is {gang.devices}; in pool {pool.name} {whose} may have {legal}"
        return Pending(Reason.SIZE_NOT_ALLOWED, text)
    for field, level in (("level", gang.level), ("groups.level", gang.groups.level if gang.groups else None)):
        if level is not None and pool.ledger.tree.level(level) is None:
            levels = ", ".join(pool.ledger.tree.levels[1:])
            text = f"pool {pool.name} has no level {level} (spec.topology.{field}); it has {levels}"
            return Pending(Reason.UNKNOWN_LEVEL, text)
    return None


def holds_it_empty(gang: Gang, pool: Pool) -> bool:
    """Whether a suitable pool would have room for a gang if nothing at all were taken, as far as is quick to say."""
    if unsuitable(gang, pool) is not None:
        return False
    return max(pool.ledger.index(pool.demand(gang)).whole[widest_level(gang, pool)], default=0) >= gang.replicas


Takes = tuple[tuple[int, Mapping[str, int], int], ...]
"""What a gang takes: (node position, amounts, mask of its devices where they are chosen by id)."""


@dataclass(frozen=True, slots=True)
class Stay:
    """A gang that holds devices and the time at which it is expected to give them back. `guessed`: it did not say."""

    end: int
    key: JobKey
    pool: str
    takes: Takes
    guessed: bool = False


Ends = Callable[[str, range], Iterable[Stay]]
"""Gangs on some nodes of a pool, by expected end."""


def refusal(gang: Gang, pools: dict[str, Pool], *, ends: Ends = lambda _pool, _nodes: ()) -> Pending:
    """Say why a gang that `find` found no room for cannot start: by pool, the nearest to starting first."""
    if not pools:
        return Pending(Reason.NO_POOL, "there is no AcceleratorPool in this cluster; create one")
    tried = candidates(gang, pools)
    found = [_refusal_in(gang, pool, f" of pool {pool.name}" if len(tried) > 1 else "", ends) for pool in tried]
    unknown = [name for name in gang.pools if name not in pools]
    if unknown:
        known = ", ".join(sorted(pools)[:8])
        more = f" and {len(pools) - 8} more" if len(pools) > 8 else ""
        text = f"no AcceleratorPool is called {' or '.join(unknown)} (spec.pools); there is {known}{more}"
        found.append(Pending(Reason.UNKNOWN_POOL, text))
    found.sort(key=lambda pending: _HOPE.index(pending.reason))
    message = "; ".join(pending.message for pending in found[:3])
    if len(found) > 3:
        message += f"; and {count(len(found) - 3, 'more pool')}"
    return Pending(found[0].reason, message)


_ENDS = 20
"""Next ends that are looked at for one that frees a slot."""
_HOPE = (
    Reason.TOPOLOGY_BLOCKED,
    Reason.INSUFFICIENT_DEVICES,
    Reason.TOO_LARGE,
    Reason.VALIDATING,
    Reason.TEMPLATE_REFUSED,
    Reason.POOL_NOT_READY,
    Reason.UNKNOWN_LEVEL,
    Reason.SIZE_NOT_ALLOWED,
    Reason.UNKNOWN_POOL,
)
"""Refusals from the one that time alone may lift to the one that only an edit does."""


def _refusal_in(gang: Gang, pool: Pool, of_pool: str, ends: Ends) -> Pending:
    never = unsuitable(gang, pool)
    if never is not None:
        return never
    ledger, tree = pool.ledger, pool.ledger.tree
    demand = pool.demand(gang)
    index, each = _units(gang, pool)
    wanted, slots = gang.replicas // each, ledger.index(demand).free[0][0]
    widest = widest_level(gang, pool)
    noun, apart, all_ = _slot_noun(gang, pool), "", ""
    if gang.groups is not None and each > 1:
        noun, apart, all_ = f"group of {count(each, noun)}", f", each {within(gang.groups.level)}", ", all"
    need = count(wanted, noun) + apart
    if not ledger.nodes:
        return Pending(Reason.TOO_LARGE, f"needs {need}; pool {pool.name} has no node")
    inside = f"{all_} {within(tree.levels[widest])}" if widest else ""
    # What would the largest domain hold if nothing were taken?
    whole = index.whole[widest]
    largest = max(range(len(whole)), key=lambda domain: (whole[domain], -domain))
    if whole[largest] < wanted:
        if each == 1:
            return _too_large(gang, pool, need, inside, largest)
        most = (
            f"the most, {where(tree, widest, largest)} of pool {pool.name}, is" if widest else f"pool {pool.name} has"
        )
        text = f"needs {need}{inside}; {most} {whole[largest]}{_kept_out(ledger, demand, whole=True)}"
        return Pending(Reason.TOO_LARGE, text)
    if slots < gang.replicas:
        total = index.free[0][0]
        text = f"needs {need}; {total} of {index.whole[0][0]} {_are(total)} free in pool {pool.name}"
        text += _kept_out(ledger, demand, whole=False) + _squeezed(pool, demand)
        return Pending(Reason.INSUFFICIENT_DEVICES, text + _soon(pool, demand, range(len(ledger.nodes)), ends))
    free, domain = index.most(widest)
    text = (
        f"needs {count(wanted, f'free {noun}')}{apart}{inside}; "
        f"the most free is {free} {where(tree, widest, domain)}{of_pool} (of {whole[domain]})"
    )
    text += _squeezed(pool, demand) + _soon(pool, demand, tree.nodes(widest, domain), ends)
    return Pending(Reason.TOPOLOGY_BLOCKED, text)


def _too_large(gang: Gang, pool: Pool, need: str, inside: str, largest: int) -> Pending:
    """A gang that does not fit though nothing were taken: for want of nodes, or because some are closed."""
    ledger, tree = pool.ledger, pool.ledger.tree
    demand = pool.demand(gang)
    widest = widest_level(gang, pool)
    whole = ledger.index(demand).whole
    out = _kept_out(ledger, demand, whole=True)
    if shortages.any_closed(ledger):
        opened = shortages.opened(ledger, demand)[widest]
        if max(opened) >= gang.replicas:
            domain = opened.index(max(opened))
            if not widest or whole[0][0] < gang.replicas:
                counted = f"{whole[0][0]} of {sum(opened)} {_are(whole[0][0])} open in pool {pool.name}"
                return Pending(Reason.INSUFFICIENT_DEVICES, f"needs {need}{inside}; {counted}{out}")
            there = f"{where(tree, widest, domain)} of pool {pool.name}, the largest"
            counted = f"{whole[widest][domain]} of {opened[domain]} {_are(whole[widest][domain])} open"
            text = f"needs {need}{inside}; {there}, {counted}{out}"
            return Pending(Reason.TOPOLOGY_BLOCKED, text)
    most = f"the most, {where(tree, widest, largest)} of pool {pool.name}, is" if widest else f"pool {pool.name} has"
    return Pending(Reason.TOO_LARGE, f"needs {need}{inside}; {most} {whole[widest][largest]}{out}")


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _squeezed(pool: Pool, demand: Demand) -> str:
    """`; too little cpu on 2 nodes costs 5 slots`: nodes that have slots, but fewer than devices for them."""
    found = shortages.squeezed(pool.ledger, demand, pool.resource)
    return "".join(
        f"; too little {name} on {count(nodes, 'node')} costs {count(slots, 'slot')}"
        for name, (nodes, slots) in found.items()
    )


def _soon(pool: Pool, demand: Demand, positions: range, ends: Ends) -> str:
    """`; 5 more come free when nlp/bert-large ends, expected at …`: the first end on these nodes that frees a slot."""
    ledger = pool.ledger
    for stay in islice(ends(pool.name, positions), _ENDS):
        freed = 0
        for position, amounts, _ in stay.takes:
            node, used = ledger.nodes[position], ledger.used[position]
            if position in positions and barrier(node, demand) is None:
                left = {name: amount - amounts.get(name, 0) for name, amount in used.items()}
                freed += room(node, left, demand) - room(node, used, demand)
        if freed > 0:
            when = "which declares no maxDuration" if stay.guessed else f"expected at {minute(stay.end)}"
            return f"; {freed} more {'comes' if freed == 1 else 'come'} free when {stay.key} ends, {when}"
    return ""


def _kept_out(ledger: Ledger, demand: Demand, *, whole: bool) -> str:
    """` (3 of 16 nodes: cordoned; 1: not ready)`: what keeps nodes of the pool out, most nodes first."""
    found = ledger.barriers(demand, whole=whole).most_common()
    if not found:
        return ""
    rest = sum(nodes for _, nodes in found[3:])
    told = [f"{nodes}: {why}" for why, nodes in found[:3]] + ([f"{rest}: other reasons"] if rest else [])
    number, colon, why = told[0].partition(":")
    told[0] = f"{number} of {count(len(ledger.nodes), 'node')}{colon}{why}"
    return f" ({'; '.join(told)})"


def _units(gang: Gang, pool: Pool) -> tuple[SlotIndex, int]:
    """Free slots for a gang, or free groups where it has such and they matter; and how many slots one counts."""
    index = pool.ledger.index(pool.demand(gang))
    level = pool.ledger.tree.level(gang.groups.level) if gang.groups else None
    if gang.groups is None or level is None or widest_level(gang, pool) >= level:
        return index, 1
    return index.grouped(level, gang.groups.size), gang.groups.size


def most_replicas(gang: Gang, pool: Pool) -> int:
    """The most replicas of a gang that one domain of its widest level has room for."""
    index, each = _units(gang, pool)
    return index.most(widest_level(gang, pool))[0] * each


def _slot_noun(gang: Gang, pool: Pool) -> str:
    """A slot is a node where a replica takes all devices of one; else it is told by its size."""
    if shortages.largest(pool.ledger, pool.resource) == gang.devices:
        return "node"
    return f"slot of {count(gang.devices, 'device')}"


def widest_level(gang: Gang, pool: Pool) -> int:
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

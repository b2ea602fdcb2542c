"""`tree [POOL]`: the network tree of a pool, with what is free and who has the rest, in every domain."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from berth.cli.screen import Screen
from berth.cluster.mirror import Mirror
from berth.core import explain
from berth.core.admission import Pool
from berth.core.census import Tally, health_of, tallies
from berth.core.model import Job, Mode, Node
from berth.text import Column, table

JsonObject = dict[str, Any]

_COLUMNS = (
    Column("DOMAIN", least=12),
    Column("NODES", right=True),
    Column("DEVICES", right=True),
    Column("FREE", right=True),
    Column("USED", right=True),
    Column("UNAVAILABLE", right=True),
)
_STATE = Column("STATE")
_TAKEN = Column("TAKEN BY", least=10)


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain: its level (0: the pool), its full name, and who has how many devices in it. `node`: if it is one."""

    level: int
    rung: str
    name: str
    full: str
    tally: Tally
    takers: tuple[tuple[str, int], ...]
    node: Node | None = None

    @property
    def state(self) -> str:
        """Of a node: whether it takes pods."""
        if self.node is None:
            return ""
        return "spare" if self.node.spare else str(health_of(self.node))

    def wire(self) -> JsonObject:
        """The same for scripts."""
        tally = self.tally
        devices = {"total": tally.total, "free": tally.free, "used": tally.used, "unavailable": tally.unavailable}
        found = {"level": self.rung, "domain": self.full, "nodes": tally.nodes, "devices": devices}
        if self.node is not None:
            found["state"] = self.state
        return {**found, "takenBy": dict(self.takers)}


@dataclass(frozen=True, slots=True)
class Grown:
    """The tree of one pool; `left_out`: nodes that miss a level, and devices of theirs."""

    pool: str
    resource: str
    levels: tuple[str, ...]
    domains: tuple[Domain, ...]
    left_out: int = 0
    problem: str | None = None

    def wire(self, *, nodes: bool) -> JsonObject:
        """The same for scripts."""
        domains = [domain.wire() for domain in self.domains if nodes or domain.node is None]
        return {
            "pool": self.pool,
            "resourceName": self.resource,
            "levels": list(self.levels),
            "nodesLeftOut": self.left_out,
            "domains": domains,
        }


def grown(mirror: Mirror, names: tuple[str, ...]) -> list[Grown]:
    """The trees of these pools, or of all, by name; names that no pool has are left out."""
    snapshot = mirror.snapshot(Mode.ACTIVE)
    members = {m.facts.name: m for m in mirror.pools.members()}
    found = []
    for name in sorted(set(names) or snapshot.pools):
        pool = snapshot.pools.get(name)
        if pool is None:
            continue
        others = _others(mirror, pool.resource)
        domains = tuple(_domains(pool, others, _holders(snapshot.jobs, pool.resource)))
        left_out = len(mirror.pools.unplaced(members[name]))
        found.append(Grown(name, pool.resource, pool.ledger.tree.levels[1:], domains, left_out, pool.problem))
    return found


def _others(mirror: Mirror, resource: str) -> Counter[str]:
    """Devices that pods of others hold, by node."""
    held: Counter[str] = Counter()
    for pod in mirror.foreign_pods():
        held[pod.node] += dict(pod.requests).get(resource, 0)
    return held


def _holders(jobs: tuple[Job, ...], resource: str) -> dict[str, Counter[str]]:
    """Devices that jobs hold, by node and job."""
    held: dict[str, Counter[str]] = {}
    for job in jobs:
        for node, requests in job.claims.items():
            held.setdefault(node, Counter())[str(job.key)] += dict(requests).get(resource, 0)
    return held


def _domains(pool: Pool, others: Mapping[str, int], holders: Mapping[str, Counter[str]]) -> Iterator[Domain]:
    """All domains, each before those below it, in network order."""
    tree, counted = pool.ledger.tree, tallies(pool, others)

    def below(level: int, domain: int) -> Iterator[Domain]:
        node = pool.ledger.nodes[domain] if level == tree.leaf_level else None
        tally = counted[level][domain]
        takers: Counter[str] = Counter()
        for position in tree.nodes(level, domain):
            takers.update(holders.get(pool.ledger.nodes[position].name, {}))
        leaving = tally.by_berth - takers.total()
        named = sorted((+takers).items(), key=lambda item: (-item[1], item[0]))
        rest = [
            (who, number) for who, number in (("pods that end", leaving), ("others", tally.by_others)) if number > 0
        ]
        yield Domain(
            level=level,
            rung=tree.levels[level] if level else "pool",
            name=tree.domains[level][domain],
            full=explain.domain_name(tree, level, domain),
            tally=tally,
            takers=(*named, *rest),
            node=node,
        )
        if level < tree.leaf_level:
            for child in tree.children(level, domain):
                yield from below(level + 1, child)

    return below(0, 0)


def drawn(trees: list[Grown], screen: Screen, *, nodes: bool, wide: bool) -> list[str]:
    """Lines of the trees; the takers of a domain are told where nothing narrower tells them, or all when `wide`."""
    columns = (*_COLUMNS, *((_STATE,) if nodes else ()), _TAKEN)
    lines: list[str] = []
    for tree in trees:
        shown = [domain for domain in tree.domains if nodes or domain.node is None]
        last = max((domain.level for domain in shown), default=0)
        rows = [_row(domain, nodes=nodes, takers=wide or domain.level == last) for domain in shown]
        lines += ([""] if lines else []) + table(columns, rows, screen.columns)
        if tree.left_out:
            left = explain.count(tree.left_out, "node")
            lines.append(f"{left} left out, for want of a label of some level: kubectl describe apool {tree.pool}")
        if tree.problem:
            lines.append(f"the pool cannot be used: {tree.problem}")
    return lines


def _row(domain: Domain, *, nodes: bool, takers: bool) -> list[str]:
    tally = domain.tally
    numbers = (tally.nodes, tally.total, tally.free, tally.used, tally.unavailable)
    taken = ", ".join(f"{who} {number}" for who, number in domain.takers) if takers else ""
    state = [domain.state] if nodes else []
    return [f"{'  ' * domain.level}{domain.name}", *map(str, numbers), *state, taken]

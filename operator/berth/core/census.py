"""Counting a pool: nodes by health, devices by who has them, and what the largest gang is that would fit now.

For statuses and metrics. Not part of a cycle, as nothing is decided by it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from berth.core.admission import Pool
from berth.core.model import Demand, Node
from berth.core.slots import Ledger
from berth.core.topology import Tree


class Health(StrEnum):
    """Whether a node takes pods."""

    READY = "ready"
    CORDONED = "cordoned"
    NOT_READY = "not-ready"


class Use(StrEnum):
    """Who has a device. Free ones of a node that takes no pods are nobody's to give."""

    FREE = "free"
    USED_BY_BERTH = "used-by-berth"
    USED_BY_OTHERS = "used-by-others"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class LevelCensus:
    """One level: its domains by what is free of them, and the most devices that one gang could have in one of them.

    `free`: domains with nothing taken and every node open; `full`: with nothing to give; `partial`: the others.
    `largest_free`: devices of the largest gang, by whole nodes, that fits under one domain now.
    """

    level: str
    free: int
    partial: int
    full: int
    largest_free: int
    fragmentation: float
    """Share of the largest gang, of those that the free devices would be enough for and one domain has nodes for,
    that cannot be placed for want of room in one domain. 0: as large as can be, or nothing is free."""

    @property
    def domains(self) -> int:
        """How many domains it has."""
        return self.free + self.partial + self.full


@dataclass(frozen=True, slots=True)
class Census:
    """Counts of one pool: nodes by health, devices by use and health of their node, levels from the pool down."""

    nodes_by_health: Mapping[Health, int]
    devices: Mapping[tuple[Use, Health], int]
    pool: LevelCensus
    levels: tuple[LevelCensus, ...]
    nodes_spare: int = 0
    """Nodes that are kept as spares; their devices are free."""

    @property
    def nodes(self) -> int:
        """Nodes in all."""
        return sum(self.nodes_by_health.values())

    @property
    def nodes_ready(self) -> int:
        """Nodes that take pods."""
        return self.nodes_by_health[Health.READY]

    @property
    def total(self) -> int:
        """Devices in all: `free` + `used` + `unavailable`."""
        return sum(self.devices.values())

    @property
    def free(self) -> int:
        """Devices that can be given."""
        return self._of(Use.FREE)

    @property
    def used(self) -> int:
        """Devices that a gang or somebody else has."""
        return self._of(Use.USED_BY_BERTH) + self._of(Use.USED_BY_OTHERS)

    @property
    def unavailable(self) -> int:
        """Free devices of nodes that are cordoned or not ready."""
        return self._of(Use.UNAVAILABLE)

    def _of(self, use: Use) -> int:
        return sum(devices for (kind, _), devices in self.devices.items() if kind is use)


@dataclass(frozen=True, slots=True)
class Tally:
    """Nodes of one domain, and their devices by who has them. `free`: of nodes that take pods."""

    nodes: int = 0
    free: int = 0
    by_berth: int = 0
    by_others: int = 0
    unavailable: int = 0

    @property
    def used(self) -> int:
        """Devices that a gang or somebody else has."""
        return self.by_berth + self.by_others

    @property
    def total(self) -> int:
        """Devices in all: `free` + `used` + `unavailable`."""
        return self.free + self.used + self.unavailable

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.nodes + other.nodes,
            self.free + other.free,
            self.by_berth + other.by_berth,
            self.by_others + other.by_others,
            self.unavailable + other.unavailable,
        )


def tallies(pool: Pool, others: Mapping[str, int] = MappingProxyType({})) -> list[list[Tally]]:
    """Count every domain, by level from the pool down to the nodes, in network order. `others`: as for `census`."""
    ledger, tree = pool.ledger, pool.ledger.tree
    found = [
        [
            _tally(node, taken.get(pool.resource, 0), pool.resource, others)
            for node, taken in zip(ledger.nodes, ledger.used, strict=True)
        ]
    ]
    for level in range(tree.leaf_level, 0, -1):
        sums = [Tally()] * len(tree.domains[level - 1])
        for above, tally in zip(tree.parent[level], found[-1], strict=True):
            sums[above] += tally
        found.append(sums)
    return found[::-1]


def _tally(node: Node, taken: int, resource: str, others: Mapping[str, int]) -> Tally:
    there = node.allocatable.get(resource, 0)
    held = min(there, taken)
    foreign = min(held, others.get(node.name, 0))
    open_ = health_of(node) is Health.READY
    left = there - held
    return Tally(1, left if open_ else 0, held - foreign, foreign, 0 if open_ else left)


def census(pool: Pool, others: Mapping[str, int] = MappingProxyType({})) -> Census:
    """Count a pool. `others`: devices that pods of others hold, by node; all else that is taken is Berth's."""
    ledger = pool.ledger
    nodes: Counter[Health] = Counter(dict.fromkeys(Health, 0))
    devices: Counter[tuple[Use, Health]] = Counter()
    free, whole = [], []
    for node, taken in zip(ledger.nodes, ledger.used, strict=True):
        tally = _tally(node, taken.get(pool.resource, 0), pool.resource, others)
        health = health_of(node)
        nodes[health] += 1
        devices[Use.USED_BY_BERTH, health] += tally.by_berth
        devices[Use.USED_BY_OTHERS, health] += tally.by_others
        devices[Use.FREE if health is Health.READY else Use.UNAVAILABLE, health] += tally.free + tally.unavailable
        free.append(tally.free)
        whole.append(tally.total)
    pool_, *levels = _levels(pool, free, whole)
    return Census(nodes, devices, pool_, tuple(levels), sum(node.spare for node in ledger.nodes))


def _levels(pool: Pool, free: list[int], whole: list[int]) -> list[LevelCensus]:
    """Count the domains of every level, the pool itself first. `free` and `whole`: devices by node."""
    ledger: Ledger = pool.ledger
    tree = ledger.tree
    size, in_all = max(whole, default=0), sum(free)
    index = ledger.index(Demand(((pool.resource, size),))) if size else None
    found = []
    for level in range(tree.leaf_level, -1, -1):
        states = Counter(
            "free" if f == w and w else "partial" if f else "full" for f, w in zip(free, whole, strict=True)
        )
        largest = index.most(level)[0] * size if index else 0
        could = min(in_all, max(index.whole[level]) * size) if index else 0
        fragmentation = 1 - largest / could if could else 0.0
        found.append(
            LevelCensus(tree.levels[level], states["free"], states["partial"], states["full"], largest, fragmentation)
        )
        if level:
            free, whole = _above(tree, level, free), _above(tree, level, whole)
    return found[::-1]


def _above(tree: Tree, level: int, counts: list[int]) -> list[int]:
    """Sums over the domains one level up."""
    sums = [0] * len(tree.domains[level - 1])
    for above, count in zip(tree.parent[level], counts, strict=True):
        sums[above] += count
    return sums


def health_of(node: Node) -> Health:
    """Whether a node takes pods."""
    if not node.ready:
        return Health.NOT_READY
    return Health.CORDONED if node.cordoned else Health.READY

"""How far gangs are spread: domains that they span against the fewest possible, and pairs of hosts that lie apart.

Both are weighted by the device-seconds of the attempt, because that is how long the network carries it. The fewest
domains of a level are counted on the empty pool, each level for itself: taking the domains with the most room first is
exact there.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from berth.core.model import Demand
from berth.core.slots import barrier, room
from berth.sim.measures.ground import Ground, held
from berth.sim.record import Life, Stint


@dataclass(frozen=True, slots=True)
class Spread:
    """One level of one pool; `pool` empty: the level of that name in all pools.

    `crossing`: share of a gang's pairs of hosts that lie under different domains, over attempts on two hosts or more;
    `pairs`: device-seconds of those. `spans` and `least`: domains of an attempt of two replicas or more, and the fewest
    possible; `gangs`: device-seconds of those. Figures are None where there is no such attempt.
    """

    pool: str
    level: str
    pairs: int
    crossing: float | None
    gangs: int
    spans: float | None
    least: float | None

    @property
    def inflation(self) -> float | None:
        """How many times the fewest possible domains: 1 is the best."""
        return None if self.spans is None or self.least is None else self.spans / self.least


class _Sums:
    __slots__ = ("crossing", "gangs", "least", "pairs", "spans")

    def __init__(self) -> None:
        self.pairs = self.gangs = self.spans = self.least = 0
        self.crossing = 0.0

    def add(self, other: "_Sums") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def told(self, pool: str, level: str) -> Spread:
        return Spread(
            pool=pool,
            level=level,
            pairs=self.pairs,
            crossing=self.crossing / self.pairs if self.pairs else None,
            gangs=self.gangs,
            spans=self.spans / self.gangs if self.gangs else None,
            least=self.least / self.gangs if self.gangs else None,
        )


class Least:
    """The fewest domains of each level that a gang could span if its pool were empty, and all nodes up and open."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._slots: dict[Demand, list[list[int]]] = {}
        self._known: dict[tuple[Demand, int], tuple[int, ...]] = {}

    def of(self, demand: Demand, replicas: int) -> tuple[int, ...]:
        """By level, from the pool's first to `node`. For a gang that never fits, one more than have room."""
        key = (demand, replicas)
        if key not in self._known:
            if demand not in self._slots:
                self._slots[demand] = self._count(demand)
            self._known[key] = tuple(_fewest(level, replicas) for level in self._slots[demand])
        return self._known[key]

    def _count(self, demand: Demand) -> list[list[int]]:
        """Slots of the domains, the most first, by level."""
        ground = self._ground
        nodes = [replace(n, ready=True, cordoned=False, spare=False) for n in ground.fleet.nodes]
        rooms = [0 if barrier(node, demand) else room(node, {}, demand) for node in nodes]
        found = []
        for domain, number in zip(ground.domain[1:], ground.domains[1:], strict=True):
            slots = [0] * number
            for position, where in enumerate(domain):
                slots[where] += rooms[position]
            found.append(sorted((s for s in slots if s), reverse=True))
        return found


def _fewest(slots: list[int], replicas: int) -> int:
    for number, most in enumerate(slots, 1):
        replicas -= most
        if replicas <= 0:
            return number
    return len(slots) + 1


def spans(ground: Ground, stint: Stint) -> tuple[int, ...]:
    """Domains that an attempt spans, by level from the pool's first to `node`."""
    hosts = set(stint.nodes)
    return tuple(len({domain[h] for h in hosts}) for domain in ground.domain[1:])


def crossing(domain: tuple[int, ...], hosts: Iterable[int]) -> float | None:
    """Share of the pairs of these hosts that lie under different domains; None of a single host, which has no pair."""
    below = Counter(domain[h] for h in hosts)
    number = below.total()
    if number < 2:
        return None
    together = sum(n * (n - 1) for n in below.values())
    return 1 - together / (number * (number - 1))


def spreads(lives: Iterable[Life], pools: Mapping[str, Ground]) -> tuple[Spread, ...]:
    """Every level of every pool, and of all pools where there are several with levels of that name."""
    sums = {name: [_Sums() for _ in ground.levels[1:]] for name, ground in pools.items()}
    least = {name: Least(ground) for name, ground in pools.items()}
    for life in lives:
        gang = life.task.gang
        if gang.replicas < 2:
            continue
        for stint in life.stints:
            ground, weight = pools[stint.pool], held(life, stint) * (stint.end - stint.start)
            hosts = set(stint.nodes)
            fewest = least[stint.pool].of(gang.demand(ground.fleet.resource), gang.replicas)
            for row, domain, few in zip(sums[stint.pool], ground.domain[1:], fewest, strict=True):
                row.gangs += weight
                row.spans += weight * len({domain[h] for h in hosts})
                row.least += weight * few
                apart = crossing(domain, hosts)
                if apart is not None:
                    row.pairs += weight
                    row.crossing += weight * apart
    found = [
        row.told(name, level)
        for name, rows in sums.items()
        for row, level in zip(rows, pools[name].levels[1:], strict=True)
    ]
    if len(pools) < 2:
        return tuple(found)
    return (*_together(sums, pools), *found)


def _together(sums: Mapping[str, list[_Sums]], pools: Mapping[str, Ground]) -> Iterable[Spread]:
    """The same levels of all pools."""
    total: dict[str, _Sums] = {}
    for name, rows in sums.items():
        for row, level in zip(rows, pools[name].levels[1:], strict=True):
            total.setdefault(level, _Sums()).add(row)
    return [row.told("", level) for level, row in total.items()]

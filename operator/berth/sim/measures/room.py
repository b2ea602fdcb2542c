"""What room is left over time: the largest gang that would fit, and fragmentation, defined as Berth's own metrics are.

One pass over the moments at which anything changes. A level keeps how many domains have how many whole nodes free, so
that its largest is known without a look at the others.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from berth.sim.measures.ground import Ground, on_nodes
from berth.sim.measures.seconds import Outages
from berth.sim.measures.series import Parts
from berth.sim.record import Run


@dataclass(frozen=True, slots=True)
class Room:
    """One level of one pool. `largest`: devices of the largest gang, by whole nodes, that would fit in one domain.

    `fragmentation`: 1 - largest / what there would be room for if all that is free lay together. Both are means over
    the window, `least` the least of `largest` in it. The series are means over the parts of the run.
    """

    pool: str
    level: str
    largest: float
    least: int
    fragmentation: float
    largest_series: tuple[float, ...]
    fragmentation_series: tuple[float, ...]


class Peak:
    """Counts by domain, and the largest of them."""

    __slots__ = ("counts", "having", "top")

    def __init__(self, domains: int, most: int) -> None:
        self.counts = [0] * domains
        self.having = [0] * (most + 1)
        self.having[0] = domains
        self.top = 0

    def shift(self, changes: Mapping[int, int]) -> None:
        """So many more, or less, in each of these domains."""
        counts, having = self.counts, self.having
        for domain, by in changes.items():
            before = counts[domain]
            after = counts[domain] = before + by
            having[before] -= 1
            having[after] += 1
            self.top = max(self.top, after)
        while self.top and not having[self.top]:
            self.top -= 1


class _Whole:
    """Whole nodes that are there, or free, in the domains of every level but that of nodes."""

    __slots__ = ("_parents", "_peaks")

    def __init__(self, ground: Ground) -> None:
        nodes = len(ground.devices)
        self._peaks = [Peak(number, nodes) for number in ground.domains[:-1]]
        self._parents = [
            dict(zip(below, above, strict=True)) for above, below in zip(ground.domain, ground.domain[1:], strict=False)
        ]

    def shift(self, changes: Mapping[int, int]) -> None:
        """Nodes by position: 1 for one more, -1 for one less."""
        for peak, parent in zip(reversed(self._peaks), reversed(self._parents), strict=True):
            above: dict[int, int] = {}
            for domain, by in changes.items():
                where = parent[domain]
                above[where] = above.get(where, 0) + by
            peak.shift(above)
            changes = above

    def tops(self) -> list[int]:
        """The most of any domain, by level from the pool to the node."""
        found = [peak.top for peak in self._peaks]
        return [*found, min(1, found[0])]


class _Pool:
    """A pool as it stands: what is taken and down, what is free, and whole nodes by level."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        nodes = len(ground.devices)
        self.used = [0] * nodes
        self.down = [0] * nodes
        self.free = 0
        self._given = [0] * nodes
        self._vacant = [False] * nodes
        self._there = [False] * nodes
        self.vacant, self.there = _Whole(ground), _Whole(ground)
        self.settle(range(nodes))

    def settle(self, positions: Iterable[int]) -> None:
        """Count nodes anew, after changes."""
        ground = self.ground
        vacant, there = {}, {}
        for position in positions:
            whole = ground.devices[position]
            up, left = not self.down[position], whole - self.used[position]
            given = left if up and not ground.closed[position] else 0
            self.free += given - self._given[position]
            self._given[position] = given
            counts = up and not ground.shut[position] and 0 < ground.size == whole
            if counts != self._there[position]:
                self._there[position] = counts
                there[position] = 1 if counts else -1
            if (counts and left == whole) != self._vacant[position]:
                self._vacant[position] = counts and left == whole
                vacant[position] = 1 if self._vacant[position] else -1
        if vacant:
            self.vacant.shift(vacant)
        if there:
            self.there.shift(there)

    def now(self) -> list[tuple[int, float]]:
        """Largest gang and fragmentation, by level."""
        size, found = self.ground.size, []
        for vacant, there in zip(self.vacant.tops(), self.there.tops(), strict=True):
            largest, could = vacant * size, min(self.free, there * size)
            found.append((largest, 1 - largest / could if could else 0.0))
        return found


_Event = tuple[int, int, Mapping[int, int] | None, int]
"""When; 1 or -1; devices more or less on each of some nodes, or None and the node of which an outage begins or ends."""


def _events(run: Run, down: Outages) -> dict[str, list[_Event]]:
    """What changes when, by pool, in order of time."""
    found: dict[str, list[_Event]] = {pool: [] for pool in down}
    for life in run.lives:
        each = life.task.gang.devices
        for stint in life.stints:
            devices, into = on_nodes(stint, each), found[stint.pool]
            into.append((stint.start, 1, devices, 0))
            into.append((stint.end, -1, devices, 0))
    for pool, nodes in down.items():
        for position, spans in nodes.items():
            for start, end in spans:
                found[pool] += ((start, 1, None, position), (end, -1, None, position))
    for events in found.values():
        events.sort(key=itemgetter(0))
    return found


def rooms(run: Run, pools: dict[str, Ground], down: Outages, span: tuple[int, int], parts: Parts) -> tuple[Room, ...]:
    """Every level of every pool, the pool itself first; means over `span`, a window of the run.

    Raises ValueError where more devices of a node are held at once than it has: such a record is wrong.
    """
    events = _events(run, down)
    return tuple(room for name, ground in pools.items() for room in _swept(ground, events[name], span, parts, run.end))


def _swept(ground: Ground, events: list[_Event], span: tuple[int, int], parts: Parts, end: int) -> Iterable[Room]:
    state, sums = _Pool(ground), _Sums(len(ground.levels), span, parts)
    before = 0
    for moment, changes in groupby(events, key=itemgetter(0)):
        if moment > before:
            sums.add(before, moment, state.now())
            before = moment
        changed: dict[int, None] = {}
        for _, sign, devices, node in changes:
            if devices is None:
                changed[node] = None
                state.down[node] += sign
                continue
            for position, number in devices.items():
                changed[position] = None
                state.used[position] += sign * number
        for position in changed:
            if state.used[position] > ground.devices[position]:
                raise ValueError(_overfull(ground, position, state.used[position], moment))
        state.settle(changed)
    sums.add(before, end, state.now())
    return sums.told(ground)


def _overfull(ground: Ground, position: int, used: int, at: int) -> str:
    node = f"{ground.fleet.name}/{ground.fleet.nodes[position].name}"
    return f"record of node {node}: {used} of its {ground.devices[position]} devices are held at {at} s"


class _Sums:
    """Integrals of both figures by level: over the window, and over each part."""

    def __init__(self, levels: int, span: tuple[int, int], parts: Parts) -> None:
        self.span, self.parts = span, parts
        self.largest, self.fragmentation = [0] * levels, [0.0] * levels
        self.least: list[int | None] = [None] * levels
        number = len(parts.edges) - 1
        self.largest_in = [[0] * number for _ in range(levels)]
        self.fragmentation_in = [[0.0] * number for _ in range(levels)]
        self._part = 0

    def add(self, start: int, end: int, figures: list[tuple[int, float]]) -> None:
        """These figures hold from `start` to `end`; calls come in order of time."""
        inside = min(end, self.span[1]) - max(start, self.span[0])
        if inside > 0:
            for level, (largest, fragmentation) in enumerate(figures):
                self.largest[level] += largest * inside
                self.fragmentation[level] += fragmentation * inside
                least = self.least[level]
                self.least[level] = largest if least is None else min(least, largest)
        edges = self.parts.edges
        while start < end:
            until = min(end, edges[self._part + 1])
            for level, (largest, fragmentation) in enumerate(figures):
                self.largest_in[level][self._part] += largest * (until - start)
                self.fragmentation_in[level][self._part] += fragmentation * (until - start)
            start = until
            if until == edges[self._part + 1]:
                self._part += 1

    def told(self, ground: Ground) -> Iterable[Room]:
        seconds, spans = self.span[1] - self.span[0], self.parts.spans
        for level, name in enumerate(ground.levels):
            yield Room(
                pool=ground.fleet.name,
                level=name,
                largest=self.largest[level] / seconds if seconds else 0.0,
                least=self.least[level] or 0,
                fragmentation=self.fragmentation[level] / seconds if seconds else 0.0,
                largest_series=tuple(total / s for total, s in zip(self.largest_in[level], spans, strict=True)),
                fragmentation_series=tuple(
                    total / s for total, s in zip(self.fragmentation_in[level], spans, strict=True)
                ),
            )

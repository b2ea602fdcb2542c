"""What room is left over time: the largest gang that would fit, and fragmentation, defined as Berth's own metrics are.

One pass over the moments at which anything changes. A level keeps how many domains have how many whole nodes free, so
that its largest is known without a look at the others: a change moves it by one node, and the largest by one at most.
"""

from collections.abc import Iterable
from dataclasses import dataclass

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
    """Counts by domain, and the largest of them. Changes by one at a time."""

    __slots__ = ("counts", "having", "top")

    def __init__(self, domains: int, most: int) -> None:
        self.counts = [0] * domains
        self.having = [0] * (most + 2)
        self.having[0] = domains
        self.top = 0

    def shift(self, domain: int, by: int) -> None:
        """One more (`by=1`) or one less (`by=-1`)."""
        before = self.counts[domain]
        after = self.counts[domain] = before + by
        self.having[before] -= 1
        self.having[after] += 1
        if after > self.top or (before == self.top and not self.having[before]):
            self.top = after


class _Pool:
    """A pool as it stands: what is taken and down, whole nodes that are free or that there are, by level."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        nodes = len(ground.devices)
        self.used = [0] * nodes
        self.down = [0] * nodes
        self.free = 0
        self._given = [0] * nodes
        self._counts = [False] * nodes
        self._there = [False] * nodes
        self.vacant = [Peak(number, nodes) for number in ground.domains]
        self.whole = [Peak(number, nodes) for number in ground.domains]
        for position in range(nodes):
            self.settle(position)

    def settle(self, position: int) -> None:
        """Count a node anew, after changes."""
        ground, left = self.ground, self.ground.devices[position] - self.used[position]
        up = not self.down[position]
        given = left if up and not ground.closed[position] else 0
        self.free += given - self._given[position]
        self._given[position] = given
        there = up and not ground.shut[position] and 0 < ground.size == ground.devices[position]
        counts = there and left == ground.size
        if counts != self._counts[position]:
            self._shift(self.vacant, position, counts)
            self._counts[position] = counts
        if there != self._there[position]:
            self._shift(self.whole, position, there)
            self._there[position] = there

    def _shift(self, peaks: list[Peak], position: int, more: bool) -> None:
        by = 1 if more else -1
        for peak, domain in zip(peaks, self.ground.domain, strict=True):
            peak.shift(domain[position], by)

    def now(self) -> list[tuple[int, float]]:
        """Largest gang and fragmentation, by level."""
        size, found = self.ground.size, []
        for vacant, whole in zip(self.vacant, self.whole, strict=True):
            largest, could = vacant.top * size, min(self.free, whole.top * size)
            found.append((largest, 1 - largest / could if could else 0.0))
        return found


_Event = tuple[int, int, int, int]
"""Time, position, devices more, outages more."""


def _events(run: Run, down: Outages) -> dict[str, list[_Event]]:
    found: dict[str, list[_Event]] = {pool: [] for pool in down}
    for life in run.lives:
        for stint in life.stints:
            into = found[stint.pool]
            for position, devices in on_nodes(stint, life.task.gang.devices).items():
                into += ((stint.start, position, devices, 0), (stint.end, position, -devices, 0))
    for pool, nodes in down.items():
        for position, spans in nodes.items():
            for start, end in spans:
                found[pool] += ((start, position, 0, 1), (end, position, 0, -1))
    for events in found.values():
        events.sort()
    return found


def rooms(run: Run, pools: dict[str, Ground], down: Outages, span: tuple[int, int], parts: Parts) -> tuple[Room, ...]:
    """Every level of every pool, the pool itself first; means over `span`, a window of the run.

    Raises ValueError where more devices of a node are held at once than it has: such a record is wrong.
    """
    events = _events(run, down)
    return tuple(room for name, ground in pools.items() for room in _swept(ground, events[name], span, parts, run.end))


def _swept(ground: Ground, events: list[_Event], span: tuple[int, int], parts: Parts, end: int) -> Iterable[Room]:
    state, sums = _Pool(ground), _Sums(len(ground.levels), span, parts)
    at, i = 0, 0
    while i < len(events):
        moment = events[i][0]
        if moment > at:
            sums.add(at, moment, state.now())
            at = moment
        changed = set()
        while i < len(events) and events[i][0] == moment:
            _, position, devices, outage = events[i]
            state.used[position] += devices
            state.down[position] += outage
            changed.add(position)
            i += 1
        for position in sorted(changed):
            _fits(ground, position, state.used[position], moment)
            state.settle(position)
    sums.add(at, end, state.now())
    return sums.told(ground)


def _fits(ground: Ground, position: int, used: int, at: int) -> None:
    there = ground.devices[position]
    if used > there:
        node = f"{ground.fleet.name}/{ground.fleet.nodes[position].name}"
        raise ValueError(f"record of node {node}: {used} of its {there} devices are held at {at} s")


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

"""Device-seconds: what became of every device in every second of a run. Integers that add up exactly.

What a gang holds is counted as the gang's, also on a node that is down meanwhile: nobody else could have had it. `down`
is the rest of what was out of service, `idle` the rest of all. The other buckets are those of `Spent`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import attrgetter

from berth.sim.measures.ground import Ground, held, stints
from berth.sim.record import SPENT, Run, Spent

_SECONDS = attrgetter(*SPENT)


@dataclass(frozen=True, slots=True)
class Buckets(Spent):
    """Device-seconds of a pool, of a tenant in it (then without `idle` and `down`), or of sums of them."""

    idle: int = 0
    down: int = 0

    @property
    def held(self) -> int:
        """What gangs had."""
        return self.seconds

    @property
    def total(self) -> int:
        """All of it; of a pool: its devices times the seconds of the run."""
        return self.held + self.idle + self.down

    def __add__(self, other: "Buckets") -> "Buckets":
        return Buckets(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


BUCKETS = tuple(field.name for field in fields(Buckets))


@dataclass(frozen=True, slots=True)
class Loss:
    """What the stops for one cause cost: how many there were, and device-seconds of work that has to be done again."""

    cause: str
    stops: int
    lost: int


Outages = Mapping[str, Mapping[int, tuple[tuple[int, int], ...]]]


def outages(run: Run, pools: Mapping[str, Ground]) -> Outages:
    """When which nodes were down, by pool and position: spans in order that do not touch.

    A node that is cordoned or not ready in the case is so for all of the run. Raises ValueError for an unknown node.
    """
    found: dict[str, dict[int, list[tuple[int, int]]]] = {name: {} for name in pools}
    positions = {name: {node.name: i for i, node in enumerate(g.fleet.nodes)} for name, g in pools.items()}
    for name, ground in pools.items():
        for position, closed in enumerate(ground.closed):
            if closed:
                found[name][position] = [(0, run.end)]
    for outage in run.outages:
        if outage.node not in positions.get(outage.pool, {}):
            raise ValueError(f"record of an outage at {outage.start} s: no node {outage.node} in pool {outage.pool}")
        end = run.end if outage.end is None else min(outage.end, run.end)
        span = (max(0, outage.start), end)
        if span[0] < span[1]:
            found[outage.pool].setdefault(positions[outage.pool][outage.node], []).append(span)
    return {name: {p: _union(spans) for p, spans in nodes.items()} for name, nodes in found.items()}


def _union(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)


def by_tenant(run: Run) -> dict[tuple[str, str], Buckets]:
    """What gangs had, by pool and tenant, sorted."""
    sums: dict[tuple[str, str], list[int]] = {}
    for life, stint in stints(run):
        devices = held(life, stint)
        row = sums.setdefault((stint.pool, life.task.tenant), [0] * len(SPENT))
        for i, seconds in enumerate(_SECONDS(stint.spent)):
            if seconds:
                row[i] += devices * seconds
    return {key: Buckets(**dict(zip(SPENT, row, strict=True))) for key, row in sorted(sums.items())}


def by_pool(
    run: Run, pools: Mapping[str, Ground], down: Outages, tenants: Mapping[tuple[str, str], Buckets]
) -> dict[str, Buckets]:
    """All device-seconds of each pool over the whole run; `tenants`: those of its tenants."""
    gangs = {name: Buckets() for name in pools}
    for (name, _), buckets in tenants.items():
        gangs[name] += buckets
    away = {
        name: sum(pools[name].devices[p] * (b - a) for p, spans in nodes.items() for a, b in spans)
        for name, nodes in down.items()
    }
    for life, stint in stints(run):
        nodes, devices = down[stint.pool], life.task.gang.devices
        if nodes:
            for position in stint.nodes:  # one of each replica
                for a, b in nodes.get(position, ()):
                    if a < stint.end and stint.start < b:
                        away[stint.pool] -= devices * (min(b, stint.end) - max(a, stint.start))
    found = {}
    for name, ground in pools.items():
        idle = ground.capacity * run.end - gangs[name].held - away[name]
        found[name] = gangs[name] + Buckets(idle=idle, down=away[name])
    return found


def losses(run: Run) -> tuple[Loss, ...]:
    """Stops before success by cause, sorted: attempts that ran on when the run ended are none."""
    stops, lost = Counter[str](), Counter[str]()
    for life, stint in stints(run):
        if stint.cause not in ("", "Succeeded"):
            stops[stint.cause] += 1
            lost[stint.cause] += held(life, stint) * stint.spent.lost
    return tuple(Loss(cause, stops[cause], lost[cause]) for cause in sorted(stops))

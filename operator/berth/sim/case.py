"""A case: everything that one run of the simulator depends on, in values, with nothing left to draw or to look up.

Scenario files become cases; the engine takes nothing else, so the same case gives the same record, byte for byte.
Times are whole seconds of the virtual clock from the run's start; devices are integers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from berth.core.faults import DEFAULT_WAITS, Waits
from berth.core.model import Gang, JobKey, Node, Trouble
from berth.core.stays import DEFAULT, Backfill


@dataclass(frozen=True, slots=True)
class Fleet:
    """A pool: its nodes in network order (`Node.path`: its domain at each of `levels`, widest first, no node level).

    `resource`: what the nodes call the device; `Node.allocatable` counts it.
    """

    name: str
    resource: str
    levels: tuple[str, ...]
    nodes: tuple[Node, ...]
    sizes: tuple[int, ...] | None = None
    sizes_alone: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Costs:
    """What a gang pays in seconds beside its work: to start, to write a checkpoint (work stands still), to restore one.

    `interval`: seconds of work between checkpoints; None: it writes none, and loses all it did when it is stopped.
    `stop`: until pods are gone that were told to.
    """

    start: int = 0
    interval: int | None = None
    save: int = 0
    restore: int = 0
    stop: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """A job of the workload. `work`: seconds that it takes if nothing delays it; `declared`: its `maxDuration`, if any.

    `held`: where a job sits that has devices when the run begins (names of nodes by rank); its `work` is what is left,
    and `since`, 0 or before, is when it got them. `spent`: seconds for which earlier attempts held devices; they count
    against `declared`. `held_back`: the reason for which it cannot start whatever comes free; empty: it can.
    """

    key: JobKey
    submit: int
    gang: Gang
    work: int
    declared: int | None = None
    tenant: str = ""
    priority: int = 0
    costs: Costs = Costs()
    held: tuple[str, ...] = ()
    since: int = 0
    spent: int = 0
    held_back: str = ""

    @property
    def devices(self) -> int:
        """Devices of the whole gang."""
        return self.gang.replicas * self.gang.devices


@dataclass(frozen=True, slots=True)
class Outage:
    """A node that is down from `start` until `end` (None: for good). `kind`: what the cluster knows of it meanwhile.

    One that is only not ready may come back, so its pods' end is waited for (`Waits.unconfirmed`); of one that is gone
    or out of service it is not.
    """

    pool: str
    node: str
    start: int
    end: int | None = None
    kind: Trouble = Trouble.NOT_READY


@dataclass(frozen=True, slots=True)
class Slowdown:
    """By how much longer a gang takes that spans several domains of a level: its work times 1 + the largest that holds.

    `{"spine": 0.1, "leaf": 0.02}`: a tenth longer over two spines or more, a fiftieth over several leaves of one spine.
    """

    by_level: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One run. `tasks` by `submit`; `warm_up`: how many of the first tasks no figure counts.

    `policy` names one of `policies`, `queue` its rule of who may start before whom: `conservative` (Berth's own: nobody
    passes at the cost of those in front), `any-fit`, `first-fit-backfill` or `strict`. `waits`: how long doubts about
    nodes are waited out. `every`: at most one cycle in so many seconds. `until`: the run ends there (None: when all
    tasks have ended). `seed` and `load` are told for the record; whatever they drew is in the case already.
    """

    name: str
    policy: str
    fleets: tuple[Fleet, ...]
    tasks: tuple[Task, ...]
    outages: tuple[Outage, ...] = ()
    slowdown: Slowdown = Slowdown()
    backfill: Backfill = DEFAULT
    every: int = 30
    warm_up: int = 0
    until: int | None = None
    seed: int = 0
    load: float | None = None
    queue: str = "conservative"
    waits: Waits = DEFAULT_WAITS

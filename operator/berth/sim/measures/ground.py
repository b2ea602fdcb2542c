"""What the measures read of a case and its run: pools by position, the attempts that sat there, and what is counted.

A record that contradicts itself is a fault of whoever wrote it, so it is refused here, before any figure is made of it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from berth.core.model import Demand, JobKey, Node
from berth.core.slots import barrier
from berth.core.topology import NODE_LEVEL
from berth.sim.case import Case, Fleet
from berth.sim.record import Life, Run, Stint

POOL_LEVEL = "pool"


@dataclass(frozen=True, slots=True)
class Ground:
    """A pool. `levels`: the pool itself, its own, and `node`, widest first; all lists are by position in the fleet.

    `domain[l][p]`: number of the domain of level l in which node p lies; `domains[l]`: how many there are.
    `size`: devices of the largest node. `closed`: nodes that nobody may use, whether or not they are up: cordoned, not
    ready; `shut`: these, and what takes no plain gang (spares, tainted).
    """

    fleet: Fleet
    levels: tuple[str, ...]
    devices: tuple[int, ...]
    domain: tuple[tuple[int, ...], ...]
    domains: tuple[int, ...]
    size: int
    closed: tuple[bool, ...]
    shut: tuple[bool, ...]

    @classmethod
    def of(cls, fleet: Fleet) -> "Ground":
        """Look at a fleet."""
        nodes = fleet.nodes
        devices = tuple(node.allocatable.get(fleet.resource, 0) for node in nodes)
        numbers: list[tuple[int, ...]] = []
        for depth in range(len(fleet.levels) + 1):
            known: dict[tuple[str, ...], int] = {}
            numbers.append(tuple(known.setdefault(node.path[:depth], len(known)) for node in nodes))
        numbers.append(tuple(range(len(nodes))))
        size = max(devices, default=0)
        plain = Demand(((fleet.resource, size),))
        return cls(
            fleet=fleet,
            levels=(POOL_LEVEL, *fleet.levels, NODE_LEVEL),
            devices=devices,
            domain=tuple(numbers),
            domains=tuple(max(level, default=-1) + 1 for level in numbers),
            size=size,
            closed=tuple(map(_closed, nodes)),
            shut=tuple(barrier(node, plain) is not None for node in nodes),
        )

    @property
    def capacity(self) -> int:
        """Devices in all."""
        return sum(self.devices)


def _closed(node: Node) -> bool:
    return not node.ready or node.cordoned


def grounds(case: Case) -> dict[str, Ground]:
    """The pools of a case, by name."""
    return {fleet.name: Ground.of(fleet) for fleet in case.fleets}


def stints(run: Run) -> Iterator[tuple[Life, Stint]]:
    """All attempts, in the order of the record."""
    return ((life, stint) for life in run.lives for stint in life.stints)


def held(life: Life, stint: Stint) -> int:
    """Devices that an attempt had."""
    return len(stint.nodes) * life.task.gang.devices


def on_nodes(stint: Stint, devices: int) -> Counter[int]:
    """Devices that an attempt had on each node, by position; `devices`: of one replica."""
    found: Counter[int] = Counter()
    for position in stint.nodes:
        found[position] += devices
    return found


def left_out(case: Case) -> frozenset[JobKey]:
    """Tasks of the warm-up, which no figure about jobs counts."""
    return frozenset(task.key for task in case.tasks[: case.warm_up])


def counted(case: Case, run: Run) -> list[Life]:
    """Lives that figures about jobs count: submitted before the run's end, and not of the warm-up."""
    without = left_out(case)
    return [life for life in run.lives if life.task.key not in without and life.task.submit <= run.end]


def window(case: Case, run: Run) -> tuple[int, int]:
    """From the first submission that is counted to the last one: the time when jobs come, without filling and draining.

    The whole run where that leaves nothing, as where all jobs are there from the start.
    """
    submits = [task.submit for task in case.tasks[case.warm_up :]]
    start, end = max(0, min(submits, default=0)), min(run.end, max(submits, default=0))
    return (start, end) if end > start else (0, run.end)


def check(case: Case, run: Run) -> None:
    """Raise ValueError, which says where, if the run is not one of this case or contradicts itself."""
    if (run.case, run.policy, run.seed) != (case.name, case.policy, case.seed):
        told = f"{run.case}, {run.policy}, seed {run.seed}"
        raise ValueError(f"record of {told}: measured against the case {case.name}, {case.policy}, seed {case.seed}")
    sizes = {fleet.name: len(fleet.nodes) for fleet in case.fleets}
    for life, stint in stints(run):
        where = f"record of {life.task.key}, attempt {stint.attempt}"
        if stint.pool not in sizes:
            raise ValueError(f"{where}: pool {stint.pool} is none of the case's: {', '.join(sizes)}")
        if not all(0 <= position < sizes[stint.pool] for position in stint.nodes):
            raise ValueError(f"{where}: a node beyond the {sizes[stint.pool]} of pool {stint.pool}")
        if not 0 <= stint.start <= stint.end <= run.end:
            raise ValueError(f"{where}: from {stint.start} s to {stint.end} s, in a run of {run.end} s")
        if stint.spent.seconds != stint.end - stint.start:
            took = stint.end - stint.start
            raise ValueError(f"{where}: its seconds add up to {stint.spent.seconds}, but it took {took}")

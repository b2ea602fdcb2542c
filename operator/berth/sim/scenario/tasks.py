"""Jobs of a run: shapes of a trace or a draw with their gangs, arrivals and limits; and jobs listed one by one."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from berth.core.model import Gang, JobKey, Policy
from berth.sim.case import Costs, Fleet, Slowdown, Task
from berth.sim.scenario import drawing
from berth.sim.scenario.schema import Knowledge
from berth.sim.scenario.traces import Shape
from berth.sim.scenario.workload import Workload

_NOBODY = "trace"


@dataclass(frozen=True, slots=True)
class Room:
    """What the cluster has: the largest pool, and devices of the nodes with the fewest."""

    devices: int
    largest: int
    each: int

    @classmethod
    def of(cls, fleets: Iterable[Fleet]) -> "Room":
        """Counted over fleets."""
        counts = [[node.allocatable.get(fleet.resource, 0) for node in fleet.nodes] for fleet in fleets]
        sums = [sum(pool) for pool in counts]
        return cls(sum(sums), max(sums), min((max(pool) for pool in counts if any(pool)), default=1))


def split(shape: Shape, each: int) -> tuple[int, int]:
    """Replicas, and devices of each: as few replicas as nodes of `each` devices allow, all with equally many."""
    if shape.replicas is not None:
        return shape.replicas, shape.devices // shape.replicas
    replicas = -(-shape.devices // each)
    while shape.devices % replicas:
        replicas += 1
    return replicas, shape.devices // replicas


def arriving(shapes: Sequence[Shape], times: Sequence[float], load: float | None, devices: int) -> list[int]:
    """When each shape is submitted: `times`, in order, from 0, stretched to a load of so many devices."""
    first, last = times[0], times[-1]
    if load is None:
        return [int(time - first) for time in times]
    work = sum(shape.devices * shape.seconds for shape in shapes)
    wanted = work / (devices * load)
    return [int((time - first) * wanted / (last - first)) for time in times]


def limit(seconds: int, costs: Costs, slowed: float, margin: float, factor: float, declared: int | None) -> int:
    """What a job declares: never less than what it takes undisturbed, with its costs, at that slowdown."""
    work = math.ceil(seconds * (1 + slowed))
    saves = 0 if costs.interval is None else (seconds - 1) // costs.interval * costs.save
    return math.ceil(max(costs.start + work + saves, declared or 0) * margin * factor)


def made(
    workload: Workload,
    knowledge: Knowledge,
    costs: Costs,
    slowdowns: Sequence[Slowdown],
    *,
    shapes: Sequence[Shape],
    submits: Sequence[int],
    each: int,
    seed: int,
) -> tuple[Task, ...]:
    """Tasks of shapes that are submitted at these times."""
    stating = workload.trace is not None and workload.trace.columns.declared is not None
    stating = stating and knowledge.durations == "declared"
    slowed = max((max(table.by_level.values(), default=0.0) for table in slowdowns), default=0.0)
    factors = [1.0] * len(shapes)
    if knowledge.durations == "estimated":
        assert knowledge.sigma is not None, "an estimate has a sigma"
        factors = drawing.factors(len(shapes), seed, knowledge.sigma)
    gangs: dict[tuple[int, int], Gang] = {}
    found = []
    for shape, submit, factor in zip(shapes, submits, factors, strict=True):
        size = split(shape, each)
        gang = gangs.get(size)
        if gang is None:
            gang = gangs[size] = Gang(*size, level=workload.level, policy=Policy(workload.policy))
        stated = shape.declared if stating else None
        known = knowledge.durations != "none" and not (stating and stated is None)
        found.append(
            Task(
                key=JobKey(shape.tenant.replace("/", "-") or _NOBODY, shape.name),
                submit=submit,
                gang=gang,
                work=shape.seconds,
                declared=limit(shape.seconds, costs, slowed, knowledge.margin, factor, stated) if known else None,
                tenant=shape.tenant,
                priority=shape.priority,
                costs=costs,
            )
        )
    return tuple(found)

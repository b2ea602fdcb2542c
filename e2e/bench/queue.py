"""Figures of a long queue: one cycle over many jobs that wait for room on a full cluster."""

import platform
import random
from collections.abc import Callable
from dataclasses import replace

from berth.core.cycle import Snapshot, cycle
from berth.core.model import Gang, Job, JobKey, Placement, Policy, Record
from berth.core.plan import Verb
from e2e.bench import fleets
from e2e.bench.figures import Figure, bench, timed
from e2e.ground.progress import Progress

NODES = 4_000
RUNNING = 500
PENDING = 1_000
SHAPES = 50
NOW = 1_000_000


@bench("cycle_1000")
def cycle_1000(progress: Progress) -> Figure:
    """One cycle over 1,000 jobs that wait, on 4,000 nodes that are all taken."""
    progress.begin("cycle_1000", f"{PENDING} jobs of {SHAPES} shapes, {NODES} nodes, {RUNNING} gangs running")
    base = a_queue()
    plan = cycle(base, NOW)
    assert all(decision.verb is Verb.REPORT for decision in plan.decisions), "nothing fits"
    found = timed(10, lambda _: lambda: cycle(base, NOW))
    first = timed(5, lambda _: _cold())
    progress.end(f"{found.median_ms} ms, {first.median_ms} ms where nothing was counted before")
    return Figure(
        name="cycle_1000",
        value=found.median_ms,
        unit="ms",
        goal="at most 1 s",
        conditions={
            "what": "one cycle in which nothing fits: reservations for the first 8 gangs, and for each of the others "
            "why it waits, what would help, and its position",
            "pending": PENDING,
            "shapes": SHAPES,
            "running": RUNNING,
            "nodes": NODES,
            "with_estimated_start": sum(1 for d in plan.decisions if d.report.pending and d.report.pending.forecast),
            "cold_ms": first.median_ms,
            "slowest_ms": round(max(found.seconds) * 1e3, 1),
            "repetitions": len(found.seconds),
            "clock": "processor time of one thread",
            "eviction_search": "there is none yet",
            "python": platform.python_version(),
        },
    )


def _cold() -> Callable[[], object]:
    snapshot = a_queue()
    return lambda: cycle(snapshot, NOW)


def a_queue(size: int = NODES) -> Snapshot:
    """The snapshot, of a cluster of any size: 500 gangs, a third of which do not say how long they take; who waits."""
    pool = fleets.pool(size, 1.0)
    dice = random.Random(7)  # noqa: S311  # a benchmark's state, drawn reproducibly
    each = size // RUNNING
    jobs = []
    for number in range(RUNNING):
        nodes = tuple(node.name for node in pool.ledger.nodes[number * each : (number + 1) * each])
        placement = Placement(
            pool=pool.name,
            domain="spine",
            level="spine",
            spans=(("spine", 1), ("rack", 1), ("node", each)),
            nodes=nodes,
            generation=1,
            admitted_at=NOW - dice.randrange(80_000),
            pods_created=True,
        )
        jobs.append(
            replace(
                _job(f"run-{number}", Gang(each, fleets.DEVICES), dice.randrange(NOW)),
                record=Record(attempt=1, placement=placement, started_at=placement.admitted_at),
                max_duration=None if dice.randrange(3) == 0 else 80_000 + dice.randrange(80_000),
            )
        )
    shapes = [
        Gang(
            replicas=replicas,
            devices=devices,
            level=level,
            policy=Policy.REQUIRED if level else Policy.PREFERRED,
        )
        for devices in (8, 4)
        for level in (None, "spine", "rack")
        for replicas in (1, 2, 4, 8, 12, 16, 32, 64, 128)
        if not (level == "rack" and replicas > fleets.RACK)
    ]
    shapes = [replace(shape, requests=(("cpu", cores * 1_000),)) for cores in (8, 16) for shape in shapes][:SHAPES]
    for number in range(PENDING):
        seconds = None if number % 3 else 3_600 * (1 + number % 48)
        job = _job(f"wait-{number}", shapes[dice.randrange(SHAPES)], dice.randrange(NOW))
        jobs.append(replace(job, priority=dice.randrange(3), max_duration=seconds))
    return Snapshot(tuple(jobs), {pool.name: pool}, touched=frozenset())


def _job(name: str, gang: Gang, submitted: int) -> Job:
    return Job(JobKey("team", name), uid=name, generation=1, submitted=submitted, gang=gang)

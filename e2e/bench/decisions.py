"""Figures of the heart: how long a decision takes, and how long until a cycle can begin to take one."""

import platform
from collections.abc import Callable
from dataclasses import replace

from berth.cluster.project import NodeFacts
from berth.core.admission import find
from berth.core.model import Gang, Mode, Policy
from e2e.bench import fleets
from e2e.bench.figures import Figure, Times, bench, timed
from e2e.bench.kueue_tas import TopologySnapshot
from e2e.ground.progress import Progress

SIZES = (640, 2_500, 10_000)
SHARE_TAKEN = 0.5
GANG = Gang(replicas=8, devices=8, level="rack", policy=Policy.REQUIRED)


@bench("place_10000")
def place_10000(progress: Progress) -> Figure:
    """Place 8 whole nodes in one rack, again and again, every gang taken before the next is placed."""
    ours: dict[int, Times] = {}
    theirs: dict[int, Times] = {}
    for size in SIZES:
        progress.begin("place_10000", f"{size} nodes")
        ours[size] = timed(400, _placer(size))
        theirs[size] = timed(20, _placer_by_full_scan(size))
        progress.end(f"{size} nodes {ours[size].median_ms} ms, by full scan {theirs[size].median_ms} ms")
    return Figure(
        name="place_10000",
        value=ours[10_000].median_ms,
        unit="ms",
        goal="at most 1 ms, growing slower than the number of nodes",
        conditions={
            "what": "find room, make the placement, take it, and bring the counts up to date for the next decision",
            "gang": "8 replicas of 8 devices, required level rack",
            "nodes": 10_000,
            "nodes_per_rack": fleets.RACK,
            "share_of_nodes_taken": SHARE_TAKEN,
            "median_ms_at": {str(size): ours[size].median_ms for size in SIZES},
            "p99_ms": ours[10_000].p99_ms,
            "repetitions": len(ours[10_000].seconds),
            "clock": "processor time of one thread",
            "python": platform.python_version(),
            "kueue_tas_rule_ms_at": {str(size): theirs[size].median_ms for size in SIZES},
            "kueue_tas_rule": "KEP-2724 re-implemented in Python, same process and state: counts every node each time",
        },
    )


def _placer(size: int) -> Callable[[int], Callable[[], object]]:
    """Decisions on one pool. So that its load stays, the gang of the decision before is given back, untimed."""
    pool = fleets.pool(size, SHARE_TAKEN)
    ledger = pool.ledger
    demand = GANG.demand(pool.resource)
    ledger.index(demand)
    before: list[int] = []

    def decide() -> None:
        berth = find(GANG, {pool.name: pool})
        assert berth is not None, "half a rack is free somewhere"
        berth.placement(generation=1, now=0)
        berth.take()
        ledger.index(demand)
        before.extend(position for position, _ in berth.fit.counts)

    def prepare(_: int) -> Callable[[], object]:
        for position in before:
            ledger.set_used(position, {})
        before.clear()
        ledger.index(demand)
        return decide

    return prepare


def _placer_by_full_scan(size: int) -> Callable[[int], Callable[[], object]]:
    """The same decisions, by the rule that counts all nodes each time."""
    pool = fleets.pool(size, SHARE_TAKEN)
    nodes, used = pool.ledger.nodes, pool.ledger.used
    requests = dict(GANG.demand(pool.resource).requests)
    snapshot = TopologySnapshot([node.path for node in nodes], [node.allocatable for node in nodes])
    for number, taken in enumerate(used):
        snapshot.usage[number] = dict(taken)
    before: list[tuple[int, int]] = []

    def decide() -> None:
        found = snapshot.assign(GANG.replicas, requests, level=2)
        assert found is not None, "half a rack is free somewhere"
        for node, pods in found:
            snapshot.use(node, pods, requests)
        before.extend(found)

    def prepare(_: int) -> Callable[[], object]:
        for node, pods in before:
            snapshot.use(node, -pods, requests)
        before.clear()
        return decide

    return prepare


@bench("snapshot_10000")
def snapshot_10000(progress: Progress) -> Figure:
    """From one changed node in the mirror to free-slot counts that a cycle can ask."""
    found: dict[int, Times] = {}
    for size in SIZES:
        progress.begin("snapshot_10000", f"{size} nodes")
        found[size] = timed(200, _snapshotter(size))
        progress.end(f"{size} nodes {found[size].median_ms} ms")
    return Figure(
        name="snapshot_10000",
        value=found[10_000].median_ms,
        unit="ms",
        goal="at most 1 ms",
        conditions={
            "what": "take in one changed node, hand out the snapshot, fork its ledger as a cycle does, "
            "and bring the counts of one demand up to date on the fork",
            "nodes": 10_000,
            "pools": 1,
            "jobs": 0,
            "median_ms_at": {str(size): found[size].median_ms for size in SIZES},
            "p99_ms": found[10_000].p99_ms,
            "repetitions": len(found[10_000].seconds),
            "clock": "processor time of one thread",
            "python": platform.python_version(),
        },
    )


def _snapshotter(size: int) -> Callable[[int], Callable[[], object]]:
    """Snapshots of a mirror; before each, another node is cordoned or opened again."""
    nodes = fleets.nodes(size)
    mirror = fleets.mirror(nodes)
    demand = GANG.demand(fleets.RESOURCE)
    mirror.snapshot(Mode.ACTIVE).pools["h800"].ledger.fork().index(demand)

    def prepare(number: int) -> Callable[[], object]:
        node = replace(nodes[number * 7 % size], path=(), cordoned=number % 2 == 0)
        facts = NodeFacts(node, version=number + 2)

        def take_in_and_ask() -> None:
            mirror.put_node(("", node.name), facts)
            mirror.snapshot(Mode.ACTIVE).pools["h800"].ledger.fork().index(demand)

        return take_in_and_ask

    return prepare

"""Measures of drawn records, against counting every device in every second and every pair of hosts."""

from collections import Counter
from dataclasses import fields, replace
from itertools import combinations
from random import Random

import pytest
from hypothesis import given, settings

from berth.core.admission import Pool
from berth.core.census import LevelCensus, census
from berth.core.slots import Ledger
from berth.core.topology import Tree
from berth.sim.case import Fleet
from berth.sim.measures.ground import Ground, window
from berth.sim.measures.seconds import BUCKETS
from berth.sim.measures.series import Parts, Steps
from berth.sim.quality import Result
from berth.sim.record import Spent
from tests.builders import GPU
from tests.properties.dice import Dice, rolled
from tests.properties.law import tries
from tests.properties.recording import END, SIZE, a_record

RECORDS = rolled(a_record, SIZE)
TRIES = settings(max_examples=tries(150), deadline=None)


def used(result: Result, fleet: Fleet, second: int) -> Counter[int]:
    """Devices held on each node in a second."""
    found: Counter[int] = Counter()
    for life in result.run.lives:
        for stint in life.stints:
            if stint.pool == fleet.name and stint.start <= second < stint.end:
                for position in stint.nodes:
                    found[position] += life.task.gang.devices
    return found


def away(result: Result, fleet: Fleet, second: int) -> set[str]:
    """Nodes that are down in a second."""
    return {
        outage.node
        for outage in result.run.outages
        if outage.pool == fleet.name and outage.start <= second < (END if outage.end is None else outage.end)
    }


@TRIES
@given(RECORDS)
def test_buckets_add_up_to_capacity_times_time(result: Result) -> None:
    """Exactly, in every pool; and idle and down are what a count of every device in every second finds."""
    for fleet, use in zip(result.case.fleets, result.quality.pools, strict=True):
        capacity = sum(node.allocatable[GPU] for node in fleet.nodes)
        assert capacity * END == use.buckets.total
        assert all(getattr(use.buckets, name) >= 0 for name in BUCKETS)
        counted: Counter[str] = Counter()
        for second in range(END):
            taken, down = used(result, fleet, second), away(result, fleet, second)
            for position, node in enumerate(fleet.nodes):
                rest = node.allocatable[GPU] - taken[position]
                counted["held"] += taken[position]
                counted["down" if node.name in down or node.cordoned or not node.ready else "idle"] += rest
        assert (use.buckets.held, use.buckets.idle, use.buckets.down) == (
            counted["held"],
            counted["idle"],
            counted["down"],
        )


@TRIES
@given(RECORDS)
def test_what_gangs_hold_is_the_sum_of_the_attempts(result: Result) -> None:
    """Bucket by bucket, for the pools and for the tenants, and the series hold the same device-seconds."""
    quality = result.quality
    for name in (field.name for field in fields(Spent)):
        expected = sum(
            len(stint.nodes) * life.task.gang.devices * getattr(stint.spent, name)
            for life in result.run.lives
            for stint in life.stints
        )
        assert expected == getattr(quality.buckets, name)
        assert expected == sum(getattr(use.buckets, name) for use in quality.tenants)
    assert all(len(use.series) == END for use in (*quality.pools, *quality.tenants))
    for use in (*quality.pools, *quality.tenants):
        assert use.buckets.held == pytest.approx(sum(use.series))


@TRIES
@given(RECORDS)
def test_pair_crossing_is_that_of_all_pairs(result: Result) -> None:
    """Of every pair of hosts of every counted attempt, weighted by device-seconds."""
    without = {task.key for task in result.case.tasks[: result.case.warm_up]}
    for fleet in result.case.fleets:
        ground = Ground.of(fleet)
        for level, domain in zip(ground.levels[1:], ground.domain[1:], strict=True):
            weights = crossing = 0.0
            for life in result.run.lives:
                for stint in life.stints:
                    pairs = list(combinations(sorted(set(stint.nodes)), 2))
                    if stint.pool != fleet.name or life.task.key in without or not pairs:
                        continue
                    weight = life.task.devices * (stint.end - stint.start)
                    weights += weight
                    crossing += weight * sum(domain[a] != domain[b] for a, b in pairs) / len(pairs)
            found = next(s for s in result.quality.spreads if (s.pool, s.level) == (fleet.name, level))
            assert weights == found.pairs
            assert (pytest.approx(crossing / weights) if weights else None) == found.crossing


@TRIES
@given(RECORDS)
def test_no_gang_spans_fewer_than_the_fewest(result: Result) -> None:
    """Inflation is never below 1, and domains of a wider level are never more than those of a narrower one."""
    for spread in result.quality.spreads:
        if spread.spans is not None and spread.least is not None:
            assert spread.spans >= spread.least >= 1


@TRIES
@given(RECORDS)
def test_room_is_what_the_operators_own_metrics_would_say(result: Result) -> None:
    """Second by second the census of a cluster in that state has the same largest gang and fragmentation."""
    start, end = window(result.case, result.run)
    for fleet in result.case.fleets:
        seen = [_census(result, fleet, second) for second in range(END)]
        for level, room in enumerate(r for r in result.quality.rooms if r.pool == fleet.name):
            largest = [second[level].largest_free for second in seen]
            broken = [second[level].fragmentation for second in seen]
            assert tuple(largest) == room.largest_series
            assert pytest.approx(tuple(broken)) == room.fragmentation_series
            assert (pytest.approx(sum(largest[start:end]) / (end - start))) == room.largest
            assert (pytest.approx(sum(broken[start:end]) / (end - start))) == room.fragmentation
            assert min(largest[start:end]) == room.least


def _census(result: Result, fleet: Fleet, second: int) -> list[LevelCensus]:
    """What the operator would count in that second."""
    down, taken = away(result, fleet, second), used(result, fleet, second)
    nodes = [replace(node, ready=node.ready and node.name not in down) for node in fleet.nodes]
    tree, ordered = Tree.build(fleet.name, fleet.levels, nodes)
    held = {fleet.nodes[position].name: {GPU: devices} for position, devices in taken.items()}
    counted = census(Pool(fleet.name, GPU, Ledger(tree, ordered, [held.get(n.name, {}) for n in ordered])))
    return [counted.pool, *counted.levels]


@TRIES
@given(
    rolled(
        lambda dice: (
            dice.below(40),
            dice.between(1, 9),
            [(dice.below(50), dice.below(50), dice.below(9)) for _ in range(8)],
        ),
        30,
    )
)
def test_integrals_of_steps_are_exact(drawn: tuple[int, int, list[tuple[int, int, int]]]) -> None:
    """Over parts of whatever length, against adding up second by second."""
    end, most, steps = drawn
    parts = Parts.of(end, most)
    found = Steps(parts)
    amounts = [0] * end
    for a, b, amount in steps:
        start, stop = sorted((a, b))
        found.add(start, stop, amount)
        for second in range(start, min(stop, end)):
            amounts[second] += amount
    assert [sum(amounts[a:b]) for a, b in zip(parts.edges, parts.edges[1:], strict=False)] == found.integrals()


def test_drawn_records_are_not_all_trivial() -> None:
    """Among those that are tried are crossing gangs, outages on held nodes, retries and jobs that never start."""
    source = Random(1)
    kinds: Counter[str] = Counter()
    for _ in range(200):
        result = a_record(Dice(source.randbytes(SIZE)))
        kinds["crosses"] += any((s.crossing or 0) > 0 for s in result.quality.spreads if s.level == "spine")
        kinds["down"] += result.quality.buckets.down > 0
        kinds["retried"] += any(len(life.stints) > 1 for life in result.run.lives)
        kinds["unstarted"] += result.quality.jobs.unstarted > 0
        kinds["fragmented"] += any(room.fragmentation > 0 for room in result.quality.rooms)
    assert all(kinds[kind] >= 20 for kind in ("crosses", "down", "retried", "unstarted", "fragmented")), kinds

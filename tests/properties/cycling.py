"""Laws of a cycle, over a function like `berth.core.cycle.cycle`."""

import random
from collections.abc import Callable, Iterable
from dataclasses import replace

from berth.core.cycle import Snapshot, cycle
from berth.core.model import Job, JobKey, Mode
from berth.core.plan import Decision, Plan, Verb
from tests.properties import referee
from tests.properties.dice import rolled
from tests.properties.fleets import Fleet
from tests.properties.law import Room
from tests.properties.referee import Path, State
from tests.properties.situations import NOW, Situation, roll_situation, shape_of

Cycle = Callable[[Snapshot, int], Plan]

CYCLING = Room("a cycle", cycle, rolled(roll_situation, 128), tries=160)


def _by_key(plan: Plan) -> dict[JobKey, Decision]:
    return {decision.key: decision for decision in plan.decisions}


def _admitted(plan: Plan) -> Iterable[Decision]:
    return (decision for decision in plan.decisions if decision.verb is Verb.ADMIT)


def _common(paths: list[Path]) -> Path:
    """The longest beginning that all paths share."""
    shared = 0
    while all(len(path) > shared and path[shared] == paths[0][shared] for path in paths):
        shared += 1
    return paths[0][:shared]


@CYCLING.law
def no_node_gets_more_than_it_has_or_what_it_does_not_take(thing: Cycle, situation: Situation) -> None:
    state = State(situation.fleets)
    gangs = {job.key: job.gang for job in situation.jobs}
    for decision in _admitted(thing(situation.snapshot(), NOW)):
        placement = decision.record.placement
        assert placement is not None
        gang = gangs[decision.key]
        demand = gang.demand(state.fleets[placement.pool].resource)
        state.take(gang, placement.pool, placement.nodes)
        for name in set(placement.nodes):
            node = state.nodes[name]
            assert referee.admits(node, demand), f"{name} takes none of {decision.key}"
            for resource, _ in demand.requests:
                assert state.used[name].get(resource, 0) <= node.allocatable.get(resource, 0), f"{name}: {resource}"


@CYCLING.law
def gangs_are_admitted_whole(thing: Cycle, situation: Situation) -> None:
    gangs = {job.key: job.gang for job in situation.jobs}
    for decision in _admitted(thing(situation.snapshot(), NOW)):
        assert decision.record.placement is not None
        assert len(decision.record.placement.nodes) == gangs[decision.key].replicas
        assert decision.create == tuple(range(gangs[decision.key].replicas))


@CYCLING.law
def a_required_level_is_kept(thing: Cycle, situation: Situation) -> None:
    state = State(situation.fleets)
    gangs = {job.key: job.gang for job in situation.jobs}
    for decision in _admitted(thing(situation.snapshot(), NOW)):
        placement = decision.record.placement
        assert placement is not None
        widest = referee.widest_level(gangs[decision.key], state.fleets[placement.pool].levels)
        shared = _common([referee.path_of(state.nodes[name]) for name in placement.nodes])
        assert widest is not None
        assert len(shared) >= widest, f"{shared} is wider than {gangs[decision.key].level}"


@CYCLING.law
def each_in_its_turn_gets_the_narrowest_place_and_is_refused_only_where_there_is_none(
    thing: Cycle, situation: Situation
) -> None:
    state = State(situation.fleets)
    decided = _by_key(thing(situation.snapshot(), NOW))
    for job in situation.queue():
        rooms = state.rooms(job.gang)
        placement = decided[job.key].record.placement
        assert (placement is not None) == bool(rooms), f"{job.key} ({shape_of(job.gang)}): room in {rooms}"
        if placement is None:
            continue
        if job.gang.pools:
            pool = next(name for name in job.gang.pools if name in rooms)
        else:
            pool = min(rooms, key=lambda name: (len(state.fleets[name].levels) - rooms[name], name))
        assert placement.pool == pool
        demand = job.gang.demand(state.fleets[pool].resource)
        free = state.free(pool, demand)
        domain = _common([referee.path_of(state.nodes[name]) for name in placement.nodes])
        assert len(domain) == rooms[pool]
        equals = [room for path, room in free.items() if len(path) == len(domain) and room >= job.gang.replicas]
        assert free[domain] == min(equals)
        state.take(job.gang, pool, placement.nodes)


@CYCLING.law
def no_gang_waits_while_an_equal_one_behind_it_starts(thing: Cycle, situation: Situation) -> None:
    decided = _by_key(thing(situation.snapshot(), NOW))
    queue = situation.queue()
    for number, job in enumerate(queue):
        for behind in queue[number + 1 :]:
            if behind.gang == job.gang and decided[behind.key].verb is Verb.ADMIT:
                assert decided[job.key].verb is Verb.ADMIT, f"{job.key} waits, {behind.key} starts"


@CYCLING.law
def a_placement_says_what_it_is(thing: Cycle, situation: Situation) -> None:
    state = State(situation.fleets)
    for decision in _admitted(thing(situation.snapshot(), NOW)):
        placement = decision.record.placement
        assert placement is not None
        fleet = state.fleets[placement.pool]
        paths = [referee.path_of(state.nodes[name]) for name in placement.nodes]
        assert paths == sorted(paths, key=lambda path: tuple(int(name.rsplit("-", 1)[1]) for name in path))
        levels = (*fleet.levels, "node")
        spans = {name: len({path[: depth + 1] for path in paths}) for depth, name in enumerate(levels)}
        assert dict(placement.spans) == spans
        domain = _common(paths)
        full = domain[-1] if len(domain) == len(levels) else "/".join(domain)
        assert placement.domain == (full or fleet.name)
        assert placement.level == (fleet.name, *levels)[len(domain)]


@CYCLING.law
def a_cycle_does_not_change_its_snapshot(thing: Cycle, situation: Situation) -> None:
    snapshot, untouched = situation.snapshot(), situation.snapshot()
    demands = {job.gang.demand(pool.resource) for job in situation.jobs for pool in snapshot.pools.values()}
    for pool in snapshot.pools.values():
        for demand in demands:
            pool.ledger.index(demand)
    thing(snapshot, NOW)
    assert snapshot.jobs == untouched.jobs
    assert snapshot.pools.keys() == untouched.pools.keys()
    for name, pool in snapshot.pools.items():
        assert pool.ledger.nodes == untouched.pools[name].ledger.nodes
        assert [dict(used) for used in pool.ledger.used] == [dict(used) for used in untouched.pools[name].ledger.used]
        for demand in demands:
            counted, truth = pool.ledger.index(demand), untouched.pools[name].ledger.index(demand)
            assert (counted.free, counted.whole, counted.order) == (truth.free, truth.whole, truth.order)


@CYCLING.law
def the_same_input_in_any_order_gives_the_same_plan_byte_for_byte(thing: Cycle, situation: Situation) -> None:
    dice = random.Random(situation.seed)

    def shuffled_fleet(fleet: Fleet) -> Fleet:
        return replace(fleet, nodes=tuple(dice.sample(fleet.nodes, len(fleet.nodes))))

    def shuffled_job(job: Job) -> Job:
        return replace(job, pods=tuple(dice.sample(job.pods, len(job.pods))))

    other = replace(
        situation,
        fleets=tuple(shuffled_fleet(fleet) for fleet in reversed(situation.fleets)),
        jobs=tuple(shuffled_job(job) for job in dice.sample(situation.jobs, len(situation.jobs))),
    )
    assert repr(thing(other.snapshot(), NOW)) == repr(thing(situation.snapshot(), NOW))


@CYCLING.law
def an_observer_tells_and_does_nothing(thing: Cycle, situation: Situation) -> None:
    snapshot = situation.snapshot(Mode.OBSERVE)
    records = {job.key: job.record for job in situation.jobs}
    plan = thing(snapshot, NOW)
    for decision in plan.decisions:
        assert decision.verb is Verb.REPORT
        assert not decision.create
        assert not decision.delete
        assert decision.record.attempt == records[decision.key].attempt
    assert {decision.key for decision in plan.decisions} == {d.key for d in thing(situation.snapshot(), NOW).decisions}


@CYCLING.law
def every_job_hears_once_unless_it_is_busy_or_going(thing: Cycle, situation: Situation) -> None:
    keys = [decision.key for decision in thing(situation.snapshot(), NOW).decisions]
    assert sorted(keys) == sorted(job.key for job in situation.jobs if not job.busy and not job.deleting)


@CYCLING.law
def the_next_wake_is_the_first_moment_at_which_time_changes_something(thing: Cycle, situation: Situation) -> None:
    wakes = {"backing off": NOW + 7, "finished": NOW + 40}
    expected = [wakes[stage] for stage in situation.stages.values() if stage in wakes]
    assert thing(situation.snapshot(), NOW).wake_at == min(expected, default=None)


@CYCLING.law
def a_job_that_did_not_change_is_only_passed_over_if_nothing_new_would_be_said(
    thing: Cycle, situation: Situation
) -> None:
    keys = frozenset(situation.jobs[number].key for number in situation.touched)
    full = _by_key(thing(situation.snapshot(), NOW))
    partial = _by_key(thing(replace(situation.snapshot(), touched=keys), NOW))
    for job in situation.jobs:
        if job.key in partial:
            assert partial[job.key] == full[job.key]
        elif job.key in full:
            assert job.key not in keys
            assert situation.stages[job.key.name] not in (*("waiting", "back-off over", "outlived"), "backing off")


def _told(job: Job, decided: dict[JobKey, Decision]) -> Job:
    """A job while what was decided for it is being carried out."""
    decision = decided.get(job.key)
    if decision is None:
        return job
    return replace(job, record=decision.record, busy=decision.verb is not Verb.REPORT)


@CYCLING.law
def a_second_look_at_the_same_facts_says_the_same(thing: Cycle, situation: Situation) -> None:
    state = State(situation.fleets)
    first = _by_key(thing(situation.snapshot(), NOW))
    for job in situation.jobs:
        decision = first.get(job.key)
        if decision is not None and decision.verb is Verb.ADMIT and decision.record.placement is not None:
            state.take(job.gang, decision.record.placement.pool, decision.record.placement.nodes)
    again = replace(situation.with_used(state.used), jobs=tuple(_told(job, first) for job in situation.jobs))
    for decision in thing(again.snapshot(), NOW).decisions:
        assert replace(decision, event=None) == replace(first[decision.key], event=None)

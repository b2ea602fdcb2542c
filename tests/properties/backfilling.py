"""Laws of backfill, over a function like `berth.core.cycle.cycle`: a queue is lived through, each job for exactly as
long as it said.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from berth.core.backfill import Line
from berth.core.cycle import Snapshot, cycle
from berth.core.model import Gang, Job, JobKey, Policy
from berth.core.plan import Reason, Verb
from berth.core.stays import Backfill
from tests.builders import a_job, by_name
from tests.properties.cycling import Cycle
from tests.properties.dice import Dice, rolled
from tests.properties.fleets import Fleet, roll_fleet
from tests.properties.law import Room
from tests.properties.referee import State

DEPTH = Backfill(depth=20, patience=100)
LATEST = 10_000
"""Seconds after which the queue is over in any case: eight jobs of at most 90 s each."""


@dataclass(frozen=True, eq=False)
class Queue:
    """Jobs in their order, all submitted at the beginning; the first of them are running then."""

    fleet: Fleet
    jobs: tuple[Job, ...]


def roll_queue(dice: Dice) -> Queue:
    """A small fleet and up to eight jobs, of few lengths, so that ends and beginnings meet; most of them wait."""
    fleet = roll_fleet(dice, least=3, most=6, whole_nodes=True)
    plain = tuple(replace(node, cordoned=False, ready=True, taints=()) for node in fleet.nodes)
    fleet = replace(fleet, nodes=plain, used={node.name: {} for node in plain})
    whole = sum(node.allocatable[fleet.resource] for node in plain) // 8
    jobs = []
    for number in range(dice.between(4, 8)):
        level = dice.pick((None, None, None, *fleet.levels))
        replicas = dice.between(1, whole)
        policy = Policy.REQUIRED if level and dice.flip() else Policy.PREFERRED
        gang = Gang(replicas, dice.pick((8, 8, 4)), level=level, policy=policy)
        job = a_job(f"job-{number}", gang).but(submitted=number, max_duration=10 * dice.between(1, 9))
        jobs.append(job.built)
    return Queue(fleet, tuple(jobs))


@dataclass(frozen=True)
class Lived:
    """When each job started, since when it waited for a better place, and nodes of which too much was given."""

    started: dict[JobKey, int]
    patient: dict[JobKey, int]
    overdrawn: tuple[str, ...]


@lru_cache(maxsize=64)
def live(thing: Cycle, queue: Queue) -> Lived:
    """Live the queue through; what is decided happens at once."""
    jobs = {job.key: job for job in queue.jobs}
    started: dict[JobKey, int] = {}
    patient: dict[JobKey, int] = {}
    ends: dict[JobKey, int] = {}
    overdrawn: list[str] = []
    now = 0
    while len(started) < len(jobs) and now < LATEST:
        for key in [key for key, end in ends.items() if end <= now]:
            del ends[key]
        there = [job for key, job in jobs.items() if key in ends or key not in started]
        state = State([queue.fleet])
        for job in there:
            if job.record.placement is not None:
                state.take(job.gang, queue.fleet.name, job.record.placement.nodes)
        pool = replace(queue.fleet, used=state.used).pool()
        plan = thing(Snapshot(tuple(there), {pool.name: pool}, backfill=DEPTH), now)
        for decision in plan.decisions:
            if decision.verb is Verb.ADMIT:
                job = jobs[decision.key]
                assert decision.record.placement is not None
                state.take(job.gang, queue.fleet.name, decision.record.placement.nodes)
                jobs[decision.key] = replace(job, record=decision.record)
                started[decision.key] = now
                ends[decision.key] = now + (job.max_duration or 0)
            elif decision.report.pending and decision.report.pending.reason is Reason.CONTIGUOUS_SOON:
                patient.setdefault(decision.key, now)
        for node in queue.fleet.nodes:
            for resource, amount in state.used[node.name].items():
                if amount > node.allocatable.get(resource, 0):
                    overdrawn.append(f"{node.name}: {amount} {resource} at {now}")
        if not ends:
            break  # nobody runs, and who is left fits nowhere
        now = min(ends.values())
    return Lived(started, patient, tuple(overdrawn))


BACKFILLING = Room("backfilling", cycle, rolled(roll_queue, 96), tries=150)


@lru_cache(maxsize=64)
def promised(queue: Queue) -> dict[JobKey, int]:
    """When each job would start if nobody were behind it, as the heart expects it at the beginning."""
    found: dict[JobKey, int] = {}
    for number, job in enumerate(queue.jobs, 1):
        line = Line(by_name(queue.fleet.pool()), queue.jobs[:number], {}, DEPTH, 0)
        starts = [line.start(one) is not None for one in queue.jobs[:number]]
        kept = {reservation.key: reservation.start for reservation in line.reservations}
        if starts[-1] or job.key in kept:
            found[job.key] = 0 if starts[-1] else kept[job.key]
    return found


@BACKFILLING.law
def nobody_starts_later_than_expected_without_those_behind(thing: Cycle, queue: Queue) -> None:
    started = live(thing, queue).started
    for key, expected in promised(queue).items():
        assert key in started, f"{key} has not started, {expected} was expected"
        assert started[key] <= expected, f"{key}: {started[key]}, {expected} was expected"


@BACKFILLING.law
def no_slot_is_given_twice(thing: Cycle, queue: Queue) -> None:
    assert live(thing, queue).overdrawn == ()


@BACKFILLING.law
def nobody_waits_longer_for_a_better_place_than_it_may(thing: Cycle, queue: Queue) -> None:
    lived = live(thing, queue)
    for job in queue.jobs:
        if job.key in lived.patient:
            assert job.max_duration is not None
            latest = lived.patient[job.key] + job.max_duration * DEPTH.patience // 100
            assert lived.started.get(job.key, LATEST) <= latest, f"{job.key} may wait until {latest} at most"

"""Laws of the simulator, over a function like `berth.sim.engine.run`: small cases with everything that may happen.

What a record says is judged from the record and the case alone: node by node, second by second.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from berth.core.cycle import Snapshot
from berth.core.faults import Waits
from berth.core.model import Gang, JobKey, Node, Policy, Trouble
from berth.core.stays import Backfill
from berth.sim.case import Case, Costs, Fleet, Outage, Slowdown, Task
from berth.sim.engine import Engine, run
from berth.sim.record import Life, Run, Stint
from berth.sim.world import World
from tests.properties.dice import Dice, rolled
from tests.properties.law import Room

GPU = "nvidia.com/gpu"
Simulation = Callable[[Case], Run]


def roll_case(dice: Dice) -> Case:
    """One or two small pools and up to eight tasks, of few lengths, so that ends, failures and turns meet."""
    fleets = tuple(_roll_fleet(dice, name) for name in ("h800", "a800")[: dice.between(1, 2)])
    tasks = tuple(_roll_task(dice, number, fleets) for number in range(dice.between(1, 8)))
    if dice.flip():
        tasks = (replace(tasks[0], held=_seat(tasks[0].gang, fleets[0]), submit=0), *tasks[1:])
    return Case(
        name="rolled",
        policy="berth",
        fleets=fleets,
        tasks=tasks,
        outages=tuple(_roll_outages(dice, fleets)),
        slowdown=dice.pick((Slowdown(), Slowdown({"spine": 0.1, "leaf": 0.03}), Slowdown({"node": 0.5}))),
        backfill=Backfill(depth=dice.pick((8, 1, 0)), assumed=60),
        every=dice.pick((1, 7, 30)),
        until=dice.pick((None, None, 90, 250)),
        waits=dice.pick((Waits(node_grace=5, unconfirmed=20), Waits(node_grace=0, unconfirmed=0))),
    )


def _roll_fleet(dice: Dice, name: str) -> Fleet:
    nodes: list[Node] = []
    for spine in range(dice.between(1, 2)):
        for leaf in range(dice.between(1, 2)):
            for _ in range(dice.between(1, 2)):
                path = (f"s{spine}", f"s{spine}-l{leaf}")
                nodes.append(Node(f"{name}-{len(nodes)}", path, {GPU: 8, "pods": 110}))
    return Fleet(name, GPU, ("spine", "leaf"), tuple(nodes))


def _roll_task(dice: Dice, number: int, fleets: tuple[Fleet, ...]) -> Task:
    level = dice.pick((None, None, "spine", "leaf"))
    gang = Gang(
        replicas=dice.between(1, 4),
        devices=dice.pick((8, 8, 4, 1)),
        pools=dice.pick(((), (fleets[0].name,))),
        level=level,
        policy=Policy.REQUIRED if level and dice.flip() else Policy.PREFERRED,
    )
    work = 10 * dice.between(0, 12)
    return Task(
        key=JobKey("ml", f"job-{number}"),
        submit=5 * dice.below(20),
        gang=gang,
        work=work,
        declared=dice.pick((None, work + 10, 200, 40)),
        priority=dice.pick((0, 0, 1)),
        costs=Costs(
            start=dice.pick((0, 3, 20)),
            interval=dice.pick((None, 10, 25)),
            save=dice.pick((0, 2)),
            restore=dice.pick((0, 4)),
            stop=dice.pick((0, 0, 6)),
        ),
    )


def _roll_outages(dice: Dice, fleets: tuple[Fleet, ...]) -> Iterator[Outage]:
    for _ in range(dice.below(4)):
        fleet = dice.pick(fleets)
        start = 7 * dice.below(25)
        end = dice.pick((None, start + 2, start + 40, start + 120))
        yield Outage(fleet.name, dice.pick(fleet.nodes).name, start, end, dice.pick(tuple(Trouble)))


def _seat(gang: Gang, fleet: Fleet) -> tuple[str, ...]:
    """Nodes for a gang that sits in an empty pool already; none if it does not fit there."""
    slots = [node.name for node in fleet.nodes for _ in range(8 // gang.devices)]
    return tuple(slots[: gang.replicas]) if len(slots) >= gang.replicas else ()


@dataclass(frozen=True, eq=False)
class Frozen:
    """A case as an example: one object, told apart by identity."""

    case: Case


@lru_cache(maxsize=64)
def played(thing: Simulation, case: Frozen) -> Run:
    """The record of a case, made once for all laws."""
    return thing(case.case)


SIMULATING: Room[Simulation, Frozen] = Room(
    "a simulation", run, rolled(lambda dice: Frozen(roll_case(dice)), 160), tries=100
)


def stints(record: Run) -> Iterator[tuple[Life, Stint]]:
    """All attempts of a run, each with its task."""
    return ((life, stint) for life in record.lives for stint in life.stints)


def _down(record: Run, pool: str, node: str) -> list[tuple[int, int]]:
    return [
        (outage.start, record.end if outage.end is None else outage.end)
        for outage in record.outages
        if (outage.pool, outage.node) == (pool, node)
    ]


@SIMULATING.law
def what_is_used_down_and_free_adds_up_to_all_there_is(thing: Simulation, example: Frozen) -> None:
    """Node by node, at every moment: no more is used than there is, and what attempts spent is what was used."""
    record = played(thing, example)
    used = down = free = 0
    for fleet in example.case.fleets:
        for at, node in enumerate(fleet.nodes):
            here = [
                (stint.start, stint.end, stint.nodes.count(at) * life.task.gang.devices)
                for life, stint in stints(record)
                if stint.pool == fleet.name and at in stint.nodes
            ]
            outages = _down(record, fleet.name, node.name)
            moments = sorted(
                {0, record.end, *(t for a, b, _ in here for t in (a, b)), *(t for o in outages for t in o)}
            )
            for first, last in pairwise(moments):
                taken = sum(devices for start, end, devices in here if start <= first < end)
                rest = node.allocatable[GPU] - taken
                assert rest >= 0, f"{node.name}: {taken} devices given at {first}"
                used += taken * (last - first)
                if any(start <= first < end for start, end in outages):
                    down += rest * (last - first)
                else:
                    free += rest * (last - first)
    capacity = sum(node.allocatable[GPU] for fleet in example.case.fleets for node in fleet.nodes)
    assert used + down + free == capacity * record.end
    assert used == sum(stint.spent.seconds * life.task.devices for life, stint in stints(record))


@SIMULATING.law
def what_an_attempt_spent_adds_up_to_its_length(thing: Simulation, example: Frozen) -> None:
    """Whatever ends it, and wherever in its course."""
    for life, stint in stints(played(thing, example)):
        assert stint.end - stint.start == stint.spent.seconds, f"{life.task.key}: {stint}"
        parts = stint.spent
        assert min(parts.starting, parts.useful, parts.slowed, parts.lost, parts.checkpointing, parts.stopping) >= 0


@SIMULATING.law
def who_succeeds_has_done_its_work_once(thing: Simulation, example: Frozen) -> None:
    """Work that counts is never counted twice, and all of it is there in the end."""
    for life in played(thing, example).lives:
        done = sum(stint.spent.useful for stint in life.stints)
        assert done <= life.task.work
        if life.outcome == "Succeeded":
            assert done == life.task.work
            assert ("Succeeded", life.finished) == (life.stints[-1].cause, life.stints[-1].end)


@SIMULATING.law
def every_task_has_one_course(thing: Simulation, example: Frozen) -> None:
    """Attempts follow each other from the submission on, and only the last may be open; who has ended says how."""
    record = played(thing, example)
    assert [life.task for life in record.lives] == list(example.case.tasks)
    for life in record.lives:
        assert ("" if life.finished is None else life.outcome) == life.outcome
        assert (life.finished is None) == (not life.outcome)
        assert bool(life.waiting) <= (not life.stints)
        ends = [life.task.submit, *(stint.end for stint in life.stints)]
        assert all(stint.start >= end for stint, end in zip(life.stints, ends, strict=False))
        assert all(stint.cause for stint in life.stints[:-1])
        numbers = [stint.attempt for stint in life.stints]
        assert numbers == sorted(set(numbers))
        if life.stints and not life.stints[-1].cause:
            assert (life.stints[-1].end, life.finished) == (record.end, None)


@SIMULATING.law
def nothing_works_on_a_node_that_is_down(thing: Simulation, example: Frozen) -> None:
    """No attempt begins there, and what one does while a node of it is down is at most to stop."""
    record = played(thing, example)
    for life, stint in stints(record):
        held = bool(life.task.held) and stint.start == 0
        fleet = next(fleet for fleet in example.case.fleets if fleet.name == stint.pool)
        for position in stint.nodes:
            for start, end in _down(record, fleet.name, fleet.nodes[position].name):
                assert held or not start <= stint.start < end, f"{stint} begins on a node that is down"
                standing = max(0, stint.end - max(start, stint.start)) if start < stint.end and end > stint.start else 0
                if end < record.end or stint.cause:
                    assert stint.spent.stopping >= min(standing, end - start), f"{stint} works on"


@SIMULATING.law
def a_gang_keeps_to_its_pools_and_its_level(thing: Simulation, example: Frozen) -> None:
    """Every attempt is whole, in a pool that the task names, and inside one domain where it must be."""
    fleets = {fleet.name: fleet for fleet in example.case.fleets}
    for life, stint in stints(played(thing, example)):
        gang = life.task.gang
        assert len(stint.nodes) == gang.replicas
        if life.task.held and stint.attempt == 1:
            continue
        assert not gang.pools or stint.pool in gang.pools
        if gang.level is not None and gang.policy is Policy.REQUIRED:
            depth = fleets[stint.pool].levels.index(gang.level) + 1
            assert len({fleets[stint.pool].nodes[at].path[:depth] for at in stint.nodes}) == 1


@SIMULATING.law
def the_same_case_gives_the_same_record(thing: Simulation, example: Frozen) -> None:
    """Nothing but the case decides."""
    assert thing(example.case) == played(thing, example)


class _Whole(World):
    """Hands every cycle all there is, as an operator does."""

    def _snapshot(self, keys: Iterable[JobKey]) -> Snapshot:
        keys = list(keys)
        waiting = keys[0] in self._waiting
        jobs = tuple(job for key, job in self.jobs.items() if waiting or key not in self._waiting)
        return replace(super()._snapshot(keys), jobs=jobs, touched=frozenset(keys))


class _WholeEngine(Engine):
    world = _Whole


@SIMULATING.law
def what_a_cycle_is_not_handed_does_not_matter(thing: Simulation, example: Frozen) -> None:
    """The record is that of a run in which every cycle sees every job."""
    whole = _WholeEngine(example.case).run(lambda *_: None, lambda: False)
    assert whole == played(thing, example)


@SIMULATING.law
def a_run_that_ends_early_tells_the_beginning_of_the_whole_one(thing: Simulation, example: Frozen) -> None:
    """What had ended by then has ended the same way, and who had begun sits where it sat."""
    whole = played(thing, example)
    part = thing(replace(example.case, until=whole.end // 2))
    assert part.end == whole.end // 2
    for before, after in zip(part.lives, whole.lives, strict=True):
        for one, other in zip(before.stints, after.stints, strict=False):
            assert (one.pool, one.nodes, one.start) == (other.pool, other.nodes, other.start)
            if one.cause:
                assert one == other
    begun = Counter(life.task.key for life, stint in stints(whole) if stint.start < part.end)
    assert begun <= Counter(life.task.key for life, _ in stints(part))

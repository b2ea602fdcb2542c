"""Laws of counting, over a class like `berth.core.slots.Ledger`.

An example is a programme: steps over a growing family of forks of one ledger, each with a shadow beside it that keeps
plain copies of nodes and usage and nothing else.
"""

from dataclasses import dataclass, replace

from berth.core.model import Demand
from berth.core.slots import Ledger, SlotIndex
from tests.properties import referee
from tests.properties.dice import Dice, rolled
from tests.properties.fleets import ZONE, Fleet, roll_demand, roll_fleet
from tests.properties.law import Room

Step = tuple[str, int, int, int]
"""What is done, to which fork, at which node, with what number."""

_MOVES = ("set_node", "set_used", "take", "take", "ask", "ask", "fork", "storm", "trim")


@dataclass(frozen=True)
class Programme:
    """Steps over the forks of a fleet's ledger; `demands` are what is asked about."""

    fleet: Fleet
    demands: tuple[Demand, ...]
    steps: tuple[Step, ...]


def roll_programme(dice: Dice) -> Programme:
    """Any programme over a fleet that is not empty."""
    return Programme(
        fleet=roll_fleet(dice, least=1, most=6),
        demands=tuple(roll_demand(dice) for _ in range(dice.between(1, 2))),
        steps=tuple(
            (dice.pick(_MOVES), dice.below(4), dice.below(8), dice.below(36)) for _ in range(dice.between(0, 12))
        ),
    )


class Family:
    """Forks of one ledger and their shadows. `faults`: what `take` did that it must not."""

    def __init__(self, kind: type[Ledger], programme: Programme) -> None:
        built = programme.fleet.ledger()
        self.demands = programme.demands
        self.ledgers = [kind(built.tree, built.nodes.copy(), built.used.copy())]
        self.shadows = [(built.nodes.copy(), [dict(used) for used in built.used])]
        self.faults: list[str] = []
        for step in programme.steps:
            self._do(*step)

    def _do(self, move: str, which: int, where: int, number: int) -> None:
        ledger = self.ledgers[which % len(self.ledgers)]
        nodes, used = self.shadows[which % len(self.ledgers)]
        position = where % len(nodes)
        demand = self.demands[number % len(self.demands)]
        match move:
            case "set_node":
                nodes[position] = replace(
                    nodes[position],
                    cordoned=number % 3 == 0,
                    ready=number % 5 != 0,
                    labels={ZONE: "ab"[number % 2]},
                    allocatable={**nodes[position].allocatable, "cpu": 8_000 * (number % 5)},
                )
                ledger.set_node(position, nodes[position])
            case "set_used":
                used[position] = {name: number % 9 for name, _ in demand.requests}
                ledger.set_used(position, dict(used[position]))
            case "take":
                self._take(ledger, nodes[position].name, position, demand, 1 + number % 3, used)
            case "ask":
                ledger.index(demand)
                ledger.barriers(demand)
            case "fork":
                self.ledgers.append(ledger.fork())
                self.shadows.append((nodes.copy(), [dict(taken) for taken in used]))
            case "storm":  # enough changes that the log is compacted at the next fork
                used[position] = {name: number % 5 for name, _ in demand.requests}
                for _ in range(1_020):
                    ledger.set_used(position, dict(used[position]))
                self._do("fork", which, where, number)
            case "trim":
                ledger.trim(number % 2)

    def _take(
        self, ledger: Ledger, name: str, position: int, demand: Demand, replicas: int, used: list[dict[str, int]]
    ) -> None:
        node = replace(ledger.nodes[position], ready=True, cordoned=False, taints=(), labels=dict(demand.selector))
        room = referee.slots(node, used[position], demand)
        try:
            ledger.take(position, demand, replicas)
        except AssertionError:
            if replicas <= room:
                self.faults.append(f"{name} refused {replicas} replicas and has room for {room}")
            return
        if replicas > room:
            self.faults.append(f"{name} took {replicas} replicas and has room for {room}")
        for resource, amount in demand.requests:
            used[position][resource] = used[position].get(resource, 0) + amount * replicas


COUNTING = Room("counting", Ledger, rolled(roll_programme, 96), tries=250)


@COUNTING.law
def incremental_counts_equal_recomputed_ones(thing: type[Ledger], programme: Programme) -> None:
    family = Family(thing, programme)
    for ledger, (nodes, used) in zip(family.ledgers, family.shadows, strict=True):
        for demand in programme.demands:
            counted, truth = ledger.index(demand), SlotIndex(ledger.tree, demand, nodes, [*used])
            by_path = referee.free_by_domain(nodes, used, demand)
            assert counted.free[0][0] == by_path[()]
            assert counted.free == truth.free
            assert counted.whole == truth.whole
            assert counted.order == truth.order


@COUNTING.law
def forks_do_not_see_what_each_other_takes(thing: type[Ledger], programme: Programme) -> None:
    family = Family(thing, programme)
    for ledger, (nodes, used) in zip(family.ledgers, family.shadows, strict=True):
        assert ledger.nodes == nodes
        for counted, truth in zip(ledger.used, used, strict=True):
            assert {k: v for k, v in counted.items() if v} == {k: v for k, v in truth.items() if v}


@COUNTING.law
def no_more_is_taken_on_a_node_than_it_has_room_for(thing: type[Ledger], programme: Programme) -> None:
    assert Family(thing, programme).faults == []


@COUNTING.law
def nodes_kept_out_are_counted_by_why(thing: type[Ledger], programme: Programme) -> None:
    family = Family(thing, programme)
    for ledger, (nodes, used) in zip(family.ledgers, family.shadows, strict=True):
        for demand in programme.demands:
            empty: list[dict[str, int]] = [{} for _ in used]
            for whole, taken in ((False, used), (True, empty)):
                barred = ledger.barriers(demand, whole=whole)
                out = sum(1 for node, on in zip(nodes, taken, strict=True) if not referee.slots(node, on, demand))
                assert barred.total() == out
            assert barred["cordoned"] == sum(1 for node in nodes if node.ready and node.cordoned)


LOOKING_UP = Room("looking up", SlotIndex, rolled(roll_programme, 48), tries=120)


def _index(kind: type[SlotIndex], programme: Programme) -> tuple[SlotIndex, list[dict[int, int]]]:
    """Counts of a fleet, and per level the free slots by domain."""
    ledger = programme.fleet.ledger()
    index = kind(ledger.tree, programme.demands[0], ledger.nodes, ledger.used)
    return index, [dict(enumerate(level)) for level in index.free]


@LOOKING_UP.law
def counts_add_up_to_those_of_every_path(thing: type[SlotIndex], programme: Programme) -> None:
    fleet, demand = programme.fleet, programme.demands[0]
    index, _ = _index(thing, programme)
    by_path = referee.free_by_domain(fleet.nodes, [fleet.used[node.name] for node in fleet.nodes], demand)
    untouched = referee.free_by_domain(fleet.nodes, [{} for _ in fleet.nodes], demand)
    for level in range(len(index.tree.levels)):
        assert sorted(index.free[level]) == sorted(room for path, room in by_path.items() if len(path) == level)
        assert sorted(index.whole[level]) == sorted(room for path, room in untouched.items() if len(path) == level)


@LOOKING_UP.law
def the_least_room_that_is_enough_is_found(thing: type[SlotIndex], programme: Programme) -> None:
    index, levels = _index(thing, programme)
    for level, free in enumerate(levels):
        for slots in range(1, 12):
            enough = [room for room in free.values() if room >= slots]
            assert index.smallest(level, slots) == min(enough, default=None)


@LOOKING_UP.law
def domains_are_listed_from_the_least_room_that_is_enough(thing: type[SlotIndex], programme: Programme) -> None:
    index, levels = _index(thing, programme)
    for level, free in enumerate(levels):
        for slots in range(1, 12):
            enough = sorted((room, domain) for domain, room in free.items() if room >= slots)
            assert list(index.ascending(level, slots)) == enough


@LOOKING_UP.law
def the_first_domain_with_the_most_room_is_found(thing: type[SlotIndex], programme: Programme) -> None:
    index, levels = _index(thing, programme)
    for level, free in enumerate(levels):
        best = min(((-room, domain) for domain, room in free.items()), default=(0, 0))
        assert index.most(level) == (-best[0], best[1])

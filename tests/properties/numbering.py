"""Laws of ledgers whose devices are chosen by id, over a class like `berth.core.slots.Ledger`.

As in the room of counting: steps over a family of forks, each with a shadow that keeps plain sets of device numbers.
"""

from dataclasses import dataclass, replace
from itertools import combinations

from berth.core.layout import UNKNOWN, ids_of, mask_of
from berth.core.model import Demand, Node
from berth.core.numbering import Numbering
from berth.core.slots import Ledger
from berth.core.topology import Tree
from tests.builders import node
from tests.properties.dice import Dice, rolled
from tests.properties.fleets import NPU, RINGS
from tests.properties.law import Room

NUMBERED = Numbering(NPU, RINGS)
EVERY = frozenset(range(8))
_MOVES = ("take", "take", "take", "free", "unknown", "shrink", "ask", "fork")

Step = tuple[str, int, int, int]


@dataclass(frozen=True)
class Programme:
    """Steps over the forks of a ledger of so many nodes of two rings of four; `size`: devices of a replica."""

    nodes: int
    size: int
    steps: tuple[Step, ...]

    @property
    def demand(self) -> Demand:
        return Demand(((NPU, self.size), ("pods", 1)))


def roll_programme(dice: Dice) -> Programme:
    """Any programme."""
    steps = ((dice.pick(_MOVES), dice.below(3), dice.below(8), dice.below(9)) for _ in range(dice.between(0, 16)))
    return Programme(dice.between(1, 3), dice.pick((1, 2, 4, 8)), tuple(steps))


@dataclass
class Shadow:
    """What one fork should know: devices taken on each node, None where that is not known, and the nodes."""

    nodes: list[Node]
    taken: list[frozenset[int] | None]

    def room(self, position: int, size: int) -> int:
        """The most replicas that the free devices of a node hold in any way, none of them across two rings."""
        taken = self.taken[position]
        if taken is None or self.nodes[position].allocatable[NPU] != 8:
            return 0
        free = EVERY - taken
        if size == 8:
            return int(free == EVERY)
        return sum(len(free & ring) // size for ring in (frozenset(range(4)), frozenset(range(4, 8))))


class Family:
    """Forks of one ledger and their shadows. `faults`: what a ledger did that it must not."""

    def __init__(self, kind: type[Ledger], programme: Programme) -> None:
        tree, nodes = Tree.build("a910", (), [node(f"n{n}", resource=NPU) for n in range(programme.nodes)])
        self.programme = programme
        self.ledgers = [kind(tree, nodes.copy(), numbering=NUMBERED)]
        self.shadows = [Shadow(nodes.copy(), [frozenset() for _ in nodes])]
        self.faults: list[str] = []
        for move, which, where, number in programme.steps:
            at = which % len(self.ledgers)
            self._do(move, self.ledgers[at], self.shadows[at], where % programme.nodes, number)

    def _do(self, move: str, ledger: Ledger, shadow: Shadow, position: int, number: int) -> None:
        match move:
            case "take":
                self._take(ledger, shadow, position, 1 + number % 2)
            case "free":
                kept = frozenset(range(number))
                shadow.taken[position] = kept
                ledger.set_used(position, {NPU: len(kept), "pods": 1}, mask_of(kept))
            case "unknown":
                shadow.taken[position] = None
                ledger.set_used(position, {NPU: 1, "pods": 1}, UNKNOWN)
            case "shrink":
                allocatable = {**shadow.nodes[position].allocatable, NPU: 7 if number % 2 else 8}
                shadow.nodes[position] = replace(shadow.nodes[position], allocatable=allocatable)
                ledger.set_node(position, shadow.nodes[position])
            case "ask":
                ledger.index(self.programme.demand)
                ledger.barriers(self.programme.demand)
            case "fork":
                self.ledgers.append(ledger.fork())
                self.shadows.append(Shadow(shadow.nodes.copy(), shadow.taken.copy()))

    def _take(self, ledger: Ledger, shadow: Shadow, position: int, replicas: int) -> None:
        room, demand = shadow.room(position, self.programme.size), self.programme.demand
        if replicas > room:
            return
        chosen = [frozenset(ids_of(mask)) for mask in ledger.choose(position, demand, replicas)]
        ledger.take(position, demand, replicas)
        taken = shadow.taken[position] or frozenset()
        if any(one & other for one, other in combinations((*chosen, taken), 2)):
            self.faults.append(f"{[*map(sorted, chosen)]} are given, {sorted(taken)} are taken")
        shadow.taken[position] = taken.union(*chosen)


NUMBERING = Room("numbering", Ledger, rolled(roll_programme, 80), tries=250)


@NUMBERING.law
def no_device_is_chosen_twice(thing: type[Ledger], programme: Programme) -> None:
    assert Family(thing, programme).faults == []


@NUMBERING.law
def as_many_slots_are_counted_as_free_devices_hold(thing: type[Ledger], programme: Programme) -> None:
    family = Family(thing, programme)
    for ledger, shadow in zip(family.ledgers, family.shadows, strict=True):
        rooms = [shadow.room(position, programme.size) for position in range(programme.nodes)]
        assert ledger.index(programme.demand).free[-1] == rooms


@NUMBERING.law
def forks_do_not_see_which_devices_each_other_takes(thing: type[Ledger], programme: Programme) -> None:
    family = Family(thing, programme)
    for ledger, shadow in zip(family.ledgers, family.shadows, strict=True):
        assert ledger.held == [UNKNOWN if taken is None else mask_of(taken) for taken in shadow.taken]


@NUMBERING.law
def every_node_without_a_slot_is_told_with_why(thing: type[Ledger], programme: Programme) -> None:
    family = Family(thing, programme)
    for ledger, shadow in zip(family.ledgers, family.shadows, strict=True):
        without = [p for p in range(programme.nodes) if not shadow.room(p, programme.size)]
        assert ledger.barriers(programme.demand).total() == len(without)

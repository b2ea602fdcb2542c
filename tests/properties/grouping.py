"""Laws of gangs of groups, over a function like `berth.core.grouping.place_groups`."""

from collections.abc import Callable
from dataclasses import dataclass

from berth.core.grouping import place_groups
from berth.core.model import Demand, Groups
from berth.core.placement import Fit
from berth.core.slots import SlotIndex
from tests.properties import referee
from tests.properties.dice import Dice, rolled
from tests.properties.fleets import Fleet, roll_demand, roll_fleet
from tests.properties.law import Room
from tests.properties.referee import Path

Place = Callable[[SlotIndex, int, int, Groups], Fit | None]


@dataclass(frozen=True)
class Case:
    """So many groups of `size` replicas, each in one domain of a level (a path of `depth` names), look for room."""

    fleet: Fleet
    demand: Demand
    number: int
    size: int
    depth: int
    widest: int

    @property
    def replicas(self) -> int:
        return self.number * self.size

    @property
    def groups(self) -> Groups:
        return Groups(self.size, (*self.fleet.levels, "node")[self.depth - 1])

    def free(self) -> dict[Path, int]:
        """Free slots by domain."""
        used = [self.fleet.used[node.name] for node in self.fleet.nodes]
        return referee.free_by_domain(self.fleet.nodes, used, self.demand)

    def holds(self, domain: Path, free: dict[Path, int]) -> bool:
        """Whether a domain has room for the whole gang in groups, counted below it domain by domain."""
        if len(domain) >= self.depth:
            return free[domain] >= self.replicas
        below = [path for path in free if len(path) == self.depth and path[: len(domain)] == domain]
        return sum(free[path] // self.size for path in below) >= self.number


def roll_case(dice: Dice) -> Case:
    """Any fleet, any groups that it has a level for."""
    made = roll_fleet(dice, least=dice.pick((0, 4, 8)), most=13, whole_nodes=dice.flip())
    depth = dice.between(1, len(made.levels) + 1)
    widest = dice.between(0, len(made.levels) + 1) if dice.flip() else 0
    return Case(made, roll_demand(dice), dice.between(1, 5), dice.between(2, 4), depth, widest)


GROUPING = Room("grouping", place_groups, rolled(roll_case, 64), tries=300)


def _placed(thing: Place, case: Case) -> list[Path] | None:
    """The node of every rank, as a path."""
    index = case.fleet.index(case.demand)
    fit = thing(index, case.replicas, case.widest, case.groups)
    if fit is None:
        return None
    names = {node.name: referee.path_of(node) for node in case.fleet.nodes}
    return [names[index.tree.domains[-1][position]] for position in fit.ranks()]


@GROUPING.law
def groups_are_whole_and_only_on_free_slots(thing: Place, case: Case) -> None:
    ranks, free = _placed(thing, case), case.free()
    if ranks is not None:
        assert len(ranks) == case.replicas
        for path in set(ranks):
            assert ranks.count(path) <= free[path]


@GROUPING.law
def every_group_of_consecutive_ranks_is_in_one_domain_of_its_level(thing: Place, case: Case) -> None:
    ranks = _placed(thing, case)
    for first in range(0, len(ranks or ()), case.size):
        domains = {path[: case.depth] for path in (ranks or ())[first : first + case.size]}
        assert len(domains) == 1, f"ranks from {first} are in {domains}"


@GROUPING.law
def room_for_groups_is_found_wherever_there_is_any_and_in_the_narrowest_domain(thing: Place, case: Case) -> None:
    ranks, free = _placed(thing, case), case.free()
    holding = [path for path in free if len(path) >= case.widest and case.holds(path, free)]
    assert (ranks is not None) == bool(holding)
    if ranks is not None:
        shared = 0
        while len({path[: shared + 1] for path in ranks}) == 1 and shared < len(ranks[0]):
            shared += 1
        # What turns out to lie in a narrower domain than was asked for would have been found there.
        assert shared == max(len(path) for path in holding)

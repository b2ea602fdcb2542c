"""Laws of placement, over a function like `berth.core.placement.place`."""

from collections.abc import Callable
from dataclasses import dataclass

from berth.core.model import Demand
from berth.core.placement import Fit, place
from berth.core.slots import SlotIndex
from tests.properties import referee
from tests.properties.dice import Dice, rolled
from tests.properties.fleets import Fleet, roll_demand, roll_fleet
from tests.properties.law import Room
from tests.properties.referee import Path

Place = Callable[[SlotIndex, int, int], Fit | None]


@dataclass(frozen=True)
class Case:
    """A gang of `replicas` looks for room in one domain of level `widest` or narrower."""

    fleet: Fleet
    demand: Demand
    replicas: int
    widest: int

    def free(self) -> dict[Path, int]:
        """Free slots by domain."""
        return referee.free_by_domain(
            self.fleet.nodes, [self.fleet.used[n.name] for n in self.fleet.nodes], self.demand
        )


@dataclass(frozen=True)
class Found:
    """A fit, in paths instead of numbers: its domain, and the replicas below every domain that it touches."""

    domain: Path
    below: dict[Path, int]
    order: list[Path]

    @classmethod
    def read(cls, index: SlotIndex, fit: Fit) -> "Found":
        paths = [_path(index, index.tree.leaf_level, position) for position, _ in fit.counts]
        below: dict[Path, int] = {}
        for path, (_, replicas) in zip(paths, fit.counts, strict=True):
            for level in range(len(path) + 1):
                below[path[:level]] = below.get(path[:level], 0) + replicas
        return cls(_path(index, fit.level, fit.domain), below, paths)


def _path(index: SlotIndex, level: int, domain: int) -> Path:
    names: list[str] = []
    while level:
        names.insert(0, index.tree.domains[level][domain])
        domain, level = index.tree.parent[level][domain], level - 1
    return tuple(names)


def roll_case(dice: Dice) -> Case:
    """Any fleet, any gang."""
    made = roll_fleet(dice, least=dice.pick((0, 4, 8)), most=13, whole_nodes=dice.flip())
    widest = dice.between(0, len(made.levels) + 1) if dice.flip() else 0
    return Case(made, roll_demand(dice), dice.between(1, 12), widest)


PLACING: Room[Place, Case] = Room("placing", place, rolled(roll_case, 64), tries=250)


def _placed(thing: Place, case: Case) -> tuple[Found | None, dict[Path, int]]:
    index = case.fleet.index(case.demand)
    fit = thing(index, case.replicas, case.widest)
    return (None if fit is None else Found.read(index, fit)), case.free()


@PLACING.law
def a_gang_is_placed_whole_and_only_on_free_slots_of_its_domain(thing: Place, case: Case) -> None:
    found, free = _placed(thing, case)
    if found is not None:
        assert found.below[()] == case.replicas
        for path in found.order:
            assert 0 < found.below[path] <= free[path], f"{found.below[path]} replicas on {path}, room for {free[path]}"
            assert path[: len(found.domain)] == found.domain, f"{path} is not below {found.domain}"


@PLACING.law
def room_is_found_wherever_there_is_any(thing: Place, case: Case) -> None:
    found, free = _placed(thing, case)
    assert (found is None) == (referee.narrowest(free, case.replicas, case.widest) is None)


@PLACING.law
def the_domain_is_of_the_narrowest_level_with_room_and_has_the_least_there(thing: Place, case: Case) -> None:
    found, free = _placed(thing, case)
    if found is not None:
        level = referee.narrowest(free, case.replicas, case.widest)
        assert len(found.domain) == level
        least = min(room for path, room in free.items() if len(path) == level and room >= case.replicas)
        assert free[found.domain] == least


@PLACING.law
def of_equal_domains_the_one_with_the_fullest_surroundings_is_taken(thing: Place, case: Case) -> None:
    found, free = _placed(thing, case)
    if found is not None:
        equals = [path for path in free if len(path) == len(found.domain) and free[path] == free[found.domain]]
        around = {path: [free[path[:level]] for level in range(len(path) - 1, -1, -1)] for path in equals}
        assert around[found.domain] == min(around.values())


@PLACING.law
def no_more_children_of_a_domain_are_used_than_needed(thing: Place, case: Case) -> None:
    found, free = _placed(thing, case)
    if found is not None:
        for domain, replicas in found.below.items():
            below = referee.children(free, domain)
            if below and domain[: len(found.domain)] == found.domain:
                used = [child for child in below if child in found.below]
                assert len(used) == referee.fewest((free[child] for child in below), replicas)


@PLACING.law
def what_is_left_goes_to_the_child_with_the_least_room_for_it(thing: Place, case: Case) -> None:
    found, free = _placed(thing, case)
    if found is not None:
        for domain in found.below:
            below = referee.children(free, domain) if len(domain) >= len(found.domain) else []
            partly = [child for child in below if 0 < found.below.get(child, 0) < free[child]]
            assert len(partly) <= 1, f"{partly} are all partly filled"
            for child in partly:
                left = found.below[child]
                spare = [free[other] for other in below if other not in found.below and free[other] >= left]
                assert free[child] <= min(spare, default=free[child])


@PLACING.law
def of_children_with_equal_room_the_first_are_taken(thing: Place, case: Case) -> None:
    found, free = _placed(thing, case)
    if found is not None:
        order = [path for path in _network_order(case.fleet) if path[: len(found.domain)] == found.domain]
        for domain in found.below:
            below = referee.children(free, domain) if len(domain) >= len(found.domain) else []
            below.sort(key=lambda child: next(i for i, path in enumerate(order) if path[: len(child)] == child))
            for earlier, later in ((a, b) for i, a in enumerate(below) for b in below[i + 1 :] if free[a] == free[b]):
                assert not (later in found.below and earlier not in found.below), f"{later} is taken, {earlier} is not"


@PLACING.law
def ranks_are_in_network_order(thing: Place, case: Case) -> None:
    index = case.fleet.index(case.demand)
    fit = thing(index, case.replicas, case.widest)
    if fit is not None:
        order = _network_order(case.fleet)
        ranks = [order.index(_path(index, index.tree.leaf_level, position)) for position in fit.ranks()]
        assert ranks == sorted(ranks)
        assert len(ranks) == case.replicas


@PLACING.law
def looking_for_room_takes_none(thing: Place, case: Case) -> None:
    index, untouched = case.fleet.index(case.demand), case.fleet.index(case.demand)
    thing(index, case.replicas, case.widest)
    assert (index.free, index.whole, index.order) == (untouched.free, untouched.whole, untouched.order)


def _network_order(fleet: Fleet) -> list[Path]:
    """All nodes by path, their numbers by value (every name here ends in its number)."""

    def key(path: Path) -> tuple[int, ...]:
        return tuple(int(name.rsplit("-", 1)[1]) for name in path)

    return sorted((referee.path_of(node) for node in fleet.nodes), key=key)

"""Laws of a repair, over a function like `berth.core.repair.mend`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from berth.core.admission import Pool, find
from berth.core.model import OUT_OF_SERVICE, Gang, Job, JobKey, NodeTrouble, Placement, Record, Taint, Trouble
from berth.core.repair import Mended, mend
from tests.properties import referee
from tests.properties.dice import Dice, rolled
from tests.properties.fleets import Fleet, roll_fleet, roll_gang
from tests.properties.law import Room
from tests.properties.referee import Path

NOW = 1_000
Mend = Callable[[Job, dict[str, Pool], int], Mended | None]


@dataclass(frozen=True)
class Damage:
    """A fleet in which a gang was placed, and then things happened. `used` is all that is taken, the gang included."""

    fleet: Fleet
    gang: Gang
    placement: Placement | None
    bad: frozenset[str]

    def job(self) -> Job:
        """The job whose attempt is being closed."""
        assert self.placement is not None
        troubles = tuple(NodeTrouble(name, Trouble.NOT_READY, NOW - 9) for name in sorted(self.bad))
        return Job(
            JobKey("team", "train"),
            "train-uid",
            1,
            0,
            self.gang,
            Record(attempt=1, placement=self.placement),
            troubles=troubles,
            claims=self.claims(),
        )

    def claims(self) -> dict[str, tuple[tuple[str, int], ...]]:
        """What the gang counts as taken."""
        assert self.placement is not None
        each = self.gang.demand(self.fleet.resource).requests
        nodes = self.placement.nodes
        return {name: tuple((r, n * nodes.count(name)) for r, n in each) for name in nodes}

    def used(self) -> dict[str, dict[str, int]]:
        """What is taken by others, and by what may still run on a bad node."""
        found = {name: dict(taken) for name, taken in self.fleet.used.items()}
        for name, requests in self.claims().items():
            if name in found and name not in self.bad:
                for resource, amount in requests:
                    found[name][resource] -= amount
        return found

    def slots(self) -> dict[str, int]:
        """Free slots by node, with the gang's own given back, and none on a bad node."""
        demand, used = self.gang.demand(self.fleet.resource), self.used()
        return {
            node.name: 0 if node.name in self.bad else referee.slots(node, used[node.name], demand)
            for node in self.fleet.nodes
        }

    def keepers(self) -> list[int]:
        """Ranks that can keep their node: as many on each as it has room for, the lowest first."""
        assert self.placement is not None
        left, found = self.slots(), []
        for rank, name in enumerate(self.placement.nodes):
            if left.get(name, 0) > 0:
                left[name] -= 1
                found.append(rank)
        return found

    def paths(self) -> dict[str, Path]:
        """Every node's domains."""
        return {node.name: referee.path_of(node) for node in self.fleet.nodes}

    def narrowest(self) -> int | None:
        """Length of the path of the narrowest domain around the keepers that holds the whole gang; None: none does."""
        assert self.placement is not None
        widest = referee.widest_level(self.gang, self.fleet.levels)
        keepers, paths, slots = self.keepers(), self.paths(), self.slots()
        if not keepers or widest is None:
            return None
        kept = [paths[self.placement.nodes[rank]] for rank in keepers]
        for length in range(len(self.fleet.levels) + 1, widest - 1, -1):
            heads = {path[:length] for path in kept}
            if len(heads) == 1:
                (head,) = heads
                if sum(slots[name] for name, path in paths.items() if path[:length] == head) >= self.gang.replicas:
                    return length
        return None


def roll_damage(dice: Dice) -> Damage:
    """A gang where it fits best, and then nodes that are cordoned, gone, in trouble, shrunk or taken by others."""
    fleet = roll_fleet(dice, least=5, most=12, whole_nodes=True)
    if dice.flip():  # an empty one, so that there is somewhere to go
        fleet = replace(fleet, used={node.name: {} for node in fleet.nodes})
    gang = roll_gang(dice, most=5, levels=fleet.levels or ("node",))
    berth = find(gang, {fleet.name: fleet.pool()})
    if berth is None:
        return Damage(fleet, gang, None, frozenset())
    placement = berth.placement(1, 0)
    used = {name: dict(taken) for name, taken in fleet.used.items()}
    for name in placement.nodes:
        for resource, amount in gang.demand(fleet.resource).requests:
            used[name][resource] = used[name].get(resource, 0) + amount
    nodes, bad = [], set()
    for node in fleet.nodes:
        luck = 5 if node.name in placement.nodes else 14
        fate = dice.pick(("",) * luck + ("gone", "dead", "down", "cordoned", "smaller", "taken"))
        changed = {
            "dead": {"ready": False},
            "down": {"taints": (Taint(OUT_OF_SERVICE, "", "NoExecute"),)},
            "cordoned": {"cordoned": True},
            "smaller": {"allocatable": {**node.allocatable, fleet.resource: 4}},
        }
        if fate == "gone":
            del used[node.name]
            continue
        if fate in ("dead", "down"):
            bad.add(node.name)
        if fate == "taken":
            used[node.name][fleet.resource] = used[node.name].get(fleet.resource, 0) + 8
        nodes.append(replace(node, **changed.get(fate, {})))  # type: ignore[arg-type]
    return Damage(replace(fleet, nodes=tuple(nodes), used=used), gang, placement, frozenset(bad))


REPAIRING = Room("a repair", mend, rolled(roll_damage, 120), tries=400)


def _mended(thing: Mend, damage: Damage) -> tuple[Mended | None, Pool]:
    """What came of it, and the pool that it was tried in."""
    pool = damage.fleet.pool()
    return (None if damage.placement is None else thing(damage.job(), {pool.name: pool}, NOW)), pool


@REPAIRING.law
def survivors_keep_their_nodes(thing: Mend, damage: Damage) -> None:
    mended, _ = _mended(thing, damage)
    if mended is not None and damage.placement is not None:
        keepers = damage.keepers()
        for rank in keepers:
            assert mended.placement.nodes[rank] == damage.placement.nodes[rank], f"rank {rank} need not have moved"
        assert [rank for rank, _, _ in mended.moved] == [r for r in range(damage.gang.replicas) if r not in keepers]


@REPAIRING.law
def nothing_is_given_twice_or_on_a_bad_node(thing: Mend, damage: Damage) -> None:
    mended, _ = _mended(thing, damage)
    if mended is not None:
        slots = damage.slots()
        nodes = mended.placement.nodes
        assert len(nodes) == damage.gang.replicas
        for name in set(nodes):
            assert nodes.count(name) <= slots.get(name, 0), f"{nodes.count(name)} on {name}, room for {slots.get(name)}"


@REPAIRING.law
def where_the_gang_is_and_where_it_was_is_taken(thing: Mend, damage: Damage) -> None:
    mended, _ = _mended(thing, damage)
    if mended is not None:
        expected = {name: dict(taken) for name, taken in damage.fleet.used.items()}
        nodes = mended.placement.nodes
        for name in set(nodes):
            former = dict(damage.claims().get(name, ()))
            for resource, amount in damage.gang.demand(damage.fleet.resource).requests:
                more = max(0, amount * nodes.count(name) - former.get(resource, 0))
                expected[name][resource] = expected[name].get(resource, 0) + more
        ledger = mended.pool.ledger
        for node, used in zip(ledger.nodes, ledger.used, strict=True):
            assert _positive(used) == _positive(expected[node.name]), node.name


def _positive(used: Mapping[str, int]) -> dict[str, int]:
    return {resource: amount for resource, amount in used.items() if amount}


@REPAIRING.law
def a_required_level_is_kept_in_repair(thing: Mend, damage: Damage) -> None:
    mended, _ = _mended(thing, damage)
    widest = referee.widest_level(damage.gang, damage.fleet.levels)
    if mended is not None:
        paths = damage.paths()
        assert widest is not None
        assert len({paths[name][:widest] for name in mended.placement.nodes}) == 1


@REPAIRING.law
def the_domain_around_the_survivors_is_the_narrowest_with_room(thing: Mend, damage: Damage) -> None:
    mended, _ = _mended(thing, damage)
    if mended is not None:
        paths, length = damage.paths(), damage.narrowest()
        assert length is not None
        assert len({paths[name][:length] for name in mended.placement.nodes}) == 1


@REPAIRING.law
def a_gang_is_repaired_wherever_it_can_be(thing: Mend, damage: Damage) -> None:
    mended, _ = _mended(thing, damage)
    assert (mended is not None) == (damage.placement is not None and damage.narrowest() is not None)


@REPAIRING.law
def a_repair_says_where_the_gang_is(thing: Mend, damage: Damage) -> None:
    mended, _ = _mended(thing, damage)
    if mended is not None:
        paths = damage.paths()
        levels = (*damage.fleet.levels, "node")
        spans = {
            name: len({paths[node][: depth + 1] for node in mended.placement.nodes})
            for depth, name in enumerate(levels)
        }
        assert dict(mended.placement.spans) == spans


@REPAIRING.law
def a_repair_that_is_tried_changes_nothing(thing: Mend, damage: Damage) -> None:
    _, pool = _mended(thing, damage)
    untouched = damage.fleet.pool()
    assert [dict(used) for used in pool.ledger.used] == [dict(used) for used in untouched.ledger.used]

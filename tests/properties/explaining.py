"""Laws of explanations, over a function like `berth.core.waiting.refused`.

Sentences are read back as a user would read them, and every number and every proposal in them is tried.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from berth.core.admission import Pool, find
from berth.core.explain import domain_name
from berth.core.model import Gang, Policy
from berth.core.plan import Pending, Reason
from berth.core.waiting import refused
from tests.properties import referee
from tests.properties.dice import Dice, rolled
from tests.properties.fleets import NPU, Fleet, roll_fleet, roll_gang
from tests.properties.law import Room
from tests.properties.referee import State
from tests.properties.situations import POOLS

Refuse = Callable[[Gang, dict[str, Pool]], Pending]


@dataclass(frozen=True)
class Case:
    """A gang, and fleets of which none has room for it (laws say nothing where one has)."""

    fleets: tuple[Fleet, ...]
    gang: Gang

    @property
    def refused(self) -> bool:
        """Whether there is no room."""
        return not State(self.fleets).rooms(self.gang)

    def pools(self) -> dict[str, Pool]:
        """New pools over the fleets."""
        return {fleet.name: fleet.pool() for fleet in self.fleets}

    def tried(self) -> list[Fleet]:
        """Fleets that the gang may run on."""
        return [fleet for fleet in self.fleets if not self.gang.pools or fleet.name in self.gang.pools]


def roll_case(dice: Dice) -> Case:
    """None to two fleets, some of them unusable, and a gang that is rather too large."""
    chosen = [roll_fleet(dice, "h800", least=2, most=10, whole_nodes=dice.flip())]
    if dice.below(3) == 0:
        chosen.append(roll_fleet(dice, "a910", NPU, most=6))
    oddity = dice.pick(("", "", "", "", "", "", "problem", "sizes", "no pool"))
    if oddity == "problem":
        chosen[0] = replace(chosen[0], problem="no node matches its selector")
    if oddity == "sizes":
        chosen[-1] = replace(chosen[-1], sizes=(4, 8))
    asked = roll_gang(dice, POOLS)
    if dice.flip():  # one that would find room if it were less particular
        level = dice.pick((*chosen[0].levels, "node"))
        asked = replace(asked, level=level, policy=Policy.REQUIRED, replicas=dice.between(2, 5))
    else:
        asked = replace(asked, replicas=asked.replicas + dice.below(5))
    return Case(() if oddity == "no pool" else tuple(chosen), asked)


EXPLAINING = Room("explaining", refused, rolled(roll_case, 80), tries=250)


def _opened(fleet: Fleet) -> Fleet:
    """A fleet of which nothing is taken and no node is closed."""
    nodes = tuple(replace(node, cordoned=False, ready=True) for node in fleet.nodes)
    return replace(fleet, nodes=nodes, used={node.name: {} for node in fleet.nodes})


def _reason(case: Case, fleet: Fleet) -> Reason:
    """Why one fleet refuses the gang, found the long way."""
    gang = case.gang
    widest = referee.widest_level(gang, fleet.levels)
    if fleet.problem:
        return Reason.POOL_NOT_READY
    if fleet.sizes and gang.replicas > 1 and gang.devices not in fleet.sizes:
        return Reason.SIZE_NOT_ALLOWED
    if widest is None:
        return Reason.UNKNOWN_LEVEL
    state, empty = State([fleet]), State([replace(fleet, used={node.name: {} for node in fleet.nodes})])
    demand = gang.demand(fleet.resource)
    if referee.narrowest(empty.free(fleet.name, demand), gang.replicas, widest) is None:
        opened = State([_opened(fleet)]).free(fleet.name, demand)
        if not fleet.nodes or referee.narrowest(opened, gang.replicas, widest) is None:
            return Reason.TOO_LARGE
        enough = widest and empty.free(fleet.name, demand)[()] >= gang.replicas
        return Reason.TOPOLOGY_BLOCKED if enough else Reason.INSUFFICIENT_DEVICES
    return (
        Reason.INSUFFICIENT_DEVICES if state.free(fleet.name, demand)[()] < gang.replicas else Reason.TOPOLOGY_BLOCKED
    )


@EXPLAINING.law
def the_reason_is_that_of_the_pool_nearest_to_starting_it(thing: Refuse, case: Case) -> None:
    if not case.refused:
        return
    hope = (
        Reason.TOPOLOGY_BLOCKED,
        Reason.INSUFFICIENT_DEVICES,
        Reason.TOO_LARGE,
        Reason.POOL_NOT_READY,
        Reason.UNKNOWN_LEVEL,
        Reason.SIZE_NOT_ALLOWED,
        Reason.UNKNOWN_POOL,
    )
    expected = [_reason(case, fleet) for fleet in case.tried()] or [Reason.UNKNOWN_POOL]
    first = min(expected, key=hope.index) if case.fleets else Reason.NO_POOL
    assert thing(case.gang, case.pools()).reason == first


@EXPLAINING.law
def numbers_in_a_refusal_are_those_of_the_pool(thing: Refuse, case: Case) -> None:
    if not case.refused or len(case.tried()) != 1 or len(case.gang.pools) > 1:
        return
    fleet, gang = case.tried()[0], case.gang
    reason, message = _reason(case, fleet), thing(gang, case.pools()).message
    if reason not in (Reason.TOO_LARGE, Reason.INSUFFICIENT_DEVICES, Reason.TOPOLOGY_BLOCKED) or not fleet.nodes:
        return
    demand = gang.demand(fleet.resource)
    free = State([fleet]).free(fleet.name, demand)
    whole = State([replace(fleet, used={node.name: {} for node in fleet.nodes})]).free(fleet.name, demand)
    widest = referee.widest_level(gang, fleet.levels)
    assert _number(r"^needs (\d+) ", message) == gang.replicas
    if " open in pool " in message or ", the largest, " in message:
        opened = State([_opened(fleet)]).free(fleet.name, demand)
        now, then = _number(r"(\d+) of \d+ (?:is|are) open", message), _number(r" of (\d+) (?:is|are) open", message)
        if reason is Reason.INSUFFICIENT_DEVICES:
            assert (now, then) == (whole[()], opened[()])
        else:
            assert then == max(room for path, room in opened.items() if len(path) == widest)
            assert (now, then) in {(whole[path], opened[path]) for path in whole if len(path) == widest}
        return
    if reason is Reason.TOO_LARGE:
        most = max(room for path, room in whole.items() if len(path) == widest)
        assert _number(r"(?:has|is) (\d+)(?: \(|$)", message) == most
    elif reason is Reason.INSUFFICIENT_DEVICES:
        assert _number(r"; (\d+) of \d+ (?:is|are) free", message) == free[()]
        assert _number(r"; \d+ of (\d+) (?:is|are) free", message) == whole[()]
    else:
        most = max(room for path, room in free.items() if len(path) == widest)
        assert _number(r"most free is (\d+) ", message) == most
        named = re.search(r"most free is \d+ (?:under|on node) (?:\S+ )?(\S+) \(of (\d+)\)", message)
        assert named, message
        domains = {path[-1] if len(path) > len(fleet.levels) else "/".join(path): path for path in free}
        assert free[domains[named[1]]] == most
        assert whole[domains[named[1]]] == int(named[2])


@EXPLAINING.law
def nodes_that_are_kept_out_are_all_counted(thing: Refuse, case: Case) -> None:
    if not case.refused or len(case.tried()) != 1:
        return
    fleet, pending = case.tried()[0], thing(case.gang, case.pools())
    told = re.search(r" \((\d+) of (\d+) nodes?: (.*)\)", pending.message)
    if pending.reason not in (Reason.TOO_LARGE, Reason.INSUFFICIENT_DEVICES):
        return
    demand = case.gang.demand(fleet.resource)
    empty = pending.reason is Reason.TOO_LARGE or " open in pool " in pending.message
    taken = {} if empty else fleet.used
    out = sum(1 for node in fleet.nodes if not referee.slots(node, taken.get(node.name, {}), demand))
    parts = [int(told[1]), *map(int, re.findall(r"; (\d+):", told[3]))] if told else []
    assert sum(parts) == out
    assert not told or int(told[2]) == len(fleet.nodes)


@EXPLAINING.law
def every_nearest_change_finds_room_where_it_says(thing: Refuse, case: Case) -> None:
    if not case.refused:
        return
    for change in thing(case.gang, case.pools()).nearest:
        told, changed = change.text.split(": could start now ")[1], change.gang
        assert State(case.fleets).rooms(changed), f"{change}: there is no room"
        berth = find(changed, case.pools())
        assert berth is not None
        tree, fit = berth.pool.ledger.tree, berth.fit
        over = re.match(r"over (\d+) ", told)
        if over:
            level = tree.level(changed.level or "")
            assert level is not None
            assert int(over[1]) == len({tree.above(position)[level] for position, _ in fit.counts})
        else:
            assert f" {domain_name(tree, fit.level, fit.domain)} " in f"{told} "


@EXPLAINING.law
def the_nearest_smaller_gang_is_the_largest_that_could_start(thing: Refuse, case: Case) -> None:
    if not case.refused:
        return
    told = [str(change) for change in thing(case.gang, case.pools()).nearest if re.match(r"replicas \d+:", str(change))]
    usable = tuple(fleet for fleet in case.tried() if not fleet.sizes)  # sizes of one replica alone are told apart
    state = State(usable)
    fits = [n for n in range(1, case.gang.replicas) if state.rooms(replace(case.gang, replicas=n))]
    if len(usable) == len(case.tried()):
        assert [_number(r"replicas (\d+)", change) for change in told] == fits[-1:]


@EXPLAINING.law
def a_preferred_level_is_proposed_where_it_helps(thing: Refuse, case: Case) -> None:
    if not case.refused:
        return
    proposed = any(change.startswith("topology.policy") for change in map(str, thing(case.gang, case.pools()).nearest))
    helps = case.gang.policy is Policy.REQUIRED and State(case.fleets).rooms(
        replace(case.gang, policy=Policy.PREFERRED)
    )
    assert proposed == bool(helps)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, f"{text!r} does not say {pattern!r}"
    return int(found[1])

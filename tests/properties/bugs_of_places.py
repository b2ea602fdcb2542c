"""Bugs of placement and of counting, as they happen: an off-by-one, a forgotten copy, half a gang, the wrong end.

Most are the heart's own code with one part exchanged (`swapped`), so that everything else is as it is.
"""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

from berth.core.grouping import place_groups
from berth.core.model import Demand, Groups, Node
from berth.core.placement import Fit, _tightest, fill, place
from berth.core.slots import Ledger, SlotIndex

P = ParamSpec("P")
R = TypeVar("R")


def swapped(function: Callable[P, R], **parts: object) -> Callable[P, R]:
    """The same function with other functions under some of the names that it uses."""
    assert isinstance(function, FunctionType), "only a plain function can be taken apart"
    unknown = parts.keys() - function.__globals__.keys()
    assert not unknown, f"{function.__name__} knows no {unknown}"
    made = FunctionType(function.__code__, {**function.__globals__, **parts}, function.__name__)
    made.__defaults__, made.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    return made


# Placement


def half_a_gang(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Places one replica too few."""
    return place(index, max(1, replicas - 1), widest)


def one_slot_too_many_on_a_node(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Puts all on the first node that it meets."""
    fit = place(index, replicas, widest)
    return fit and replace(fit, counts=((fit.counts[0][0], replicas),))


def more_room_than_needed_wanted(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Asks for more than `replicas` where as many would do."""
    return place(index, replicas, widest) if place(index, replicas + 1, widest) else None


def _anywhere(index: SlotIndex, level: int, domain: int, replicas: int) -> Fit:
    counts: list[tuple[int, int]] = []
    fill(index, level, domain, replicas, counts)
    return Fit(level, domain, tuple(sorted(counts)))


def widest_level_first(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Goes through the levels from the wrong end."""
    for level in range(widest, index.tree.leaf_level + 1):
        least = index.smallest(level, replicas)
        if least is not None:
            return _anywhere(index, level, _tightest(index, level, least), replicas)
    return None


def worst_fit(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Takes the domain with the most room."""
    fit = place(index, replicas, widest)
    return fit and _anywhere(index, fit.level, index.most(fit.level)[1], replicas)


def first_of_equals(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Does not look at the surroundings."""
    fit = place(index, replicas, widest)
    if fit is None:
        return None
    _, domain = next(iter(index.ascending(fit.level, replicas)))
    return _anywhere(index, fit.level, domain, replicas)


def _refill(pick: Callable[[list[tuple[int, int]], int], int]) -> Callable[[SlotIndex, int, int], Fit | None]:
    """Placement that fills the children of a domain in the order that `pick` chooses."""

    def refill(index: SlotIndex, level: int, domain: int, replicas: int, counts: list[tuple[int, int]]) -> None:
        if level == index.tree.leaf_level:
            counts.append((domain, replicas))
            return
        free = index.free[level + 1]
        children = sorted((free[c], c) for c in index.tree.children(level, domain) if free[c])
        while replicas:
            slots, child = children.pop(pick(children, replicas))
            refill(index, level + 1, child, min(slots, replicas), counts)
            replicas -= min(slots, replicas)

    return swapped(place, fill=refill)


def _last_of_equals(children: list[tuple[int, int]], replicas: int) -> int:
    return next((at for at, (free, _) in enumerate(children) if free >= replicas), len(children) - 1)


fullest_children_first = _refill(lambda _, __: 0)
always_the_emptiest_child = _refill(lambda children, _: len(children) - 1)
last_of_equal_children_first = _refill(_last_of_equals)


def ranks_backwards(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Forgets to sort."""
    fit = place(index, replicas, widest)
    return fit and replace(fit, counts=fit.counts[::-1])


def takes_while_looking(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Counts the devices as taken in the index that it was only to look at."""
    fit = place(index, replicas, widest)
    if fit is not None:
        position, taken = fit.counts[0]
        index._move(index.tree.leaf_level, position, index.free[-1][position] - taken)
    return fit


# Counting


class TakesWithoutLog(Ledger):
    """Forgets to note which node changed."""

    def take(self, position: int, demand: Demand, replicas: int) -> None:
        super().take(position, demand, replicas)
        self._log.pop()


class ForksShareIndexes(Ledger):
    """Forgets that the other side still reads the index."""

    def fork(self) -> Ledger:
        twin = super().fork()
        for index in self._indexes.values():
            index.shared = False
        return twin


class CompactsAndKeepsItsBase(Ledger):
    """Throws its log away and then brings the original's counts up to date by it."""

    __slots__ = ()

    def fork(self) -> Ledger:
        twin = super().fork()
        twin.__class__ = CompactsAndKeepsItsBase
        return twin

    def _compact(self) -> None:
        base = self._base
        super()._compact()
        self._base = base


class ReadsTheLogFromTheNextEntry(Ledger):
    """Is off by one in its own log."""

    def index(self, demand: Demand) -> SlotIndex:
        known = self._indexes.get(demand)
        if known is not None and known.seen < len(self._log):
            known.seen += 1
        return super().index(demand)


class ForksShareUsage(Ledger):
    """Copies the list of nodes, but not that of what is taken."""

    def fork(self) -> Ledger:
        twin = super().fork()
        twin.used = self.used
        return twin


class TakesOneTooMany(Ledger):
    """Does not ask whether there is room for the last replica."""

    def take(self, position: int, demand: Demand, replicas: int) -> None:
        if replicas > 1:
            super().take(position, demand, replicas - 1)
        taken = Counter(self.used[position])
        taken.update(dict(demand.requests))
        self.set_used(position, taken)


class CountsNoCordons(Ledger):
    """Takes cordoned nodes for open ones when it says why."""

    def barriers(self, demand: Demand, *, whole: bool = False) -> Any:
        twin = Ledger(self.tree, [replace(node, cordoned=False) for node in self.nodes], self.used)
        return twin.barriers(demand, whole=whole)


class RemembersTooLong(Ledger):
    """Does not count again what it has counted once."""

    def remembered(self, what: object, compute: Any) -> Any:
        known = self._remembered.get(what)
        return known[1] if known else super().remembered(what, compute)


class CountsClosedNodes(SlotIndex):
    """Counts room on nodes that take nothing."""

    def __init__(self, tree: Any, demand: Demand, nodes: list[Node], used: list[Mapping[str, int]]) -> None:
        super().__init__(tree, demand, [replace(node, ready=True) for node in nodes], used)


class AsksForMore(SlotIndex):
    """Bisects on the wrong side."""

    def smallest(self, level: int, slots: int) -> int | None:
        return super().smallest(level, slots + 1)


class SkipsTheFirst(SlotIndex):
    """Begins one too late."""

    def ascending(self, level: int, slots: int) -> Any:
        found = iter(super().ascending(level, slots))
        next(found, None)
        return found


class LastOfTheMost(SlotIndex):
    """Takes the last of equal domains."""

    def most(self, level: int) -> tuple[int, int]:
        found = [(free, domain) for domain, free in enumerate(self.free[level])]
        return max(found, default=(0, 0))


class ForgetsToMove(SlotIndex):
    """Leaves its sorted lists as they were."""

    def ascending(self, level: int, slots: int) -> Any:
        order = self.order[level].copy()
        if order:
            insort(order, order.pop() + (1 << 32))
        return ((entry >> 32, entry & 0xFFFFFFFF) for entry in order if entry >> 32 >= slots)


# Groups


def forgets_groups(index: SlotIndex, replicas: int, widest: int, groups: Groups) -> Fit | None:
    """Places the gang as if each rank stood for itself."""
    del groups
    return place(index, replicas, widest)


def counts_slots_for_groups(index: SlotIndex, replicas: int, widest: int, groups: Groups) -> Fit | None:
    """Takes every slot for a group: domains get more than they have room for."""
    return place_groups(index, replicas, widest, groups, rule=_of_slots(groups.size))


def _of_slots(size: int) -> Callable[[SlotIndex, int, int], Fit | None]:
    def spoilt(index: SlotIndex, wanted: int, widest: int) -> Fit | None:
        fit = place(index, max(1, wanted // size), widest)
        return fit and replace(fit, counts=tuple((domain, number * size) for domain, number in fit.counts))

    return spoilt


def wants_all_groups_together(index: SlotIndex, replicas: int, widest: int, groups: Groups) -> Fit | None:
    """Looks for one domain of the groups' level that holds them all."""
    level = index.tree.level(groups.level)
    assert level is not None
    return place(index, replicas, max(level, widest))

"""Bugs of layouts, as they happen: a link forgotten, the wrong group preferred, a division where a rule is needed."""

from collections import Counter
from dataclasses import replace

from berth.core.layout import Layout, fits, pick
from berth.core.model import Demand
from berth.core.slots import Ledger
from tests.properties.laying import Layouts


def _crosses_rings(layout: Layout, free: int, size: int) -> int | None:
    return pick(replace(layout, within_group=(), prefer_free=()), free, size)


def _takes_the_fullest_ring(layout: Layout, free: int, size: int) -> int | None:
    return pick(replace(layout, prefer_free=tuple((s, (4, 3, 2, 1)) for s, _ in layout.prefer_free)), free, size)


def _forgets_matching_positions(layout: Layout, free: int, size: int) -> int | None:
    return pick(replace(layout, paired=()), free, size)


def _opens_a_fresh_module(layout: Layout, free: int, size: int) -> int | None:
    fresh = free & free >> 1 & 0x5555
    return fresh & -fresh if size == 1 and fresh else pick(layout, free, size)


def _takes_one_too_few(layout: Layout, free: int, size: int) -> int | None:
    chosen = pick(layout, free, size)
    return chosen and chosen & (chosen - 1)


def _wants_one_more(layout: Layout, free: int, size: int) -> int | None:
    return pick(layout, free, size) if free.bit_count() > size else None


def _never_crosses(layout: Layout, free: int, size: int) -> int | None:
    return pick(replace(layout, within_group=tuple(range(1, 9))), free, size)


crosses_rings = Layouts(pick=_crosses_rings)
takes_the_fullest_ring = Layouts(pick=_takes_the_fullest_ring)
forgets_matching_positions = Layouts(pick=_forgets_matching_positions)
opens_a_fresh_module = Layouts(pick=_opens_a_fresh_module)
takes_one_too_few = Layouts(pick=_takes_one_too_few)
wants_one_more = Layouts(pick=_wants_one_more)
never_crosses = Layouts(pick=_never_crosses)
divides = Layouts(fits=lambda _, free, size: free.bit_count() // size)
stops_after_one = Layouts(fits=lambda layout, free, size: min(1, fits(layout, free, size)))


class TakesByCount(Ledger):
    """Counts what it gives and forgets which devices it gave."""

    def take(self, position: int, demand: Demand, replicas: int) -> None:
        held = self.held[position]
        super().take(position, demand, replicas)
        self.set_used(position, self.used[position], held)


class ForksShareDevices(Ledger):
    """Copies what is counted, but not which devices are taken."""

    def fork(self) -> Ledger:
        twin = super().fork()
        twin.held = self.held
        return twin


class TrustsCountsAlone(Ledger):
    """Does not look at devices when it says why a node has no slot."""

    def barriers(self, demand: Demand, *, whole: bool = False) -> Counter[str]:
        return Ledger(self.tree, self.nodes, self.used).barriers(demand, whole=whole)

"""Contiguous placement: the narrowest domain that holds the gang, and inside it as few domains as possible.

Best fit at each level, after the rule that Slurm's `topology/tree` and Kueue's topology-aware scheduling publish: of
the narrowest level at which some domain has room for the whole gang, take a domain with the least room; below it, give
what is left to the child with the least room that holds it all, else fill the child with the most room first. Among
equals, the one whose surroundings have the least room, so that wide free ranges stay whole, and then the first in
network order, so that neighbours are taken together.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from berth.core.slots import SlotIndex


@dataclass(frozen=True, slots=True)
class Fit:
    """Where a gang fits: a domain, and how many replicas sit on each node below it.

    `counts` holds (node position, replicas) in network order.
    """

    level: int
    domain: int
    counts: tuple[tuple[int, int], ...]

    def ranks(self) -> list[int]:
        """Node position of every rank: neighbours in rank are neighbours in the network."""
        return [position for position, count in self.counts for _ in range(count)]


Rule = Callable[[SlotIndex, int, int], Fit | None]
"""How a place is chosen for a gang of so many replicas inside one domain of a level or narrower, like `place`."""


def place(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Find room for a whole gang inside one domain of level `widest` or narrower; None if there is none.

    `widest` is a level number: 0 allows the whole pool. The index is not changed.
    """
    for level in range(index.tree.leaf_level, widest - 1, -1):
        least = index.smallest(level, replicas)
        if least is not None:
            domain = _tightest(index, level, least)
            counts: list[tuple[int, int]] = []
            fill(index, level, domain, replicas, counts)
            return Fit(level, domain, tuple(sorted(counts)))
    return None


def _tightest(index: SlotIndex, level: int, free: int) -> int:
    """Of the domains of a level with exactly `free` slots, the one whose surroundings have the fewest."""
    if level == 0:
        return 0
    best: tuple[list[int], int] | None = None
    for around, parent in index.ascending(level - 1, free):
        if best is not None and around > best[0][0]:
            break
        counts = index.free[level]
        twin = next((c for c in index.tree.children(level - 1, parent) if counts[c] == free), None)
        if twin is not None:
            candidate = (_surroundings(index, level - 1, parent), twin)
            best = candidate if best is None else min(best, candidate)
    assert best is not None, f"no domain of level {level} has {free} slots, though the index says so"
    return best[1]


def _surroundings(index: SlotIndex, level: int, domain: int) -> list[int]:
    """Free slots of a domain and of those around it, narrowest first."""
    found = []
    for above in range(level, -1, -1):
        found.append(index.free[above][domain])
        domain = index.tree.parent[above][domain]
    return found


def fill(index: SlotIndex, level: int, domain: int, replicas: int, counts: list[tuple[int, int]]) -> None:
    """Spread replicas below a domain that has room for them, over as few of its children as best fit finds."""
    if level == index.tree.leaf_level:
        counts.append((domain, replicas))
        return
    free = index.free[level + 1]
    children = sorted((free[c], c) for c in index.tree.children(level, domain) if free[c])
    while replicas:
        most = children[-1][0]
        slots, child = children.pop(bisect_left(children, (min(replicas, most), -1)))
        part = min(slots, replicas)
        fill(index, level + 1, child, part, counts)
        replicas -= part

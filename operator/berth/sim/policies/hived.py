"""HiveD's buddy cells: take what is already split before anything whole is split, and split the smallest cell.

Source: Zhao et al., "HiveD: Sharing a GPU Cluster for Deep Learning with Guarantees", OSDI 2020, section 3 (cells,
buddy cell allocation). A cell is a domain of the tree; a free cell is one of which nothing is taken. A request for a
cell of some level takes a free one of that level whose parent is split; only where there is none, the next larger free
cell is split, and cells whose buddies are all free are one larger free cell again, which here needs no act: it is read
from the counts.

What the paper leaves to the tenant's own scheduler is filled in so:
- One tenant has the whole cluster, so cells are not reserved for anybody.
- A gang asks for the affinity of the narrowest level at which one domain has room for it, as all rules here do.
- A gang that is no whole cell is so many whole child cells, and the rest by the same rule inside one more child:
  20 nodes over leaves of 8 are two leaves and 4 nodes of a third. Where whole child cells have run out, the children
  with the most room follow.
- HiveD's cells of one level are alike. In an uneven tree the smallest free cell that holds the request is split, since
  a larger one would in HiveD be a cell of another type; and as whole child cells the largest are taken first. There is
  no best fit beyond that: of split cells that hold a gang the first in network order is taken.
"""

from collections.abc import Iterable

from berth.core.placement import Fit
from berth.core.slots import SlotIndex


def buddy_cells(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Place a gang by buddy cells; None if no domain of level `widest` has room for it."""
    if index.most(widest)[0] < replicas:
        return None
    level = index.tree.leaf_level
    while index.most(level)[0] < replicas:
        level -= 1
    cells = _Cells(index)
    domain = cells.to_split((d for d, free in enumerate(index.free[level]) if free >= replicas), level)
    counts: list[tuple[int, int]] = []
    cells.fill(level, domain, replicas, counts)
    return Fit(level, domain, tuple(sorted(counts)))


class _Cells:
    """Which domains are whole, and in which larger whole ones they lie."""

    def __init__(self, index: SlotIndex) -> None:
        self._index = index
        self._tree = index.tree

    def to_split(self, domains: Iterable[int], level: int) -> int:
        """Of some domains the one that costs the least: the smallest free cell is split for it, or none at all."""
        return min(domains, key=lambda domain: (*self._broken(level, domain), domain))

    def fill(self, level: int, domain: int, replicas: int, counts: list[tuple[int, int]]) -> None:
        """Spread replicas below a domain that has room for them: whole children, and the rest inside one more."""
        if level == self._tree.leaf_level:
            counts.append((domain, replicas))
            return
        free = self._index.free[level + 1]
        children = [child for child in self._tree.children(level, domain) if free[child]]
        while replicas:
            holders = [child for child in children if free[child] >= replicas]
            if holders:
                chosen = self.to_split(holders, level + 1)
            else:
                chosen = max(children, key=lambda child: (self._whole(level + 1, child), free[child], -child))
            part = min(free[chosen], replicas)
            self.fill(level + 1, chosen, part, counts)
            children.remove(chosen)
            replicas -= part

    def _whole(self, level: int, domain: int) -> bool:
        free = self._index.free[level][domain]
        return free > 0 and free == self._index.whole[level][domain]

    def _broken(self, level: int, domain: int) -> list[int]:
        """What is split for a domain: how many whole cells it lies in, itself included, and their sizes, widest first."""
        whole: list[int] = []
        for above in range(level, -1, -1):
            if not self._whole(above, domain):
                break
            whole.insert(0, self._index.free[above][domain])
            domain = self._tree.parent[above][domain]
        return [len(whole), *whole]

"""Slurm's `topology/tree`: the lowest switch that holds the job, then its leaf switches one by one, best fit.

Source: Slurm's Topology Guide, "Tree Topology (Hierarchical Networks)": identify the lowest level switch that can
satisfy the request, then allocate resources on its underlying leaf switches with a best-fit algorithm. What the guide
leaves open is taken from the plugin's behaviour (`_eval_nodes_topo` and the functions it calls): one leaf switch after
the other is chosen by comparing them two by two in the order of the table.

- A switch that holds what is left beats one that does not; of two that do, the one with fewer available nodes wins. If
  neither does, their parents are compared in the same way, and so on; where that ends undecided, the switch with more
  available nodes wins. So the first leaf is one of the smallest parent that holds the whole job.
- Once a leaf is taken, a closer leaf (fewer hops to all that are taken) replaces a farther one only if the comparison
  ended at a level at which it, or its parent there, holds what is left; of leaves that are equally far the comparison
  decides. A job that no spine holds may thus go on, from its first leaf, in another spine that stands earlier in the
  table.
- A chosen leaf gives all its available nodes, in the order of the table, as far as the job needs them.

Slots stand for Slurm's nodes and CPUs. Slurm has no level below the leaf switch, so a job of one node goes to the leaf
with the fewest available nodes, wherever that leaf is; `core.placement` looks at spines, too, before it decides between
equals. A gang that must stay inside one domain is placed as in a cluster of that domain alone, the one with the least
sufficient room.
"""

from berth.core.placement import Fit
from berth.core.slots import SlotIndex
from berth.core.topology import Tree
from berth.sim.policies.blind import around


def tree_best_fit(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Place a gang by Slurm's rule; None if no domain of level `widest` has room for it."""
    tree = index.tree
    if index.most(widest)[0] < replicas:
        return None
    _, top = next(iter(index.ascending(widest, replicas)))
    if widest == tree.leaf_level:
        return around(tree, [(top, replicas)])
    switches = _Switches(index, widest, top)
    counts: list[tuple[int, int]] = []
    left = replicas
    while left:
        leaf = switches.best(left)
        for node in tree.nodes(switches.level, leaf):
            part = min(index.free[-1][node], left)
            if part:
                counts.append((node, part))
                left -= part
        switches.take(leaf)
    return around(tree, counts)


class _Switches:
    """The leaf switches below one domain, what is available on them and above them, and how far they are."""

    def __init__(self, index: SlotIndex, level: int, top: int) -> None:
        self._tree: Tree = index.tree
        self._top_level = level
        self.level = index.tree.leaf_level - 1
        first, last = top, top + 1
        for below in index.tree.child[level : self.level]:
            first, last = below[first], below[last]
        self._available = [counts.copy() for counts in index.free[: self.level + 1]]
        self._left = [leaf for leaf in range(first, last) if self._available[self.level][leaf]]
        self._hops = dict.fromkeys(self._left, 0)

    def best(self, wanted: int) -> int:
        """The leaf that is chosen next for a job that still wants so many slots."""
        best, *others = self._left
        for leaf in others:
            better, holds = self._compare(leaf, best, wanted)
            nearer = self._hops[leaf] - self._hops[best]
            if (nearer < 0 and holds) or (nearer == 0 and better):
                best = leaf
        return best

    def take(self, leaf: int) -> None:
        """All that a leaf has is used, or the job has enough."""
        self._left.remove(leaf)
        path, gone = self._path(leaf), self._available[self.level][leaf]
        for level, domain in enumerate(path):
            self._available[level][domain] -= gone
        for other in self._left:
            common = max(level for level, (a, b) in enumerate(zip(path, self._path(other), strict=True)) if a == b)
            self._hops[other] += 2 * (self.level - common)

    def _path(self, leaf: int) -> list[int]:
        """Domains that a leaf switch lies in, from the pool to itself."""
        path = [leaf]
        for level in range(self.level, 0, -1):
            path.append(self._tree.parent[level][path[-1]])
        return path[::-1]

    def _compare(self, one: int, other: int, wanted: int) -> tuple[bool, bool]:
        """Whether one leaf is a better fit than another, and whether it holds what is wanted where that was decided."""
        level = self.level
        while True:
            mine, theirs = self._available[level][one], self._available[level][other]
            if mine >= wanted and theirs >= wanted:
                return mine < theirs, True
            if (mine >= wanted) != (theirs >= wanted):
                return mine >= wanted, mine >= wanted
            if level == self._top_level or self._tree.parent[level][one] == self._tree.parent[level][other]:
                return mine > theirs, False
            one, other = self._tree.parent[level][one], self._tree.parent[level][other]
            level -= 1

"""Slurm's `topology/tree`: the lowest switch that holds the job, then its leaf switches one by one, best fit.

Source: Slurm's Topology Guide, "Tree Topology (Hierarchical Networks)": the lowest level switch that can satisfy the
request is identified, and resources are allocated on its underlying leaf switches by best fit. What the guide leaves
open is settled as in the plugin (`topology/tree`, `_eval_nodes_topo`), which chooses one leaf switch after the other:

- A leaf that is closer to those taken (fewer hops to all of them) comes first.
- Of equally close ones, a leaf that holds what is left, the one with the fewest available nodes; if none does, one
  below the smallest next switch that does, and of such leaves the one with the most available nodes.
- A chosen leaf gives all its available nodes in the order of the table, as far as the job needs them. Equals are taken
  in that order, too.

Slots stand for Slurm's nodes and CPUs. A gang that must stay inside one domain is placed as on a cluster of that domain
alone, the one with the least sufficient room.

Two differences are deliberate. The plugin lets a closer leaf replace a farther one that stands earlier in the table
only if it, or the switch at which the two were told apart, holds all that is left; so a job that no spine holds may
wander off to another spine after its first leaf, by the order of a configuration file. That is no rule that anybody
published, and a weaker baseline (`docs/design/simulator-baselines.md` has the figures), so it is left out. And against
Berth's own rule (`core.placement`): Slurm has no level below the leaf switch and does not look at what lies around
equals, so a job of one node goes to the leaf with the fewest available nodes, under whichever spine it is.
"""

from berth.core.placement import Fit
from berth.core.slots import SlotIndex
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
    """The leaf switches below one domain, what is available on them and above them, and how far they are.

    `level` is theirs. All leaves below one parent are equally far, so hops are counted by parent.
    """

    def __init__(self, index: SlotIndex, level: int, top: int) -> None:
        self._tree = index.tree
        self.level = index.tree.leaf_level - 1
        first, last = top, top + 1
        for below in index.tree.child[level : self.level]:
            first, last = below[first], below[last]
        self._available = [counts.copy() for counts in index.free[: self.level + 1]]
        self._leaves: dict[int, list[int]] = {}
        for leaf in range(first, last):
            if self._available[self.level][leaf]:
                self._leaves.setdefault(index.tree.parent[self.level][leaf], []).append(leaf)
        self._hops = dict.fromkeys(self._leaves, 0)

    def best(self, wanted: int) -> int:
        """The leaf that is chosen next for a job that still wants so many slots."""
        nearest = min(self._hops.values())
        paths = [[leaf] for parent, hops in self._hops.items() if hops == nearest for leaf in self._leaves[parent]]
        level = self.level
        while not any(self._available[level][path[-1]] >= wanted for path in paths):
            level -= 1
            paths = [[*path, self._tree.parent[level + 1][path[-1]]] for path in paths]
        # The smallest switch that holds the rest, and below it the leaf to which the most room leads.
        return min(
            (path for path in paths if self._available[level][path[-1]] >= wanted),
            key=lambda path: self._rank(level, path[::-1]),
        )[0]

    def take(self, leaf: int) -> None:
        """All that a leaf has is used, or the job has enough."""
        parent, gone = self._tree.parent[self.level][leaf], self._available[self.level][leaf]
        self._leaves[parent].remove(leaf)
        taken, domain = {}, leaf
        for level in range(self.level, -1, -1):
            self._available[level][domain] -= gone
            taken[level] = domain
            domain = self._tree.parent[level][domain]
        if not self._leaves[parent]:
            del self._leaves[parent], self._hops[parent]
        for other in self._hops:
            level, above = self.level - 1, other
            while taken[max(level, 0)] != above:
                above = self._tree.parent[level][above]
                level -= 1
            self._hops[other] += 2 * (self.level - level)

    def _rank(self, level: int, path: list[int]) -> list[int]:
        """Sort key of a path from a switch that holds the rest, of that level, down to a leaf."""
        switch, *below = path
        key = [self._available[level][switch], switch]
        for depth, domain in enumerate(below, level + 1):
            key += [-self._available[depth][domain], domain]
        return key

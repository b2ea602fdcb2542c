"""Rules that do not look at the network: random, name order, most allocated.

They are what a cluster has that schedules pod by pod, and so the far end of every comparison. Each is an order of
nodes: the gang takes them in that order, each for as many replicas as it has slots. A gang that must stay inside one
domain takes the domain of the first node in that order whose domain has room for it, because a rule that refused such
gangs would be compared on another workload.
"""

from collections.abc import Iterable
from random import Random

from berth.core.placement import Fit
from berth.core.slots import SlotIndex
from berth.core.topology import Tree, natural


def around(tree: Tree, counts: Iterable[tuple[int, int]]) -> Fit:
    """The fit of a gang that sits on some nodes, as (position, replicas): with the narrowest domain that holds them."""
    ordered = tuple(sorted(counts))
    first, last = tree.above(ordered[0][0]), tree.above(ordered[-1][0])
    level = max(level for level, (a, b) in enumerate(zip(first, last, strict=True)) if a == b)
    return Fit(level, first[level], ordered)


class Scattered:
    """A random feasible set of nodes. One generator serves a whole run, so a seed gives one run."""

    def __init__(self, seed: int) -> None:
        self._dice = Random(seed)  # noqa: S311

    def place(self, index: SlotIndex, replicas: int, widest: int) -> Fit | None:
        """Place a gang; None if no domain of level `widest` has room for it."""
        if index.most(widest)[0] < replicas:
            return None
        nodes = _with_room(index)
        most = len(nodes) if widest else min(replicas, len(nodes))  # each has room for one at least
        return _taken(index, replicas, widest, self._dice.sample(nodes, most))


class ByName:
    """The first nodes by name, numbers in names by value: what a list of nodes without any score gives."""

    def __init__(self) -> None:
        self._orders: dict[int, tuple[Tree, list[int]]] = {}

    def place(self, index: SlotIndex, replicas: int, widest: int) -> Fit | None:
        """Place a gang; None if no domain of level `widest` has room for it."""
        if index.most(widest)[0] < replicas:
            return None
        return _taken(index, replicas, widest, self._order(index.tree))

    def _order(self, tree: Tree) -> list[int]:
        """Positions of the nodes by name. The tree is kept beside them, so that its id stays its own."""
        if id(tree) not in self._orders:
            names = tree.domains[-1]
            self._orders[id(tree)] = (tree, sorted(range(len(names)), key=lambda position: natural(names[position])))
        return self._orders[id(tree)][1]


class MostAllocated:
    """kube-scheduler's `NodeResourcesFit` with `scoringStrategy: MostAllocated`, one pod after the other.

    The node with the highest share allocated once the pod is on it wins, and of several with the same score one is
    drawn, as kube-scheduler draws its host. What a node has is counted in slots of the gang's own size, the device
    being the one resource that is scored. The pods of a gang that go to one node go there one after the other, because
    each of them raises the node's score. Source: Kubernetes documentation, Scheduling, Preemption and Eviction,
    "Resource Bin Packing"; kube-scheduler's `selectHost`.
    """

    def __init__(self, seed: int) -> None:
        self._dice = Random(seed)  # noqa: S311

    def place(self, index: SlotIndex, replicas: int, widest: int) -> Fit | None:
        """Place a gang; None if no domain of level `widest` has room for it."""
        if index.most(widest)[0] < replicas:
            return None
        free, whole = index.free[-1], index.whole[-1]
        nodes = _with_room(index)
        self._dice.shuffle(nodes)
        nodes.sort(key=lambda node: (free[node] - 1) / whole[node])  # stable: equal scores stay as they were drawn
        return _taken(index, replicas, widest, nodes)


def _with_room(index: SlotIndex) -> list[int]:
    """Nodes with at least one free slot, by position."""
    return [position for position, free in enumerate(index.free[-1]) if free]


def _taken(index: SlotIndex, replicas: int, widest: int, order: Iterable[int]) -> Fit:
    """Place a gang, for which some domain of the level has room, on the first nodes in an order."""
    tree, free = index.tree, index.free[-1]
    inside: range | None = None if widest else tree.nodes(0, 0)
    counts: list[tuple[int, int]] = []
    left = replicas
    for node in order:
        if inside is None:
            domain = tree.above(node)[widest]
            if index.free[widest][domain] < replicas:
                continue
            inside = tree.nodes(widest, domain)
        if free[node] and node in inside:
            part = min(free[node], left)
            counts.append((node, part))
            left -= part
            if not left:
                return around(tree, counts)
    raise AssertionError(f"{left} of {replicas} replicas find no node in a domain that has room for all")

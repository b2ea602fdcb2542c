"""Who fits on a node, and how many slots are free in every domain, kept current without counting anew.

A *slot* is room for one replica. How many slots a node has depends on the demand, so there is one `SlotIndex` for each
distinct demand. A `Ledger` knows what is taken on each node and keeps a log of the nodes that changed; an index reads
the log from where it last stood, so that a change costs a few list operations per level, and only for demands that are
asked about. `fork` copies a ledger in the time of a few list copies: a cycle plans on a fork and the mirror keeps its
own.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from berth.core import affinity
from berth.core.explain import moment, quantity
from berth.core.layout import UNKNOWN, union
from berth.core.model import OUT_OF_SERVICE, Demand, Node, Taint, Toleration
from berth.core.numbering import Numbering
from berth.core.topology import Tree

T = TypeVar("T")

_SHIFT = 32
_MASK = (1 << _SHIFT) - 1
_BLOCKING = ("NoSchedule", "NoExecute")


def untolerated(taints: Iterable[Taint], tolerations: tuple[Toleration, ...]) -> Taint | None:
    """The first taint that keeps a replica away."""
    for taint in taints:
        if taint.effect in _BLOCKING and not any(t.tolerates(taint) for t in tolerations):
            return taint
    return None


def barrier(node: Node, demand: Demand) -> str | None:
    """Why a node takes no replica of this demand, however empty it is; None if nothing but room counts."""
    if not node.ready:
        return "not ready"
    if node.cordoned:
        return "cordoned"
    if node.spare:
        return "kept free as a spare"
    if any(taint.key == OUT_OF_SERVICE for taint in node.taints):
        return "out of service"  # whatever a replica tolerates
    for key, value in demand.selector:
        if node.labels.get(key) != value:
            return f"label {key} is not {value}"
    if demand.affinity and not affinity.admits(demand.affinity, node.name, node.labels):
        return f"node affinity: not {affinity.told(demand.affinity)}"
    for refusal in demand.avoid:
        if node.name in refusal.nodes:
            return f"refused this job until {moment(refusal.until)}"
    taint = untolerated(node.taints, demand.tolerations)
    return f"taint {taint}" if taint else None


def room(node: Node, used: Mapping[str, int], demand: Demand) -> int:
    """How many replicas fit beside what is used, barriers aside."""
    least: int | None = None
    for name, amount in demand.requests:
        if amount > 0:
            fits = (node.allocatable.get(name, 0) - used.get(name, 0)) // amount
            if fits <= 0:
                return 0
            if least is None or fits < least:
                least = fits
    assert least is not None, "a replica asks for something"
    return least


def shortage(node: Node, used: Mapping[str, int], demand: Demand) -> str | None:
    """The first resource of which a node has too little for one replica: `3 of 8 nvidia.com/gpu free`.

    Without the last word, where the node would have too little if nothing were taken.
    """
    for name, amount in demand.requests:
        whole = node.allocatable.get(name, 0)
        left = whole - used.get(name, 0)
        if amount > 0 and left < amount:
            have, free = (left, " free") if whole >= amount else (whole, "")
            return f"{quantity(name, max(0, have))} of {quantity(name, amount, up=True)} {name}{free}"
    return None


def numbered_room(node: Node, used: Mapping[str, int], held: int, demand: Demand, numbering: Numbering | None) -> int:
    """How many replicas fit where devices are chosen by id: `held` is the mask of those taken, by whomever."""
    found = room(node, used, demand)
    return found if numbering is None or not found else min(found, numbering.fits(node, held, demand))


class SlotIndex:
    """Free slots of one demand: per node, per domain, and each level's domains sorted by them.

    `free[l][d]`: slots free now below domain d of level l. `whole[l][d]`: the same if nothing were taken.
    `counted`: the nodes as they were counted last; not `own`: shared with the index that this one was forked from.
    `order[l]`: the domains of level l as sorted integers (free << 32 | domain), so that the smallest domain that holds
    a gang is one bisection away.
    """

    __slots__ = ("counted", "demand", "free", "numbering", "order", "own", "seen", "shared", "tree", "whole")

    def __init__(
        self,
        tree: Tree,
        demand: Demand,
        nodes: list[Node],
        used: list[Mapping[str, int]],
        *,
        held: list[int] | None = None,
        numbering: Numbering | None = None,
    ) -> None:
        self.tree = tree
        self.demand = demand
        self.numbering = numbering
        self.seen = 0
        self.shared = False
        self.counted, self.own = nodes.copy(), True
        now, whole = [], []
        for position, (node, taken) in enumerate(zip(nodes, used, strict=True)):
            open_ = barrier(node, demand) is None
            mask = held[position] if held else 0
            now.append(numbered_room(node, taken, mask, demand, numbering) if open_ else 0)
            whole.append(numbered_room(node, {}, 0, demand, numbering) if open_ else 0)
        self.free = _sums(tree, now)
        self.whole = _sums(tree, whole)
        self.order = [sorted(f << _SHIFT | d for d, f in enumerate(level)) for level in self.free]

    def fork(self) -> "SlotIndex":
        """An index of its own, with the same counts."""
        twin = object.__new__(SlotIndex)
        twin.tree, twin.demand, twin.seen, twin.shared = self.tree, self.demand, self.seen, False
        twin.numbering, twin.counted, twin.own = self.numbering, self.counted, False
        twin.free = [level.copy() for level in self.free]
        twin.whole = self.whole
        twin.order = [level.copy() for level in self.order]
        return twin

    def set(self, position: int, node: Node, used: Mapping[str, int], held: int = 0) -> None:
        """Count one node anew."""
        leaf = self.tree.leaf_level
        most = self.whole[leaf][position]
        if self.counted[position] is not node:  # else what it takes of nobody stays as it is
            most = numbered_room(node, {}, 0, self.demand, self.numbering) if barrier(node, self.demand) is None else 0
            if not self.own:
                self.counted, self.own = self.counted.copy(), True
            self.counted[position] = node
        now = numbered_room(node, used, held, self.demand, self.numbering) if most else 0
        change = now - self.free[leaf][position]
        grown = most - self.whole[leaf][position]
        if not change and not grown:
            return
        if grown:
            self.whole = [level.copy() for level in self.whole]  # a fork may share it
        domain = position
        for level in range(leaf, -1, -1):
            if change:
                self._move(level, domain, self.free[level][domain] + change)
            if grown:
                self.whole[level][domain] += grown
            domain = self.tree.parent[level][domain]

    def _move(self, level: int, domain: int, free: int) -> None:
        order = self.order[level]
        del order[bisect_left(order, self.free[level][domain] << _SHIFT | domain)]
        insort(order, free << _SHIFT | domain)
        self.free[level][domain] = free

    def grouped(self, level: int, size: int) -> "SlotIndex":
        """The same counted in groups of `size` slots that lie in one domain of `level`, the tree cut off there."""
        twin = object.__new__(SlotIndex)
        twin.tree, twin.demand, twin.numbering = self.tree.cut(level), self.demand, self.numbering
        twin.seen, twin.shared, twin.counted, twin.own = self.seen, False, [], True
        twin.free = _sums(twin.tree, [free // size for free in self.free[level]])
        twin.whole = _sums(twin.tree, [whole // size for whole in self.whole[level]])
        twin.order = [sorted(f << _SHIFT | d for d, f in enumerate(counts)) for counts in twin.free]
        return twin

    def smallest(self, level: int, slots: int) -> int | None:
        """The fewest free slots, not less than `slots`, that a domain of the level has; None if none has as many."""
        order = self.order[level]
        at = bisect_left(order, slots << _SHIFT)
        return order[at] >> _SHIFT if at < len(order) else None

    def ascending(self, level: int, slots: int) -> Iterable[tuple[int, int]]:
        """Domains of the level with at least `slots` free, as (free, domain), fewest first."""
        order = self.order[level]
        for at in range(bisect_left(order, slots << _SHIFT), len(order)):
            yield order[at] >> _SHIFT, order[at] & _MASK

    def most(self, level: int) -> tuple[int, int]:
        """The first domain of the level with the most free slots, as (free, domain); (0, 0) in an empty pool."""
        order = self.order[level]
        if not order:
            return 0, 0
        most = order[-1] >> _SHIFT
        return most, order[bisect_left(order, most << _SHIFT)] & _MASK


def _sums(tree: Tree, slots: list[int]) -> list[list[int]]:
    """Slots per domain of every level, from slots per node."""
    levels = [slots]
    for level in range(tree.leaf_level, 0, -1):
        above = [0] * len(tree.domains[level - 1])
        for domain, count in enumerate(levels[0]):
            above[tree.parent[level][domain]] += count
        levels.insert(0, above)
    return levels


class Ledger:
    """What is taken on each node of a pool.

    `nodes` and `used` are in network order; their entries are replaced, never changed in place, so that forks may
    share them. With a `numbering` devices are chosen by id, and `held` has the mask of those taken on each node, or
    `UNKNOWN`; without one, devices are only counted and `held` is empty.
    """

    __slots__ = (
        "_base",
        "_base_mark",
        "_compactions",
        "_indexes",
        "_log",
        "_remembered",
        "held",
        "nodes",
        "numbering",
        "tree",
        "used",
    )

    def __init__(
        self,
        tree: Tree,
        nodes: list[Node],
        used: list[Mapping[str, int]] | None = None,
        *,
        numbering: Numbering | None = None,
        held: list[int] | None = None,
    ) -> None:
        self.tree = tree
        self.nodes = nodes
        self.used: list[Mapping[str, int]] = used if used is not None else [{} for _ in nodes]
        self.numbering = numbering
        self.held = held if held is not None else [0] * len(nodes) if numbering else []
        self._log: list[int] = []
        self._indexes: dict[Demand, SlotIndex] = {}
        self._remembered: dict[object, tuple[tuple[int, int], Any]] = {}
        self._base: Ledger | None = None
        self._base_mark = (0, 0)
        self._compactions = 0

    def fork(self) -> "Ledger":
        """A ledger of its own with the same contents; what either takes, the other does not see.

        Indexes are shared until one side has to change them, and copied then. What a fork asks for is built, or brought
        up to date, in the original, if that has not changed since, so that the next fork finds it there.
        """
        if len(self._log) > 2 * len(self.nodes) + 1000:
            self._compact()
        twin = Ledger(self.tree, self.nodes.copy(), self.used.copy(), numbering=self.numbering, held=self.held.copy())
        twin._log = self._log.copy()
        for index in self._indexes.values():
            index.shared = True
        twin._indexes = self._indexes.copy()
        twin._base, twin._base_mark = self, self.mark
        return twin

    @property
    def mark(self) -> tuple[int, int]:
        """Where this ledger stands: equal marks, equal contents."""
        return self._compactions, len(self._log)

    def changed_since(self, mark: tuple[int, int] | None) -> list[int] | None:
        """Positions of the nodes that changed since the ledger stood at that mark; None if that is not known."""
        if mark is None or mark[0] != self._compactions:
            return None
        return list(dict.fromkeys(self._log[mark[1] :]))

    def _compact(self) -> None:
        """Bring every index up to date and forget the log."""
        for demand in list(self._indexes):
            self.index(demand)
        self._indexes = {demand: index.fork() for demand, index in self._indexes.items()}
        for index in self._indexes.values():
            index.seen = 0
        self._log.clear()
        self._compactions += 1
        self._base = None  # what the original counts can no longer be brought up to date by this log

    def index(self, demand: Demand) -> SlotIndex:
        """Current slot counts for a demand. Valid until the next change of this ledger."""
        index = self._indexes.get(demand)
        if index is None or index.shared:
            if self._base is not None and self._base.mark == self._base_mark:
                index = self._base.index(demand)
                index.shared = True
            elif index is None:
                index = SlotIndex(self.tree, demand, self.nodes, self.used, held=self.held, numbering=self.numbering)
                index.seen = len(self._log)
            self._indexes[demand] = index
        if index.seen < len(self._log):
            if index.shared:
                index = self._indexes[demand] = index.fork()
            for position in dict.fromkeys(self._log[index.seen :]):
                index.set(position, self.nodes[position], self.used[position], self._held(position))
            index.seen = len(self._log)
        return index

    def trim(self, most: int) -> None:
        """Forget all counts if there are more than `most` of them: those still asked for are soon there again."""
        if len(self._indexes) > most:
            self._indexes.clear()

    def set_node(self, position: int, node: Node) -> None:
        """Replace what is known of a node; its place in the tree stays."""
        self.nodes[position] = node
        self._log.append(position)

    def set_used(self, position: int, used: Mapping[str, int], held: int = 0) -> None:
        """Replace what is taken on a node; `held`: which devices, where they are chosen by id."""
        self.used[position] = used
        if self.numbering is not None:
            self.held[position] = held
        self._log.append(position)

    def take(self, position: int, demand: Demand, replicas: int) -> None:
        """Take room for replicas on a node, and the devices that `choose` says.

        Raises AssertionError if the room is not there: that is a bug in a plan, not a case.
        """
        node, used, held = self.nodes[position], self.used[position], self._held(position)
        free = numbered_room(node, used, held, demand, self.numbering)
        assert free >= replicas, f"{node.name}: {replicas} replicas planned, room for {free}"
        taken = Counter(used)
        for name, amount in demand.requests:
            taken[name] += amount * replicas
        self.set_used(position, taken, held | union(self.choose(position, demand, replicas)))

    def choose(self, position: int, demand: Demand, replicas: int) -> tuple[int, ...]:
        """The devices that each of so many replicas would get on a node, as masks; empty where the plugin chooses."""
        if self.numbering is None:
            return ()
        return self.numbering.share(self.nodes[position], self._held(position), demand, replicas)

    def _held(self, position: int) -> int:
        return self.held[position] if self.numbering is not None else 0

    def room(self, position: int, demand: Demand) -> int:
        """How many replicas fit on a node beside what is taken there, barriers aside."""
        held = self._held(position)
        return numbered_room(self.nodes[position], self.used[position], held, demand, self.numbering)

    def give_back(self, position: int, requests: Iterable[tuple[str, int]], devices: int = 0) -> None:
        """Count what was taken on a node as free again; `devices`: which, where they are chosen by id.

        A node of which somebody else's devices are not known stays as it is.

        Raises AssertionError if it was not taken: that is a bug in a plan, not a case.
        """
        left = Counter(self.used[position])
        for name, amount in requests:
            left[name] -= amount
            assert left[name] >= 0, f"{self.nodes[position].name}: more {name} given back than was taken"
        held = self._held(position)
        self.set_used(position, left, held if held == UNKNOWN else held & ~devices)

    def barriers(self, demand: Demand, *, whole: bool = False) -> Counter[str]:
        """Nodes that take no replica of this demand or have no room for one, counted by why.

        `whole`: those that would have none if nothing were taken. Kept until the ledger changes; not to be changed.
        """

        def counted() -> Counter[str]:
            found = Counter[str]()
            for position, node in enumerate(self.nodes):
                used, held = ({}, 0) if whole else (self.used[position], self._held(position))
                why = barrier(node, demand) or shortage(node, used, demand)
                if why is None and self.numbering is not None:
                    why = self.numbering.disorder(node, used, held, demand)
                if why:
                    found[why] += 1
            return found

        return self.remembered(("barriers", demand, whole), counted)

    def remembered(self, what: object, compute: Callable[[], T]) -> T:
        """What was computed of this ledger under that name before, until the ledger changes; not to be changed."""
        known = self._remembered.get(what)
        if known is None or known[0] != self.mark:
            known = self._remembered[what] = (self.mark, compute())
        found: T = known[1]
        return found

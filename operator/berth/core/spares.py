"""Spares: nodes that are kept free under every domain of a level, so that a failed node can be replaced nearby.

Of the fully free, usable nodes of a domain those are kept whose loss hurts contiguity least: from the narrowest domains
that have the fewest such nodes, so that wide free ranges stay whole, and the last in network order among equals. A
domain with fewer keeps what it has; nothing is taken from anybody for it.

A spare is a node with a mark, set on the ledger that a snapshot is forked from. New gangs do not get marked nodes
(`slots.barrier`). A repair looks for room in `released(ledger)`, where the marks are gone, and takes what it found in
the ledger that it plans on: `Ledger.take` asks for room, not for marks.
"""

from dataclasses import dataclass, replace

from berth.core.model import Node
from berth.core.slots import Ledger, untolerated


@dataclass(frozen=True, slots=True)
class Spares:
    """So many nodes under every domain of a level; `resource` is what devices are called."""

    level: str
    nodes: int
    resource: str


def choose(ledger: Ledger, spares: Spares, domain: int) -> set[int]:
    """Positions of the nodes that a domain of the spares' level keeps. Marks that stand there now do not matter."""
    tree = ledger.tree
    level = tree.level(spares.level)
    assert level is not None, "spares are kept under a level of the pool"
    positions = tree.nodes(level, domain)
    most = max((ledger.nodes[position].allocatable.get(spares.resource, 0) for position in positions), default=0)
    free = [position for position in positions if _fully_free(ledger, position, spares.resource, most)]
    paths = {position: tree.above(position)[level:-1] for position in free}
    counts: dict[tuple[int, int], int] = {}
    for path in paths.values():
        for depth, inner in enumerate(path):
            counts[depth, inner] = counts.get((depth, inner), 0) + 1

    def loss(position: int) -> tuple[list[int], int]:
        path = paths[position]
        return [counts[depth, inner] for depth, inner in reversed(list(enumerate(path)))], -position

    return set(sorted(free, key=loss)[: spares.nodes])


class Keeper:
    """Keeps the spares of one ledger marked, looking only at domains in which something has changed."""

    def __init__(self, spares: Spares) -> None:
        self.spares = spares
        self._seen: tuple[int, int] | None = None

    def keep(self, ledger: Ledger) -> None:
        """Mark the nodes that are spares now, and no others."""
        tree = ledger.tree
        level = tree.level(self.spares.level)
        if level is None:
            return  # told on the pool: it has no such level
        changed = ledger.changed_since(self._seen)
        positions = range(len(ledger.nodes)) if changed is None else changed
        for domain in {tree.above(position)[level] for position in positions}:
            chosen = choose(ledger, self.spares, domain)
            for position in tree.nodes(level, domain):
                _mark(ledger, position, spare=position in chosen)
        self._seen = ledger.mark


def released(ledger: Ledger) -> Ledger:
    """A fork in which spares may be given to anybody: for a repair to look for room in."""
    twin = ledger.fork()
    for position in range(len(twin.nodes)):
        _mark(twin, position, spare=False)
    return twin


def keep_again(ledger: Ledger, marked: Ledger) -> None:
    """Mark the nodes that are spares in another ledger of the same nodes, after a repair has taken what it needs."""
    for position, node in enumerate(marked.nodes):
        if node.spare:
            _mark(ledger, position, spare=True)


def _mark(ledger: Ledger, position: int, *, spare: bool) -> None:
    node = ledger.nodes[position]
    if node.spare != spare:
        ledger.set_node(position, replace(node, spare=spare))


def _fully_free(ledger: Ledger, position: int, resource: str, devices: int) -> bool:
    """Whether a node is usable, has so many devices, and nobody has any of them."""
    node: Node = ledger.nodes[position]
    if not node.ready or node.cordoned or untolerated(node.taints, ()) is not None:
        return False
    return 0 < devices == node.allocatable.get(resource, 0) and not ledger.used[position].get(resource, 0)

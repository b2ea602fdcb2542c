"""Nodes in trouble, and the jobs that have to hear of it.

A cycle only looks at jobs that changed, so a node that turns bad, or well again, has to touch every job that sits on
it, or sat on it when its last attempt failed.
"""

from collections.abc import Iterable

from berth.core.model import OUT_OF_SERVICE, Node, NodeTrouble, Trouble


def trouble(node: Node) -> NodeTrouble | None:
    """What is wrong with a node that is there; None if nothing is that its gangs must mind."""
    if any(taint.key == OUT_OF_SERVICE for taint in node.taints):
        return NodeTrouble(node.name, Trouble.OUT_OF_SERVICE)
    if node.unready_since is not None:
        return NodeTrouble(node.name, Trouble.NOT_READY, node.unready_since)
    return None


class Health:
    """Which nodes are there, which of them are in trouble, and whom each concerns (by uid)."""

    def __init__(self) -> None:
        self._there: set[str] = set()
        self._troubled: dict[str, NodeTrouble] = {}
        self._concerned: dict[str, set[str]] = {}
        self._nodes_of: dict[str, frozenset[str]] = {}

    def put_node(self, node: Node) -> Iterable[str]:
        """Take in a node; whom the news concerns, if it is any."""
        before = self._troubled.get(node.name)
        now = trouble(node)
        if node.name in self._there and before == now:
            return ()
        self._there.add(node.name)
        if now is None:
            self._troubled.pop(node.name, None)
        else:
            self._troubled[node.name] = now
        return tuple(self._concerned.get(node.name, ()))

    def drop_node(self, name: str) -> Iterable[str]:
        """Forget a node that is gone; whom that concerns."""
        self._there.discard(name)
        self._troubled.pop(name, None)
        return tuple(self._concerned.get(name, ()))

    def concern(self, uid: str, nodes: frozenset[str]) -> None:
        """Say which nodes concern somebody; with none, nothing is kept of it."""
        known = self._nodes_of.get(uid, frozenset())
        if known == nodes:
            return
        for node in known - nodes:
            self._concerned[node].discard(uid)
            if not self._concerned[node]:
                del self._concerned[node]
        for node in nodes - known:
            self._concerned.setdefault(node, set()).add(uid)
        if nodes:
            self._nodes_of[uid] = nodes
        else:
            self._nodes_of.pop(uid, None)

    def troubles(self, uid: str) -> tuple[NodeTrouble, ...]:
        """Troubles of the nodes that concern somebody, by name of node."""
        nodes = self._nodes_of.get(uid, frozenset())
        gone = [NodeTrouble(name, Trouble.GONE) for name in nodes - self._there]
        bad = [self._troubled[name] for name in nodes & self._troubled.keys()]
        return tuple(sorted((*gone, *bad), key=lambda found: found.node))

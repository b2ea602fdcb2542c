"""Nodes in trouble, and the jobs that have to hear of it.

A cycle only looks at jobs that changed, so a node that turns bad, or well again, has to touch every job that sits on
it, or sat on it when its last attempt failed.

When most nodes lose contact at once it is the network that is cut, or the control plane that was away, and what runs
runs on. Then no node is taken for lost for that alone, as Kubernetes itself stops evicting then.
"""

import logging
from collections.abc import Iterable

from berth.core.model import OUT_OF_SERVICE, Node, NodeTrouble, Trouble

logger = logging.getLogger(__name__)

BLIND_FROM = 3
BLIND_PERCENT = 55
"""So many nodes, and more than so many per cent of all, not ready at once: the fault is taken to be elsewhere. The
share is that of the node lifecycle controller (`--unhealthy-zone-threshold`)."""


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
        self._unready: set[str] = set()
        self._concerned: dict[str, set[str]] = {}
        self._nodes_of: dict[str, frozenset[str]] = {}

    def put_node(self, node: Node) -> Iterable[str]:
        """Take in a node; whom the news concerns, if it is any."""
        before = self._troubled.get(node.name)
        now = trouble(node)
        if node.name in self._there and before == now:
            return ()
        return self._set(node.name, now, there=True)

    def drop_node(self, name: str) -> Iterable[str]:
        """Forget a node that is gone; whom that concerns."""
        return self._set(name, None, there=False)

    @property
    def blind(self) -> bool:
        """Whether so many nodes are not ready that none of them is taken for lost."""
        return len(self._unready) >= BLIND_FROM and len(self._unready) * 100 > len(self._there) * BLIND_PERCENT

    def _set(self, name: str, found: NodeTrouble | None, *, there: bool) -> Iterable[str]:
        blind = self.blind
        (self._there.add if there else self._there.discard)(name)
        if found is None:
            self._troubled.pop(name, None)
        else:
            self._troubled[name] = found
        ill = found is not None and found.kind is Trouble.NOT_READY
        (self._unready.add if ill else self._unready.discard)(name)
        if self.blind == blind:
            return tuple(self._concerned.get(name, ()))
        if self.blind:
            logger.warning("most nodes are not ready: none is taken for lost", extra={"nodes": len(self._unready)})
        # All nodes without contact look different from now on.
        return sorted(set().union(*(self._concerned.get(node, ()) for node in (name, *self._unready))))

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
        hidden = self._unready if self.blind else frozenset[str]()
        bad = [self._troubled[name] for name in (nodes & self._troubled.keys()) - hidden]
        return tuple(sorted((*gone, *bad), key=lambda found: found.node))

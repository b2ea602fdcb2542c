"""Nodes in trouble, and the jobs that have to hear of it.

A cycle only looks at jobs that changed, so a node that turns bad, or well again, has to touch every job that sits on
it, or sat on it when its last attempt failed.

When most nodes of pools lose contact at once it is the network that is cut, or the control plane that was away, and
what runs runs on. Then none of them is taken for lost for that alone, as Kubernetes itself stops evicting then, however
long it takes. What makes it a blackout is that they turned together: nodes that were lost before, one by one or all of
them, neither count for it nor against it.
"""

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable

from berth.core.model import OUT_OF_SERVICE, Node, NodeTrouble, Trouble

logger = logging.getLogger(__name__)

BLIND_FROM = 3
BLIND_PERCENT = 55
BLIND_WITHIN = 300
"""So many nodes, and more than so many per cent of those that were ready until then, turned within so many seconds of
each other: the fault is taken to be elsewhere. The share is that of the node lifecycle controller
(`--unhealthy-zone-threshold`)."""


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
        self._hidden: frozenset[str] = frozenset()
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

    def judge(self, pooled: Container[str]) -> Iterable[str]:
        """Find out anew which nodes turned in a blackout; whom it concerns that it began or is over for some.

        To be called before `troubles` are asked for. `pooled`: the nodes that belong to a pool; others do not count.
        """
        before, self._hidden = self._hidden, self._blacked_out(pooled)
        if self._hidden and not before:
            logger.warning("most nodes are not ready: none is taken for lost", extra={"nodes": len(self._hidden)})
        return sorted(set().union(*(self._concerned.get(name, ()) for name in before ^ self._hidden)))

    def _blacked_out(self, pooled: Container[str]) -> frozenset[str]:
        ill = {name: self._troubled[name].since or 0 for name in self._unready if name in pooled}
        if len(ill) < BLIND_FROM:
            return frozenset()
        turned = sorted(ill.values())
        count = sum(1 for name in self._there if name in pooled)
        hidden = []
        for name, since in ill.items():
            earlier = bisect_left(turned, since - BLIND_WITHIN)
            together = bisect_right(turned, since + BLIND_WITHIN) - earlier
            if together >= BLIND_FROM and together * 100 > (count - earlier) * BLIND_PERCENT:
                hidden.append(name)
        return frozenset(hidden)

    def _set(self, name: str, found: NodeTrouble | None, *, there: bool) -> Iterable[str]:
        (self._there.add if there else self._there.discard)(name)
        if found is None:
            self._troubled.pop(name, None)
        else:
            self._troubled[name] = found
        ill = found is not None and found.kind is Trouble.NOT_READY
        (self._unready.add if ill else self._unready.discard)(name)
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
        bad = [self._troubled[name] for name in (nodes & self._troubled.keys()) - self._hidden]
        return tuple(sorted((*gone, *bad), key=lambda found: found.node))

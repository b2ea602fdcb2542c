"""Looks at all nodes of a pool, for what a refusal tells besides slots.

What closed nodes would hold, what other resources than devices cost. The ledger remembers each look until it changes.
"""

from collections import Counter
from dataclasses import replace

from berth.core.model import Demand
from berth.core.slots import Ledger, SlotIndex, barrier, room

_CLOSING = frozenset(f"node.kubernetes.io/{why}" for why in ("unschedulable", "not-ready", "unreachable"))
"""Taints that Kubernetes puts on nodes that are closed, and takes away when they are open again."""


def opened(ledger: Ledger, demand: Demand) -> list[list[int]]:
    """Slots per domain of every level if nothing were taken and no node were cordoned or not ready."""

    def count() -> list[list[int]]:
        nodes = [
            replace(node, ready=True, cordoned=False, taints=tuple(t for t in node.taints if t.key not in _CLOSING))
            for node in ledger.nodes
        ]
        return SlotIndex(ledger.tree, demand, nodes, [{}] * len(nodes), numbering=ledger.numbering).whole

    return ledger.remembered(("opened", demand), count)


def any_closed(ledger: Ledger) -> bool:
    """Whether some node is cordoned or not ready."""
    return ledger.remembered("closed", lambda: any(node.cordoned or not node.ready for node in ledger.nodes))


def largest(ledger: Ledger, resource: str) -> int:
    """The most of a resource that any node has, taken or not."""
    return ledger.remembered(
        ("largest", resource), lambda: max((node.allocatable.get(resource, 0) for node in ledger.nodes), default=0)
    )


def most_free(ledger: Ledger, resource: str) -> int:
    """The most of a resource that is free on any node that is open."""

    def find() -> int:
        return max(
            (
                node.allocatable.get(resource, 0) - used.get(resource, 0)
                for node, used in zip(ledger.nodes, ledger.used, strict=True)
                if node.ready and not node.cordoned
            ),
            default=0,
        )

    return ledger.remembered(("most free", resource), find)


def squeezed(ledger: Ledger, demand: Demand, resource: str) -> dict[str, tuple[int, int]]:
    """What too little of another resource costs: resource → (nodes, slots), most slots first.

    Of nodes that have a slot, but fewer than devices for them; each counts for the resource that it has least of.
    """

    def count() -> dict[str, tuple[int, int]]:
        nodes: Counter[str] = Counter()
        slots: Counter[str] = Counter()
        devices = dict(demand.requests)[resource]
        for node, used in zip(ledger.nodes, ledger.used, strict=True):
            free = room(node, used, demand)
            possible = (node.allocatable.get(resource, 0) - used.get(resource, 0)) // devices
            if 0 < free < possible and barrier(node, demand) is None:
                scarce = min(
                    (name for name, amount in demand.requests if amount and name != resource),
                    key=lambda name: (node.allocatable.get(name, 0) - used.get(name, 0)) // dict(demand.requests)[name],
                )
                nodes[scarce] += 1
                slots[scarce] += possible - free
        return {name: (nodes[name], lost) for name, lost in slots.most_common()}

    return ledger.remembered(("squeezed", demand, resource), count)

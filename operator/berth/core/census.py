"""Counting a pool: nodes and devices by state, and what the largest gang is that would fit now.

For statuses and metrics. Not part of a cycle, as nothing is decided by it.
"""

from dataclasses import dataclass

from berth.core.admission import Pool
from berth.core.model import Demand, Node


@dataclass(frozen=True, slots=True)
class LevelCensus:
    """One level: how many domains it has, and the most free devices below one of them, by whole nodes."""

    level: str
    domains: int
    largest_free: int


@dataclass(frozen=True, slots=True)
class Census:
    """Counts of one pool. Devices: `total` = `free` + `used` + `unavailable`.

    Unavailable are free devices on nodes that are cordoned or not ready. Devices of the nodes that are kept as spares
    are free.
    """

    nodes: int
    nodes_ready: int
    nodes_spare: int
    total: int
    free: int
    used: int
    unavailable: int
    levels: tuple[LevelCensus, ...]


def census(pool: Pool) -> Census:
    """Count a pool."""
    ledger = pool.ledger
    total = free = used = unavailable = ready = spare = 0
    whole = max((node.allocatable.get(pool.resource, 0) for node in ledger.nodes), default=0)
    for node, taken in zip(ledger.nodes, ledger.used, strict=True):
        devices = node.allocatable.get(pool.resource, 0)
        held = min(devices, taken.get(pool.resource, 0))
        open_ = _open(node)
        ready += open_
        spare += node.spare
        total += devices
        used += held
        free += devices - held if open_ else 0
        unavailable += 0 if open_ else devices - held
    index = ledger.index(Demand(((pool.resource, whole),))) if whole else None
    tree = ledger.tree
    levels = tuple(
        LevelCensus(tree.levels[level], len(tree.domains[level]), index.most(level)[0] * whole if index else 0)
        for level in range(1, len(tree.levels))
    )
    return Census(len(ledger.nodes), ready, spare, total, free, used, unavailable, levels)


def _open(node: Node) -> bool:
    return node.ready and not node.cordoned

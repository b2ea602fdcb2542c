"""Pools of any size: racks of 16 nodes of 8 devices, 16 racks under a spine, part of the nodes taken."""

import random
from collections.abc import Iterable
from dataclasses import replace

from berth.cluster.mirror import Mirror
from berth.cluster.pools import PoolFacts, Requirement
from berth.cluster.project import NodeFacts
from berth.core.admission import Pool
from berth.core.model import Node
from berth.core.slots import Ledger
from berth.core.topology import Tree

RESOURCE = "nvidia.com/gpu"
LEVELS = ("spine", "rack")
RACK = 16
DEVICES = 8
ALLOCATABLE = {RESOURCE: DEVICES, "pods": 110, "cpu": 192_000, "memory": 2 << 40}
TAKEN = {RESOURCE: DEVICES, "pods": 1}


def nodes(count: int) -> list[Node]:
    """Nodes of a pool, in network order."""
    return [
        Node(
            name=f"node-{number:05}",
            path=(f"spine-{number // RACK // 16}", f"rack-{number // RACK}"),
            allocatable=ALLOCATABLE,
            labels={"spine": f"spine-{number // RACK // 16}", "rack": f"rack-{number // RACK}"},
        )
        for number in range(count)
    ]


def pool(count: int, taken: float) -> Pool:
    """A pool in which each node is taken with probability `taken`; the same for the same arguments."""
    dice = random.Random(count)  # noqa: S311  # a benchmark's state, drawn reproducibly
    tree, ordered = Tree.build("h800", LEVELS, nodes(count))
    return Pool("h800", RESOURCE, Ledger(tree, ordered, [TAKEN if dice.random() < taken else {} for _ in ordered]))


def mirror(among: Iterable[Node]) -> Mirror:
    """A mirror that has seen a pool and these nodes."""
    made = Mirror()
    made.put_pool(
        PoolFacts(
            name="h800",
            uid="h800",
            generation=1,
            version=1,
            created=0,
            selector=(Requirement("rack", "Exists"),),
            levels=tuple((level, (level,)) for level in LEVELS),
            resource=RESOURCE,
        )
    )
    for node in among:
        made.put_node(("", node.name), NodeFacts(replace(node, path=()), version=1))
    return made

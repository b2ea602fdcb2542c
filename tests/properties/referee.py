"""The plain truth, found the long way: from nodes and what is taken, by looking at everything, each time anew.

Nothing here uses the heart's trees, indexes or rules; a domain is the beginning of a path.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from berth.core.model import OUT_OF_SERVICE, Demand, Gang, Node, Policy
from tests.properties.fleets import Fleet

Path = tuple[str, ...]
Used = Mapping[str, int]


def admits(node: Node, demand: Demand) -> bool:
    """Whether a node takes replicas of this demand at all."""
    tolerated = {(t.key, t.value) for t in demand.tolerations}
    return (
        node.ready
        and not node.cordoned
        and all(taint.key != OUT_OF_SERVICE for taint in node.taints)
        and all(node.labels.get(key) == value for key, value in demand.selector)
        and all((taint.key, taint.value) in tolerated for taint in node.taints)
    )


def slots(node: Node, used: Used, demand: Demand) -> int:
    """How many replicas a node has room for, found by putting one after the other on it."""
    found = 0
    while admits(node, demand) and all(
        used.get(name, 0) + amount * (found + 1) <= node.allocatable.get(name, 0) for name, amount in demand.requests
    ):
        found += 1
    return found


def path_of(node: Node) -> Path:
    """A node's domains, itself the last."""
    return (*node.path, node.name)


def free_by_domain(nodes: Iterable[Node], used: Sequence[Used], demand: Demand) -> dict[Path, int]:
    """Free slots of every domain that has a node, by path; `()` is the whole pool."""
    found: dict[Path, int] = {(): 0}
    for node, taken in zip(nodes, used, strict=True):
        room, path = slots(node, taken, demand), path_of(node)
        for level in range(len(path) + 1):
            found[path[:level]] = found.get(path[:level], 0) + room
    return found


def children(free: Mapping[Path, int], domain: Path) -> list[Path]:
    """Domains directly below another."""
    return [path for path in free if len(path) == len(domain) + 1 and path[: len(domain)] == domain]


def fewest(room: Iterable[int], replicas: int) -> int:
    """The smallest number of domains that hold `replicas` together, found by trying all sets."""
    rooms = [free for free in room if free]
    return next(n for n in range(len(rooms) + 1) if any(sum(some) >= replicas for some in combinations(rooms, n)))


def widest_level(gang: Gang, levels: tuple[str, ...]) -> int | None:
    """Length of the longest path that must be common to the gang's nodes; None if the pool lacks the level."""
    if gang.level is None:
        return 0
    if gang.level not in (*levels, "node"):
        return None
    return 0 if gang.policy is Policy.PREFERRED else (*levels, "node").index(gang.level) + 1


def narrowest(free: Mapping[Path, int], replicas: int, widest: int) -> int | None:
    """The longest path under which a gang finds room, not shorter than `widest`; None if there is none."""
    return max((len(path) for path, room in free.items() if room >= replicas and len(path) >= widest), default=None)


class State:
    """What is taken in some fleets, and what comes on top as a plan is carried out."""

    def __init__(self, fleets: Iterable[Fleet]) -> None:
        self.fleets = {fleet.name: fleet for fleet in fleets}
        self.used: dict[str, dict[str, int]] = {
            node.name: dict(fleet.used[node.name]) for fleet in self.fleets.values() for node in fleet.nodes
        }
        self.nodes = {node.name: node for fleet in self.fleets.values() for node in fleet.nodes}

    def free(self, pool: str, demand: Demand) -> dict[Path, int]:
        """Free slots of the domains of a pool."""
        nodes = self.fleets[pool].nodes
        return free_by_domain(nodes, [self.used[node.name] for node in nodes], demand)

    def room_level(self, gang: Gang, pool: str) -> int | None:
        """Length of the path of the narrowest domain of a pool that holds the gang; None if none does."""
        fleet = self.fleets[pool]
        widest = widest_level(gang, fleet.levels)
        illegal = fleet.sizes and gang.replicas > 1 and gang.devices not in fleet.sizes
        if widest is None or fleet.problem or illegal:
            return None
        return narrowest(self.free(pool, gang.demand(fleet.resource)), gang.replicas, widest)

    def rooms(self, gang: Gang) -> dict[str, int]:
        """Pools that hold the gang, each with how narrow."""
        names = gang.pools or self.fleets.keys()
        found = {name: self.room_level(gang, name) for name in names if name in self.fleets}
        return {name: level for name, level in found.items() if level is not None}

    def take(self, gang: Gang, pool: str, nodes: Iterable[str]) -> None:
        """Count a gang's replicas as taken."""
        demand = gang.demand(self.fleets[pool].resource)
        for name in nodes:
            for resource, amount in demand.requests:
                self.used[name][resource] = self.used[name].get(resource, 0) + amount

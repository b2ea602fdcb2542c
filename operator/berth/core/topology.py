"""The network tree of a pool: which domain each node lies in, at each level.

Nodes stand in *network order*: sorted by the path of their domains, then by name, numbers in names by value. Every
domain is therefore one contiguous range of nodes, and of the domains one level below. That makes ranks in network
order a sort, and a domain two integers.

Levels are numbered from 0, the whole pool, over the pool's own levels, to `leaf_level`, the single node.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from berth.core.model import Node

NODE_LEVEL = "node"

_DIGITS = re.compile(r"(\d+)")


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which `h2` comes before `h10`."""
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in _DIGITS.split(text) if part)


@dataclass(frozen=True, slots=True)
class Tree:
    """Shape of a pool's network, built once and shared by all snapshots until a node comes, goes or moves.

    For a tree of L named levels over N nodes: `levels` has L + 2 names, `domains[l]` the names at level l,
    `child[l][d]` the first domain at level l + 1 below domain d of level l (one more entry closes the last range),
    `parent[l][d]` the domain at level l - 1 above it, `position` the index of each node.
    """

    levels: tuple[str, ...]
    domains: tuple[tuple[str, ...], ...]
    child: tuple[tuple[int, ...], ...]
    parent: tuple[tuple[int, ...], ...]
    position: dict[str, int]
    leaf_level: int = field(init=False)
    """Number of the node level, the narrowest."""

    def __post_init__(self) -> None:
        """Note what is asked for at every step."""
        object.__setattr__(self, "leaf_level", len(self.levels) - 1)

    @classmethod
    def build(cls, pool: str, levels: tuple[str, ...], nodes: Iterable[Node]) -> tuple["Tree", list[Node]]:
        """Build the tree of a pool, and put its nodes in network order.

        Every node's path has one entry per level, and no two nodes have one name. A leaf's name need not be unique: a
        domain is its whole path. Raises AssertionError for a path of another length.
        """
        keys: dict[str, tuple[tuple[int, int, str], ...]] = {}

        def key(text: str) -> tuple[tuple[int, int, str], ...]:
            if text not in keys:
                keys[text] = natural(text)
            return keys[text]

        ordered = sorted(nodes, key=lambda n: (*(key(p) for p in n.path), key(n.name)))
        depth = len(levels) + 2
        names: list[list[str]] = [[] for _ in range(depth)]
        child: list[list[int]] = [[] for _ in range(depth - 1)]
        parent: list[list[int]] = [[] for _ in range(depth)]
        names[0].append(pool)
        child[0].append(0)
        parent[0].append(0)
        previous: tuple[str, ...] = ()
        for node in ordered:
            assert len(node.path) == len(levels), f"{node.name}: {node.path} is not one domain for each of {levels}"
            path = (*node.path, node.name)
            fresh = next((i for i, (a, b) in enumerate(zip(path, previous, strict=False)) if a != b), 0)
            for level in range(fresh + 1, depth):
                parent[level].append(len(names[level - 1]) - 1)
                names[level].append(path[level - 1])
                if level < depth - 1:
                    child[level].append(len(names[level + 1]))
            previous = path
        for level in range(depth - 1):
            child[level].append(len(names[level + 1]))
        tree = cls(
            levels=(pool, *levels, NODE_LEVEL),
            domains=tuple(map(tuple, names)),
            child=tuple(map(tuple, child)),
            parent=tuple(map(tuple, parent)),
            position={name: i for i, name in enumerate(names[-1])},
        )
        return tree, ordered

    def cut(self, level: int) -> "Tree":
        """The tree without the levels below this one, its domains in the place of nodes."""
        return Tree(self.levels[: level + 1], self.domains[: level + 1], self.child[:level], self.parent, {})

    def level(self, name: str) -> int | None:
        """Number of the level that the pool calls `name`; None if it has no such level."""
        return self.levels.index(name, 1) if name in self.levels[1:] else None

    def children(self, level: int, domain: int) -> range:
        """Domains at `level + 1` below this one."""
        first = self.child[level]
        return range(first[domain], first[domain + 1])

    def nodes(self, level: int, domain: int) -> range:
        """Positions of the nodes below this domain."""
        first, last = domain, domain + 1
        for below in self.child[level:]:
            first, last = below[first], below[last]
        return range(first, last)

    def above(self, position: int) -> list[int]:
        """Domains that a node lies in, by level from the pool to the node itself."""
        path = [position]
        for level in range(self.leaf_level, 0, -1):
            path.append(self.parent[level][path[-1]])
        return path[::-1]

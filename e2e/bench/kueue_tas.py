"""The placement rule of Kueue's topology-aware scheduling, re-implemented plainly from its published description.

KEP-2724, "two-phase algorithm": in the first phase the number of pods that fit is found for every leaf domain from its
free capacity and summed up to the root; in the second, of the domains of the required level with room for all pods the
one with the least room is taken (best fit), and on the way down at each level as few domains as possible, the last one
by best fit again. The first phase looks at every node for every decision: that is what is compared here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Domain:
    """A vertex of the tree. `fits` is set by the first phase of each decision."""

    children: list["Domain"] = field(default_factory=list)
    node: int = -1
    fits: int = 0


class TopologySnapshot:
    """A tree of domains over nodes with their capacity and usage by resource."""

    def __init__(self, paths: Sequence[tuple[str, ...]], capacity: Sequence[Mapping[str, int]]) -> None:
        self.capacity = capacity
        self.usage: list[dict[str, int]] = [{} for _ in capacity]
        self.root = Domain()
        known: dict[tuple[str, ...], Domain] = {(): self.root}
        self.by_level: list[list[Domain]] = [[self.root], *([] for _ in range(len(paths[0]) + 1))]
        for number, path in enumerate(paths):
            for depth in range(1, len(path) + 1):
                if path[:depth] not in known:
                    known[path[:depth]] = domain = Domain()
                    known[path[: depth - 1]].children.append(domain)
                    self.by_level[depth].append(domain)
            leaf = Domain(node=number)
            known[path].children.append(leaf)
            self.by_level[-1].append(leaf)

    def assign(self, pods: int, requests: Mapping[str, int], level: int) -> list[tuple[int, int]] | None:
        """Find (node, pods) for all pods inside one domain of `level` (0 is the root); None if there is none."""
        self._fill_in_counts(self.root, requests)
        enough = [domain for domain in self.by_level[level] if domain.fits >= pods]
        if not enough:
            return None
        found: list[tuple[int, int]] = []
        self._assign_below(min(enough, key=lambda domain: domain.fits), pods, found)
        return found

    def use(self, node: int, pods: int, requests: Mapping[str, int]) -> None:
        """Add to what is used on a node."""
        usage = self.usage[node]
        for name, amount in requests.items():
            usage[name] = usage.get(name, 0) + amount * pods

    def _fill_in_counts(self, domain: Domain, requests: Mapping[str, int]) -> int:
        if domain.node < 0:
            domain.fits = sum(self._fill_in_counts(child, requests) for child in domain.children)
        else:
            capacity, usage = self.capacity[domain.node], self.usage[domain.node]
            domain.fits = min(
                (capacity.get(name, 0) - usage.get(name, 0)) // amount for name, amount in requests.items()
            )
        return domain.fits

    def _assign_below(self, domain: Domain, pods: int, found: list[tuple[int, int]]) -> None:
        if domain.node >= 0:
            found.append((domain.node, pods))
            return
        children = sorted((child for child in domain.children if child.fits), key=lambda child: -child.fits)
        while pods:
            enough = [child for child in children if child.fits >= pods]
            child = min(enough, key=lambda c: c.fits) if enough else children[0]
            children.remove(child)
            part = min(pods, child.fits)
            self._assign_below(child, part, found)
            pods -= part

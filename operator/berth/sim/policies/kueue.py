"""Kueue's topology-aware scheduling, its `BestFit` algorithm, for a gang of equal pods.

Source: KEP 2724 "Topology Aware Scheduling", section "Computing the assignment", and Kueue's implementation of it where
the text is silent. A gang with a required level is as one annotated `podset-required-topology`: of the domains of that
level that hold it, the one with the least room. Any other is as one annotated `podset-preferred-topology` with the
narrowest level above the node, the rack: the first level from there upwards at which one domain holds it decides; if
none does, several domains of the widest level are taken. Several domains are taken by most room first, and the last one
by best fit: the least room that is enough for what is left.

From the domains found, the tree is walked down level by level, and here Kueue does *not* keep to what it gave each
domain: the children of all chosen domains are one list, from which again the gang is filled anew, most room first and
best fit last. Equals stand in network order; Kueue compares the values of their labels.
"""

from collections.abc import Iterable

from berth.core.placement import Fit
from berth.core.slots import SlotIndex
from berth.sim.policies.blind import around


def kueue_best_fit(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Place a gang by Kueue's rule; None if no domain of level `widest` has room for it."""
    tree = index.tree
    if index.most(widest)[0] < replicas:
        return None
    level = widest or max(1, tree.leaf_level - 1)
    while level > 1 and index.most(level)[0] < replicas:
        level -= 1
    if index.most(level)[0] >= replicas:
        _, best = next(iter(index.ascending(level, replicas)))
        chosen = [(best, replicas)]
    else:
        chosen = _filled(index.free[level], range(len(index.free[level])), replicas)
    while level < tree.leaf_level:
        below = [child for domain, _ in chosen for child in tree.children(level, domain)]
        level += 1
        chosen = _filled(index.free[level], below, replicas)
    return around(tree, chosen)


def _filled(free: list[int], domains: Iterable[int], replicas: int) -> list[tuple[int, int]]:
    """As few of some domains as hold a gang together, most room first, the last by best fit: (domain, replicas)."""
    rest = sorted((domain for domain in domains if free[domain]), key=lambda domain: (-free[domain], domain))
    chosen: list[tuple[int, int]] = []
    left = replicas
    for at, domain in enumerate(rest):
        if free[domain] >= left:
            last = min((d for d in rest[at:] if free[d] >= left), key=lambda d: (free[d], d))
            return [*chosen, (last, left)]
        chosen.append((domain, free[domain]))
        left -= free[domain]
    raise AssertionError(f"{left} of {replicas} replicas find no room in domains that hold all together")

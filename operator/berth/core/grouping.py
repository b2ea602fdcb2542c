"""Gangs of groups: ranks 0 to k - 1, k to 2k - 1, and so on, each group inside one domain of a level.

A domain of that level has room for as many groups as its free slots, divided, hold; so above that level the gang is
placed by the same best fit, counting groups instead of slots, and below it each domain is filled with the slots of its
groups. Neighbours in rank are neighbours in the network, so a domain's groups are consecutive ranks.
"""

from berth.core.model import Groups
from berth.core.placement import Fit, Rule, fill, place
from berth.core.slots import SlotIndex


def place_groups(index: SlotIndex, replicas: int, widest: int, groups: Groups, *, rule: Rule = place) -> Fit | None:
    """Find room for a gang of whole groups inside one domain of level `widest` or narrower; None if there is none.

    `replicas` is a multiple of the groups' size, and the pool has their level. The index is not changed.
    """
    level = index.tree.level(groups.level)
    assert level is not None, "an unknown level is refused before a place is looked for"
    # Inside one domain of the groups' level, or of a narrower one, every group is in one, too.
    fit = rule(index, replicas, max(level, widest))
    if fit is not None or widest >= level:
        return fit
    coarse = rule(index.grouped(level, groups.size), replicas // groups.size, widest)
    if coarse is None:
        return None
    counts: list[tuple[int, int]] = []
    for domain, number in coarse.counts:
        fill(index, level, domain, number * groups.size, counts)
    return Fit(coarse.level, coarse.domain, tuple(sorted(counts)))

"""Patience: a gang that could only start apart waits, for a bounded time, where a contiguous place is near.

Where a gang sits is settled by how much is free where at the moment of its start, and choosing among what is free
then changes little (`docs/design/packing.md` has the trials). Choosing the moment does: running gangs end, and those
with a `maxDuration` say when. So a gang whose replicas would lie under several domains now, and that would find room in
one of them soon, gets a reservation there instead.

It waits no longer than sitting apart might cost it: a share of its own run time, times the share of its pairs of
replicas that would lie apart, and never more than four hours, as many declare far more than they take. Only gangs that
declare how long they take can wait, and only for ends that were declared. A long gang thus waits hours where a short
one waits minutes, and the short ones use what is free meanwhile.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from berth.core.admission import Berth
from berth.core.model import Gang, Policy

LONGEST = 4 * 3_600
"""Seconds for which a gang waits at most."""


def apart(berth: Berth, level: int) -> tuple[int, int]:
    """Pairs of a gang's replicas that lie in different domains of a level, and all its pairs."""
    tree = berth.pool.ledger.tree
    there = Counter[int]()
    for position, replicas in berth.fit.counts:
        domain = position
        for below in range(tree.leaf_level, level, -1):
            domain = tree.parent[below][domain]
        there[domain] += replicas
    return _pairs(there.total()) - sum(map(_pairs, there.values())), _pairs(there.total())


def wishes(gang: Gang, berth: Berth, seconds: int, percent: int) -> Iterator[tuple[Gang, int]]:
    """What a gang would rather have than this berth: itself kept to a narrower domain, and for how long it may wait.

    From the level that it prefers upward; of one that names none, the pool's widest. `seconds`: how long it will run;
    `percent`: how much of that it may wait if all its pairs lie apart. Nothing if the gang sits as it wishes.
    """
    tree = berth.pool.ledger.tree
    if gang.policy is Policy.REQUIRED and gang.level is not None:
        return
    wanted = tree.level(gang.level) if gang.level is not None else min(1, tree.leaf_level - 1)
    assert wanted is not None, "an unknown level is refused before a place is looked for"
    for level in range(wanted, berth.fit.level, -1):
        crossing, pairs = apart(berth, level)
        if crossing:
            kept = replace(gang, level=tree.levels[level], policy=Policy.REQUIRED, pools=(berth.pool.name,))
            yield kept, limit(seconds, percent, crossing, pairs)


def limit(seconds: int, percent: int, crossing: int, pairs: int) -> int:
    """For how many seconds a gang waits of which so many of its pairs would lie apart."""
    return min(LONGEST, seconds * percent * crossing // (100 * pairs))


def _pairs(replicas: int) -> int:
    return replicas * (replicas - 1) // 2

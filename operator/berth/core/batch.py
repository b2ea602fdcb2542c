"""The gangs that start in one cycle, placed together: the order in which they came need not be the order of their fit.

One after the other, a small gang may take the leaf into which only a larger one, which comes later, would have fitted
whole. So once it is known who starts, two of them at a time are lifted and placed again, in either order, by the same
rule, and stay there if they cost less together and neither is in a domain of a wider level. Tries are bounded, who
starts does not change, and nobody gets a wider domain for somebody else's sake. Only a cycle in which nobody waits does
it, since a place that is kept was chosen beside the others.

The cost of a gang is the domains that it spans, those of a level counting ten times those of the level below. On small
batches this takes a third off what placing in order of arrival costs above the exact optimum
(`docs/design/simulator-baselines.md`).
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

from berth.core.admission import Berth, Find, Pool
from berth.core.future import takes
from berth.core.model import Gang

_TRIES = 64
"""Pairs that are tried in a cycle. A batch of 8 gangs that all span several leaves has 56."""
_WIDER = 10
"""A domain of a level costs as much as so many of the level below."""


def cost(berth: Berth) -> int:
    """What a place costs: the domains that it spans at the levels between pool and node, the wider the more."""
    tree = berth.pool.ledger.tree
    total, domains = 0, [position for position, _ in berth.fit.counts]
    for level in range(tree.leaf_level, 1, -1):
        domains = list(dict.fromkeys(tree.parent[level][domain] for domain in domains))
        total += _WIDER ** (tree.leaf_level - level) * len(domains)
    return total


def together(started: Sequence[tuple[Gang, Berth]], pools: dict[str, Pool], find: Find) -> list[Berth]:
    """Better places for gangs that were just placed one after the other, in their order; those they have otherwise.

    The berths are taken in the ledgers of `pools`; those that are given back are taken in their stead, each in the pool
    that its gang was in: entries of `pools` are replaced by forks for that.
    """
    gangs, berths = [gang for gang, _ in started], [berth for _, berth in started]
    tries = 0
    for one, other in permutations(range(len(gangs)), 2):
        if berths[one].pool.name != berths[other].pool.name or not (_apart(berths[one]) or _apart(berths[other])):
            continue
        if tries == _TRIES:
            break
        tries += 1
        name = berths[one].pool.name
        tried = replace(pools[name], ledger=pools[name].ledger.fork())
        for berth in (berths[one], berths[other]):
            for position, amounts, devices in takes(berth):
                tried.ledger.give_back(position, amounts.items(), devices)
        first = _placed(gangs[one], tried, find)
        second = _placed(gangs[other], tried, find) if first else None
        if first and second and _better((first, second), (berths[one], berths[other])):
            berths[one], berths[other] = first, second
            pools[name] = tried
    return berths


def _better(new: tuple[Berth, Berth], old: tuple[Berth, Berth]) -> bool:
    """Whether two gangs cost less together, and neither has to go to a domain of a wider level for it."""
    kept = all(after.fit.level >= before.fit.level for after, before in zip(new, old, strict=True))
    return kept and sum(map(cost, new)) < sum(map(cost, old))


def _apart(berth: Berth) -> bool:
    """Whether a gang spans several domains of the level above the node, so that it could sit closer."""
    tree = berth.pool.ledger.tree
    above = {tree.parent[tree.leaf_level][position] for position, _ in berth.fit.counts}
    return tree.leaf_level > 1 and len(above) > 1


def _placed(gang: Gang, pool: Pool, find: Find) -> Berth | None:
    berth = find(gang, {pool.name: pool})
    if berth is not None:
        berth.take()
    return berth

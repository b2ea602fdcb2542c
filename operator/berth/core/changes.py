"""The nearest changes of a gang that waits: small ones first, and each of them tried before it is told.

A change is the gang that would result. Whoever asks hands in how to try one: on the free slots that refused the gang,
beside what is kept for those before it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from berth.core import shortages
from berth.core.admission import Berth, Pool, candidates, most_replicas, unsuitable
from berth.core.explain import count, quantity, where
from berth.core.model import Gang, Policy, Taint, Toleration
from berth.core.plan import Change
from berth.core.slots import untolerated

MOST = 4
_SPARED = 3
"""Changes that leave the gang as large as it is are told first, so many at most; then smaller gangs."""
_PROBES = 6
"""How many amounts of a resource are tried."""

Try = Callable[[Gang], Berth | None]
"""Finds a place in which a gang could start now; None if there is none."""


def nearest(gang: Gang, pools: dict[str, Pool], trial: Try, *, thorough: bool = True) -> tuple[Change, ...]:
    """Up to four changes that would each let the gang start now.

    Not `thorough`: without those that need slots to be counted for another demand, which takes a look at every node.
    """
    found: list[Change] = []
    for words, changed in _whole(gang, pools, trial, thorough=thorough):
        if len(found) == _SPARED:
            break
        found += _tried(words, changed, pools, trial)
    for words, changed in _smaller(gang, pools, trial, thorough=thorough):
        if len(found) < MOST:
            found += _tried(words, changed, pools, trial)
    return tuple(found)


def _tried(words: str, changed: Gang, pools: dict[str, Pool], trial: Try) -> list[Change]:
    berth = trial(changed)
    if berth is None:
        return []
    return [Change(f"{words}: could start now {place_of(berth, changed, pools)}", changed)]


def _whole(gang: Gang, pools: dict[str, Pool], trial: Try, *, thorough: bool) -> Iterator[tuple[str, Gang]]:
    """Changes that leave the gang its replicas and their devices."""
    if gang.level is not None and gang.policy is Policy.REQUIRED:
        yield "topology.policy Preferred", replace(gang, policy=Policy.PREFERRED)
        yield from _wider(gang, pools, trial)
    if gang.groups is not None:
        yield "no topology.groups", replace(gang, groups=None)
    if gang.pools:
        for name in sorted(pools):
            if name not in gang.pools:
                yield f"pools [{name}]", replace(gang, pools=(name,))
    if thorough and not gang.shapes:  # else what a replica asks for is the pools' as well
        yield from _modest(gang, pools, trial)
        yield from _tolerant(gang, pools)


def _wider(gang: Gang, pools: dict[str, Pool], trial: Try) -> Iterator[tuple[str, Gang]]:
    """The narrowest wider level that would do."""
    assert gang.level is not None, "only a gang with a level has wider ones"
    seen: set[str] = set()
    for pool in suitable(gang, pools):
        levels = pool.ledger.tree.levels
        at = pool.ledger.tree.level(gang.level)
        for level in reversed(levels[1:at]):
            if level not in seen and trial(replace(gang, level=level)) is not None:
                yield f"topology.level {level}", replace(gang, level=level)
                return
            seen.add(level)


def _modest(gang: Gang, pools: dict[str, Pool], trial: Try) -> Iterator[tuple[str, Gang]]:
    """The same with less of one resource: the most of it that would do."""
    for name, amount in gang.requests:
        without = _requesting(gang, name, 0)
        if not any(_has_devices(without, pool) for pool in suitable(gang, pools)) or trial(without) is None:
            continue
        legal = [_rounded(name, share) for share in _shares(gang, name, pools) if 0 < share < amount]
        legal = sorted({share for share in legal if share > 0}, reverse=True)
        low, high = 0, len(legal)  # the largest comes first: find the first that does
        for _ in range(_PROBES):
            if low >= high:
                break
            middle = (low + high) // 2
            if trial(_requesting(gang, name, legal[middle])) is None:
                low = middle + 1
            else:
                high = middle
        if high < len(legal):
            yield f"requests.{name} {quantity(name, legal[high])}", _requesting(gang, name, legal[high])


def _requesting(gang: Gang, name: str, amount: int) -> Gang:
    return replace(gang, requests=tuple((n, amount if n == name else a) for n, a in gang.requests))


def _shares(gang: Gang, name: str, pools: dict[str, Pool]) -> Iterable[int]:
    """How much of a resource each of the replicas would have for which a node has devices."""
    found = set()
    for pool in suitable(gang, pools):
        for node, used in zip(pool.ledger.nodes, pool.ledger.used, strict=True):
            devices = node.allocatable.get(pool.resource, 0) - used.get(pool.resource, 0)
            for replicas in range(1, min(gang.replicas, devices // gang.devices) + 1):
                found.add((node.allocatable.get(name, 0) - used.get(name, 0)) // replicas)
    return found


def _rounded(name: str, amount: int) -> int:
    """An amount that people would write, not more than this."""
    unit = {"cpu": 1_000, "memory": 1 << 30}.get(name, 1)
    return amount // unit * unit if amount >= unit else amount


def _tolerant(gang: Gang, pools: dict[str, Pool]) -> Iterator[tuple[str, Gang]]:
    """The same with a toleration of a taint that keeps it from nodes with free devices; the commonest first."""
    found: dict[Taint, int] = {}
    for pool in suitable(gang, pools):
        for node, used in zip(pool.ledger.nodes, pool.ledger.used, strict=True):
            if node.taints and node.ready and not node.cordoned:
                taint = untolerated(node.taints, gang.tolerations)
                if taint is not None and node.allocatable.get(pool.resource, 0) > used.get(pool.resource, 0):
                    found[taint] = found.get(taint, 0) + 1
    for taint in sorted(found, key=lambda t: (-found[t], str(t)))[:2]:
        extra = Toleration(taint.key, "Equal", taint.value, taint.effect)
        yield f"toleration of {taint}", replace(gang, tolerations=(*gang.tolerations, extra))


def _smaller(gang: Gang, pools: dict[str, Pool], trial: Try, *, thorough: bool) -> Iterator[tuple[str, Gang]]:
    """Smaller gangs: fewer replicas, as many as would do, or fewer devices for each."""
    most = max((most_replicas(gang, pool) for pool in suitable(gang, pools)), default=0)
    each = gang.groups.size if gang.groups else 1
    low, high = 0, min(most, gang.replicas - 1) // each
    while low < high:  # places that are kept may leave less than is free
        middle = -(-(low + high) // 2)
        if trial(replace(gang, replicas=middle * each)) is None:
            high = middle - 1
        else:
            low = middle
    if low:
        yield f"replicas {low * each}", replace(gang, replicas=low * each)
    if thorough and gang.groups is None:
        yield from _smaller_replicas(gang, pools, trial)


def _smaller_replicas(gang: Gang, pools: dict[str, Pool], trial: Try) -> Iterator[tuple[str, Gang]]:
    """Replicas of another size, as many devices in all; else as many replicas, with at least half of the devices.

    Larger ones only where the size is not a legal one.
    """
    usable = [pool for pool in candidates(gang, pools) if pool.problem is None]
    legal = {size for pool in usable for sizes in (pool.sizes, pool.sizes_alone) for size in sizes or ()}
    sizes = sorted(legal or {1 << power for power in range(6)}, key=lambda size: (abs(size - gang.devices), size))
    if suitable(gang, pools):
        sizes = [size for size in sizes if size < gang.devices]
    total = gang.replicas * gang.devices
    split = [
        (f"replicas {total // size}, devicesPerReplica {size}", replace(gang, replicas=total // size, devices=size))
        for size in sizes
        if size != gang.devices and total % size == 0
    ]
    fewer = [
        (f"devicesPerReplica {size}", replace(gang, devices=size))
        for size in sizes
        if gang.devices <= 2 * size < 2 * gang.devices
    ]
    for words, changed in (*split, *fewer):
        if any(_has_devices(changed, pool) for pool in suitable(changed, pools)) and trial(changed) is not None:
            yield words, changed
            return


def _has_devices(gang: Gang, pool: Pool) -> bool:
    """Whether some node may have devices for a replica: quick to say, so that few gangs are tried in vain."""
    return shortages.most_free(pool.ledger, pool.resource) >= gang.devices


def suitable(gang: Gang, pools: dict[str, Pool]) -> list[Pool]:
    """Pools that could hold the gang if enough were free."""
    return [pool for pool in candidates(gang, pools) if unsuitable(gang, pool) is None]


def place_of(berth: Berth, gang: Gang, pools: dict[str, Pool]) -> str:
    """Where a gang could start: its domain, or how many domains of the level that it prefers."""
    tree, fit = berth.pool.ledger.tree, berth.fit
    level = tree.level(gang.level) if gang.level is not None else None
    if level is None or fit.level >= level:
        place_ = where(tree, fit.level, fit.domain)
        if fit.level == 0:
            return place_
    else:
        place_ = f"over {count(len({tree.above(position)[level] for position, _ in fit.counts}), tree.levels[level])}"
    return f"{place_} of pool {berth.pool.name}" if len(candidates(gang, pools)) > 1 else place_

"""Pools kept current by single changes are the pools that would be built from the end of the story alone."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from berth.cluster.claims import Claim
from berth.cluster.pools import Members, Pools, Requirement
from berth.core.admission import Pool
from berth.core.layout import UNKNOWN, Choice, Layout, fits
from berth.core.model import Demand, Node, Taint
from tests.properties.law import tries
from tests.unit.wire_objects import GPU, LEVELS, pool_facts

NODES = tuple(f"n{number}" for number in range(4))
LABELS = tuple(
    {"pool": pool, "spine": spine, **leaf}
    for pool in ("a", "b")
    for spine in ("s1", "s2")
    for leaf in ({"leaf": "l1"}, {"leaf": "l2"}, {})
)
SELECTORS = (
    (Requirement("pool", "In", frozenset({"a"})),),
    (Requirement("pool", "In", frozenset({"a", "b"})),),
    (Requirement("pool", "NotIn", frozenset({"a"})),),
    (Requirement("spine", "Exists"),),
)
MESH = Layout(8, Choice.FEWEST_LEFT)
DEMAND = Demand(((GPU, 4), ("pods", 1)))

KINDS = (
    "node",
    "node",
    "resize",
    "lose",
    "claim",
    "claim",
    "claim",
    "release",
    "release",
    "pool",
    "drop",
    "look",
    "look",
)
Move = tuple[str, int, int, int]


def read(stream: bytes) -> list[Move]:
    """Read changes off bytes, four for each: quicker to draw than tuples, and as easy to shrink."""
    return [
        (KINDS[kind % len(KINDS)], which % 4, first % 12, second % 6)
        for kind, which, first, second in zip(stream[::4], stream[1::4], stream[2::4], stream[3::4], strict=False)
    ]


@dataclass
class Truth:
    """What there is at the end: the last word on every node, pool and claim."""

    nodes: dict[str, Node] = field(default_factory=dict)
    pools: dict[str, Any] = field(default_factory=dict)
    claims: dict[tuple[str, str], Claim] = field(default_factory=dict)

    def fresh(self) -> Pools:
        """Pools that were told nothing but that."""
        pools = Pools()
        for node in self.nodes.values():
            pools.set_node(node)
        for facts in self.pools.values():
            pools.set_pool(facts)
        for (node_name, claimant), claim in self.claims.items():
            pools.claim(node_name, claimant, claim)
        return pools

    def held(self, node: str) -> int:
        """Mask of the devices taken on a node, unknown if any of its claimants does not say."""
        claims = [claim for (on, _), claim in self.claims.items() if on == node and dict(claim.requests)[GPU]]
        mask = 0
        for claim in claims:
            mask |= UNKNOWN if claim.ids is None else claim.ids
        return mask


def a_claim(devices: int, second: int) -> Claim:
    """So many devices: the first, the last, or nobody knows which."""
    first = (1 << min(devices, 8)) - 1
    ids = (first, first << 8 - min(devices, 8), None)[second % 3]
    return Claim(((GPU, min(devices, 8)), ("pods", 1)), ids)


def play(pools: Pools, moves: list[Move], look: Callable[[Truth], None] = lambda _: None) -> Truth:
    """Tell pools one change after the other; now and then somebody has a look."""
    truth = Truth()
    for serial, (kind, which, first, second) in enumerate(moves):
        name, pool = NODES[which], f"p{which % 3}"
        match kind:
            case "node":
                known = Node(name, (), {GPU: 8, "pods": 9}, LABELS[first], ready=second != 1, cordoned=second == 2)
                truth.nodes[name] = known
                pools.set_node(known)
            case "resize" if name in truth.nodes:
                known = replace(
                    truth.nodes[name], allocatable={GPU: first, "pods": 9}, taints=(Taint("t", "", "x"),) * (second % 2)
                )
                truth.nodes[name] = known
                pools.set_node(known)
            case "lose":
                truth.nodes.pop(name, None)
                pools.drop_node(name)
            case "claim":
                truth.claims[name, f"c{second % 2}"] = a_claim(first, second)
                pools.claim(name, f"c{second % 2}", a_claim(first, second))
            case "release":
                truth.claims.pop((name, f"c{second % 2}"), None)
                pools.release(name, f"c{second % 2}")
            case "pool":
                levels = LEVELS[: first % 3]
                truth.pools[pool] = pool_facts(
                    pool,
                    uid=f"{pool}-{first % 2}",
                    version=serial,
                    created=second,
                    selector=SELECTORS[first % 4],
                    levels=levels,
                    layout=MESH if second > 2 else None,
                )
                pools.set_pool(truth.pools[pool])
            case "drop":
                truth.pools.pop(pool, None)
                pools.drop_pool(pool)
            case "look":
                look(truth)
    return truth


def seen(pools: dict[str, Pool]) -> dict[str, Any]:
    """All that a cycle can see of pools, by value."""
    return {
        name: (
            pool.ledger.tree,
            pool.ledger.nodes,
            [{k: v for k, v in used.items() if v} for used in pool.ledger.used],
            pool.ledger.held.copy(),
            pool.ledger.index(DEMAND).free,
            pool.ledger.index(DEMAND).whole,
            pool.ledger.index(DEMAND).order,
        )
        for name, pool in sorted(pools.items())
    }


def members(pools: Pools) -> list[tuple[str, set[str], dict[str, str]]]:
    """What is told of nodes that are left out."""
    return [(m.facts.name, m.unplaced, m.overlapping) for m in pools.members()]


def are_always_as_if_told_only_the_end(make: Callable[[], Pools], moves: list[Move]) -> None:
    pools = make()

    def compare(truth: Truth) -> None:
        fresh = truth.fresh()
        assert seen(fresh.snapshot()) == seen(pools.snapshot())
        assert members(fresh) == members(pools)

    compare(play(pools, moves, compare))


def old_snapshots_stand_still(make: Callable[[], Pools], moves: list[Move]) -> None:
    pools = make()
    frozen: list[tuple[dict[str, Pool], dict[str, Any]]] = []

    def keep(_: Truth) -> None:
        # Of every other snapshot the counts are first asked for only at the end.
        snapshot = pools.snapshot()
        frozen.append((snapshot, seen(snapshot) if len(frozen) % 2 else plain(snapshot)))

    play(pools, moves, keep)
    for number, (snapshot, before) in enumerate(frozen):
        if number % 2:
            assert before == seen(snapshot)
        else:
            assert before == plain(snapshot)
            for pool in snapshot.values():
                free = pool.ledger.index(DEMAND).free[-1]
                assert free == [_room_at(pool, position) for position in range(len(pool.ledger.nodes))]


def plain(pools: dict[str, Pool]) -> dict[str, Any]:
    """The same without asking for counts."""
    return {
        name: (p.ledger.tree, p.ledger.nodes.copy(), [dict(u) for u in p.ledger.used], p.ledger.held.copy())
        for name, p in pools.items()
    }


def _room_at(pool: Pool, position: int) -> int:
    ledger = pool.ledger
    node, counted = ledger.nodes[position], _room(ledger.nodes[position], dict(ledger.used[position]))
    if ledger.numbering is None:
        return counted
    free = MESH.all & ~ledger.held[position] if node.allocatable[GPU] == MESH.devices else 0
    return min(counted, fits(MESH, free, 4))


def _room(node: Node, used: dict[str, int]) -> int:
    if not node.ready or node.cordoned:
        return 0
    return max(0, min((node.allocatable[name] - used.get(name, 0)) // amount for name, amount in DEMAND.requests))


def every_node_is_in_one_pool_at_most(make: Callable[[], Pools], moves: list[Move]) -> None:
    pools = make()
    truth = play(pools, moves)
    snapshot = pools.snapshot()
    homes = [node.name for pool in snapshot.values() for node in pool.ledger.nodes]
    assert sorted(homes) == sorted(set(homes))
    for name, node in truth.nodes.items():
        selecting = [f for f in truth.pools.values() if f.selects(node.labels)]
        if not selecting:
            assert name not in homes
            continue
        oldest = min(selecting, key=lambda facts: (facts.created, facts.name))
        inside = {n.name for n in snapshot[oldest.name].ledger.nodes}
        assert (name in inside) == (oldest.path(node.labels) is not None)


def the_devices_taken_are_those_that_claimants_name(make: Callable[[], Pools], moves: list[Move]) -> None:
    pools = make()
    truth = play(pools, moves)
    for pool in pools.snapshot().values():
        if pool.ledger.numbering is not None:
            assert pool.ledger.held == [truth.held(node.name) for node in pool.ledger.nodes]


LAWS = (
    are_always_as_if_told_only_the_end,
    old_snapshots_stand_still,
    every_node_is_in_one_pool_at_most,
    the_devices_taken_are_those_that_claimants_name,
)


def uphold(law: Callable[[Callable[[], Pools], list[Move]], None], make: Callable[[], Pools], tries: int) -> None:
    """Try a law on streams of changes, always the same ones."""

    @settings(
        max_examples=tries,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(min_size=160, max_size=160))
    def every(stream: bytes) -> None:
        law(make, read(stream))

    every()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_pools_keep_their_laws(law: Callable[[Callable[[], Pools], list[Move]], None]) -> None:
    """Whatever happens to nodes, pools and claims, in whatever order."""
    uphold(law, Pools, tries=tries(120))


class ForgetsDirt(Pools):
    """A planted bug: a released claim is not counted anew."""

    def release(self, node: str, claimant: str) -> None:
        self._claims.get(node, {}).pop(claimant, None)


class KeepsTree(Pools):
    """A planted bug: a node that moves keeps its place in the tree."""

    def set_node(self, node: Node) -> None:
        known = self._nodes.get(node.name)
        super().set_node(replace(node, labels=known.labels) if known is not None else node)


class SharesLedger(Pools):
    """A planted bug: snapshots are not frozen."""

    def snapshot(self) -> dict[str, Pool]:
        found = super().snapshot()
        return {name: replace(pool, ledger=self._ledger(self._members[name])) for name, pool in found.items()}

    def _ledger(self, of: Members) -> Any:
        return of.ledger


class YoungestWins(Pools):
    """A planted bug: the pool that came last takes the nodes."""

    def set_pool(self, facts: Any) -> bool:
        return super().set_pool(replace(facts, created=-facts.created))


class KeepsUnplaced(Pools):
    """A planted bug: a node that goes is still told as left out."""

    def drop_node(self, name: str) -> None:
        left_out = [m for m in self._members.values() if name in m.unplaced]
        super().drop_node(name)
        for left in left_out:
            left.unplaced.add(name)


class TrustsCounts(Pools):
    """A planted bug: a claimant that does not say which devices it has is taken to have none."""

    def claim(self, node: str, claimant: str, claim: Claim) -> None:
        super().claim(node, claimant, replace(claim, ids=claim.ids or 0, requests=claim.requests[claim.ids is None :]))


@pytest.mark.parametrize(
    ("law", "bug"),
    [
        (are_always_as_if_told_only_the_end, ForgetsDirt),
        (are_always_as_if_told_only_the_end, KeepsTree),
        (are_always_as_if_told_only_the_end, KeepsUnplaced),
        (old_snapshots_stand_still, SharesLedger),
        (every_node_is_in_one_pool_at_most, YoungestWins),
        (the_devices_taken_are_those_that_claimants_name, TrustsCounts),
    ],
)
def test_a_planted_bug_is_caught(law: Callable[[Callable[[], Pools], list[Move]], None], bug: type[Pools]) -> None:
    """A law that no bug breaks proves nothing."""
    with pytest.raises(AssertionError):
        uphold(law, bug, tries=120)

"""Pairs of hosts that lie apart, and spans against the fewest possible, against numbers worked out by hand."""

import pytest

from berth.sim.measures.ground import Ground
from berth.sim.measures.spread import Least, Spread, crossing
from tests.builders import GPU, a_gang
from tests.running import a_fleet, a_life, a_result, a_stint, a_task


def spread(*lives: object, level: str = "spine", **more: object) -> Spread:
    found = a_result(*lives, end=100, **more).quality.spreads  # type: ignore[arg-type]
    return next(s for s in found if s.level == level)


def test_crossing_is_the_share_of_pairs_under_different_domains() -> None:
    """Three hosts under one spine and one under the other: 3 of 6 pairs; of two leaves with two and one: 5 of 6."""
    life = a_life(a_task(replicas=4), a_stint((0, 1, 2, 4), 0, 10))
    assert pytest.approx(3 / 6) == spread(life).crossing
    assert pytest.approx(5 / 6) == spread(life, level="leaf").crossing
    assert spread(life, level="node").crossing == 1.0


def test_replicas_on_one_host_are_one_host() -> None:
    """Two replicas on n0 and one on n4 are one pair of hosts, not three of replicas."""
    assert spread(a_life(a_task(replicas=3, devices=4), a_stint((0, 0, 4), 0, 10))).crossing == 1.0


def test_gangs_on_one_host_have_no_pairs() -> None:
    """They neither raise nor lower the crossing, but count for the spans."""
    found = spread(a_life(a_task(replicas=2, devices=4), a_stint((0, 0), 0, 10)))
    assert (found.crossing, found.pairs, found.inflation) == (None, 0, 1.0)


def test_crossing_is_weighted_by_device_seconds() -> None:
    """16 devices for 30 s that cross, 32 for 15 s and 8 for 60 s that don't, of which the last has no pair: a half."""
    lives = (
        a_life(a_task("a", 2), a_stint((0, 4), 0, 30)),
        a_life(a_task("b", 4), a_stint((0, 1, 2, 3), 30, 45)),
        a_life(a_task("c", 1), a_stint((5,), 0, 60)),
    )
    found = spread(*lives)
    assert (found.crossing, found.pairs) == (0.5, 960)


def test_inflation_is_spans_over_the_fewest_possible() -> None:
    """Four hosts over three leaves, though one leaf holds four: 3 leaves for 1, and 2 spines for 1."""
    life = a_life(a_task(replicas=4), a_stint((0, 1, 2, 4), 0, 10))
    assert ((s := spread(life, level="leaf")).spans, s.least, s.inflation) == (3.0, 1.0, 3.0)
    assert (spread(life).inflation, spread(life, level="node").inflation) == (2.0, 1.0)


def test_the_fewest_possible_is_counted_on_the_empty_pool() -> None:
    """Five nodes need two leaves, four and one; nine are one leaf more than there are."""
    least = Least(Ground.of(a_fleet()))
    demand = a_gang(1).demand(GPU)
    assert [least.of(demand, n) for n in (4, 5, 6, 8)] == [(1, 1, 4), (2, 2, 5), (2, 2, 6), (2, 3, 8)]
    assert least.of(demand, 9) == (3, 4, 9)


def test_the_fewest_possible_knows_where_a_gang_may_sit() -> None:
    """Of nodes that are tainted or not selected no slot counts: three need both leaves, where two would do with all."""
    ground = Ground.of(a_fleet("s0\n  l0 8 8t\n  l1 8 8"))
    assert Least(ground).of(a_gang(1).demand(GPU), 3) == (1, 2, 3)
    assert Least(ground).of(a_gang(1, selector={"disk": "nvme"}).demand(GPU), 3) == (1, 1, 1)


def test_the_warm_up_is_left_out() -> None:
    """A first job that crosses for 30 s, and one that does not for 10 s: with the warm-up of one, only the second."""
    lives = (a_life(a_task("a", 2), a_stint((0, 4), 0, 30)), a_life(a_task("b", 2), a_stint((0, 1), 30, 40)))
    assert spread(*lives).crossing == 0.75
    assert spread(*lives, warm_up=1).crossing == 0.0


def test_several_pools_are_also_told_together() -> None:
    """Levels of one name are one figure over all pools, with an empty pool's name, before those of each."""
    lives = (
        a_life(a_task("a", 2), a_stint((0, 4), 0, 10)),
        a_life(a_task("b", 2), a_stint((0, 1), 0, 30, pool="h20")),
    )
    found = a_result(*lives, end=100, fleets=(a_fleet(), a_fleet(name="h20"))).quality.spreads
    spines = [(s.pool, s.crossing) for s in found if s.level == "spine"]
    assert spines == [("", 0.25), ("h800", 1.0), ("h20", 0.0)]


@pytest.mark.parametrize(
    ("hosts", "share"), [((), None), ((0,), None), ((0, 1), 0.0), ((0, 4), 1.0), ((0, 1, 4), 2 / 3)]
)
def test_crossing_of_hosts(hosts: tuple[int, ...], share: float | None) -> None:
    """Two of three pairs; fewer than two hosts have none."""
    spine = Ground.of(a_fleet()).domain[1]
    assert (share if share is None else pytest.approx(share)) == crossing(spine, hosts)

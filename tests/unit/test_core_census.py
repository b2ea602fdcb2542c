"""Counting a pool: who has its devices, how its domains stand, and how broken up what is free is."""

import pytest

from berth.core.admission import Pool, find
from berth.core.census import Health, Tally, Use, census, tallies
from tests.builders import a_gang, by_name, drawn

POOL = """
    s0
      l0 8 8 8
      l1 8 8 0
    s1
      l2 8 4 0c
      l3 0 0 8x
"""


def pool(picture: str = POOL) -> Pool:
    return drawn(picture)


def test_every_device_is_counted_once() -> None:
    """By who has it and by the health of its node; others are believed no more than what is taken."""
    counted = census(pool(), {"n5": 5, "n8": 8, "n7": 99, "n0": 3})
    assert {key: n for key, n in counted.devices.items() if n} == {
        (Use.FREE, Health.READY): 52,
        (Use.USED_BY_BERTH, Health.READY): 19,
        (Use.USED_BY_OTHERS, Health.READY): 9,
        (Use.USED_BY_OTHERS, Health.CORDONED): 8,
        (Use.UNAVAILABLE, Health.NOT_READY): 8,
    }
    assert (counted.total, counted.free, counted.used, counted.unavailable) == (96, 52, 36, 8)
    assert (counted.nodes, counted.nodes_ready) == (12, 10)


def test_every_domain_is_the_sum_of_those_below_it() -> None:
    """By who has its devices; the pool's counts are those of the census."""
    others = {"n5": 5, "n8": 8, "n7": 99, "n0": 3}
    [whole], spines, leaves, nodes = tallies(pool(), others)
    assert spines == [Tally(6, 40, 3, 5, 0), Tally(6, 12, 16, 12, 8)]
    assert leaves[2] == Tally(3, 12, 0, 12, 0)
    assert nodes[11] == Tally(1, 0, 0, 0, 8)
    for level in (spines, leaves, nodes):
        assert sum(level, Tally()) == whole
    counted = census(pool(), others)
    assert (whole.total, whole.free, whole.used, whole.unavailable) == (
        counted.total,
        counted.free,
        counted.used,
        counted.unavailable,
    )


def test_domains_are_free_partial_or_full() -> None:
    """A domain with a node that takes nothing is not free; one with nothing to give is full."""
    counted = census(pool())
    told = {of.level: (of.free, of.partial, of.full) for of in counted.levels}
    assert told == {"spine": (0, 2, 0), "leaf": (1, 2, 1), "node": (6, 1, 5)}
    assert [of.domains for of in counted.levels] == [2, 4, 12]


@pytest.mark.parametrize("level", [None, "spine", "leaf", "node"])
def test_the_largest_gang_is_one_that_is_placed(level: str | None) -> None:
    """The placement itself finds room for it, and for none that is a node larger."""
    counted = census(pool())
    of = counted.pool if level is None else next(of for of in counted.levels if of.level == level)
    nodes = of.largest_free // 8
    assert nodes == {None: 6, "spine": 5, "leaf": 3, "node": 1}[level]
    assert find(a_gang(nodes, inside=level), by_name(pool())) is not None
    assert find(a_gang(nodes + 1, inside=level), by_name(pool())) is None


def test_an_empty_pool_is_not_fragmented_at_any_level() -> None:
    """Nor is a full one: nothing is free that could lie apart."""
    for picture in ("s0\n  l0 8 8\n  l1 8 8", "s0\n  l0 0 0\n  l1 0 0", "s0\n  l0 0 0\n  l1 8 8"):
        counted = census(pool(picture))
        assert [of.fragmentation for of in (counted.pool, *counted.levels)] == [0, 0, 0, 0]


def test_fragmentation_is_what_is_free_in_number_and_not_in_one_place() -> None:
    """Half of each leaf is taken: a gang of a leaf's size has enough devices, and gets half of them in one leaf."""
    counted = census(pool("s0\n  l0 8 0\n  l1 8 0"))
    assert [(of.level, of.fragmentation) for of in (counted.pool, *counted.levels)] == [
        ("h800", 0),
        ("spine", 0),
        ("leaf", 0.5),
        ("node", 0),
    ]


def test_half_free_nodes_are_the_worst() -> None:
    """Eight devices are free, and no whole node is."""
    counted = census(pool("s0\n  l0 4 0\n  l1 4 0"))
    assert [of.fragmentation for of in (counted.pool, *counted.levels)] == [1, 1, 1, 1]


def test_a_pool_without_nodes_or_devices_counts_nothing() -> None:
    """And divides by nothing."""
    assert census(drawn("", name="empty")).total == 0
    bare = census(drawn("s0\n  l0 0 0", devices=0))
    assert (bare.total, bare.nodes, bare.pool.largest_free, bare.pool.fragmentation) == (0, 2, 0, 0)

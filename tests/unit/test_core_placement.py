"""Placement on drawn trees: which domain, which nodes, in which order."""

import pytest

from berth.core.admission import Berth, Pool, find
from berth.core.model import Gang
from tests.builders import LEVELS, a_gang, by_name, drawn

EMPTY = """
    spine-0
      leaf-0  8 8 8 8
      leaf-1  8 8 8 8
    spine-1
      leaf-0  8 8 8 8
      leaf-1  8 8 8 8
"""
HALF_TAKEN = """
    spine-0
      leaf-0  8 8 0 0
      leaf-1  8 8 8 0
    spine-1
      leaf-0  8 8 8 8
      leaf-1  0 0 0 8
"""
TORN = """
    spine-0
      leaf-0  8 0 0 0
      leaf-1  0 8 0 0
    spine-1
      leaf-0  0 0 8 0
      leaf-1  0 0 0 8
"""
SHARED = """
    spine-0
      leaf-0  2 8
      leaf-1  4 6
"""
TWINS = """
    spine-0
      leaf-0  8 8
      leaf-1  8 8 8 8
    spine-1
      leaf-0  8 8
      leaf-1  8 0
"""
ODD = """
    spine-0
      leaf-0  8 8c 8x 8t
      leaf-1  8 8
"""
STAIRS = """
    spine-0
      leaf-0  8
      leaf-1  8 8
      leaf-2  8 8 8
      leaf-3  8 8 8
"""
FLAT = "8 8 8 8 8 8"
DEEP = """
    dc-0
      spine-0
        leaf-0  8 8
        leaf-1  8 8
    dc-1
      spine-0
        leaf-0  8 8 8
"""

CASES = [
    pytest.param(EMPTY, a_gang(1), "n0", "n0", id="one replica takes one node"),
    pytest.param(EMPTY, a_gang(4), "spine-0/leaf-0", "n0 n1 n2 n3", id="a leaf's worth takes one leaf"),
    pytest.param(EMPTY, a_gang(3), "spine-0/leaf-0", "n0 n1 n2", id="neighbours are taken together"),
    pytest.param(EMPTY, a_gang(6), "spine-0", "n0 n1 n2 n3 n4 n5", id="a leaf and a half stay under one spine"),
    pytest.param(EMPTY, a_gang(9), "h800", "n0 n1 n2 n3 n4 n5 n6 n7 n8", id="more than a spine takes the pool"),
    pytest.param(EMPTY, a_gang(9, inside="spine"), None, "", id="more than a spine, and a spine required"),
    pytest.param(EMPTY, a_gang(5, inside="leaf"), None, "", id="more than a leaf, and a leaf required"),
    pytest.param(EMPTY, a_gang(5, rather_inside="leaf"), "spine-0", "n0 n1 n2 n3 n4", id="rather a leaf, but a spine"),
    pytest.param(EMPTY, a_gang(2, 4), "n0", "n0 n0", id="two halves share a node"),
    pytest.param(EMPTY, a_gang(2, 4, inside="node"), "n0", "n0 n0", id="one node required"),
    pytest.param(EMPTY, a_gang(3, 4, inside="node"), None, "", id="one node required, and too small"),
    pytest.param(HALF_TAKEN, a_gang(1), "n15", "n15", id="the last node of the fullest leaf"),
    pytest.param(HALF_TAKEN, a_gang(2), "spine-0/leaf-0", "n0 n1", id="a leaf that it just fills"),
    pytest.param(HALF_TAKEN, a_gang(3), "spine-0/leaf-1", "n4 n5 n6", id="not the empty leaf"),
    pytest.param(HALF_TAKEN, a_gang(5), "spine-0", "n0 n1 n4 n5 n6", id="of equal spines the first"),
    pytest.param(TORN, a_gang(2), "spine-0", "n0 n5", id="one node of each leaf"),
    pytest.param(TORN, a_gang(2, inside="leaf"), None, "", id="no leaf has two"),
    pytest.param(TORN, a_gang(4), "h800", "n0 n5 n10 n15", id="all that is left"),
    pytest.param(TORN, a_gang(5), None, "", id="one more than there is"),
    pytest.param(SHARED, a_gang(1, 2), "n0", "n0", id="the node that it fills"),
    pytest.param(SHARED, a_gang(1, 6), "n1", "n1", id="nodes with room for one replica are equal"),
    pytest.param(SHARED, a_gang(4, 2), "n1", "n1 n1 n1 n1", id="the only node that holds all"),
    pytest.param(SHARED, a_gang(5, 2), "spine-0/leaf-0", "n0 n1 n1 n1 n1", id="of equal leaves the first"),
    pytest.param(SHARED, a_gang(7, 2), "spine-0", "n0 n1 n1 n1 n1 n2 n2", id="a whole leaf, then what just fits"),
    pytest.param(TWINS, a_gang(2), "spine-1/leaf-0", "n6 n7", id="of equal leaves the one under the fuller spine"),
    pytest.param(TWINS, a_gang(1), "n8", "n8", id="of equal nodes the one in the fullest leaf"),
    pytest.param(ODD, a_gang(1), "n0", "n0", id="what is cordoned, not ready or tainted is no room"),
    pytest.param(ODD, a_gang(3), "spine-0", "n0 n4 n5", id="and is passed over"),
    pytest.param(ODD, a_gang(4), None, "", id="however much it is needed"),
    pytest.param(STAIRS, a_gang(4), "spine-0", "n0 n3 n4 n5", id="the largest leaf, then one that is just enough"),
    pytest.param(STAIRS, a_gang(6), "spine-0", "n3 n4 n5 n6 n7 n8", id="two whole leaves"),
    pytest.param(STAIRS, a_gang(9), "spine-0", "n0 n1 n2 n3 n4 n5 n6 n7 n8", id="all leaves"),
]


def _found(picture: str, gang: Gang, levels: tuple[str, ...] = LEVELS) -> Berth | None:
    return find(gang, by_name(drawn(picture, levels=levels)))


@pytest.mark.parametrize(("picture", "gang", "domain", "ranks"), CASES)
def test_a_gang_is_placed(picture: str, gang: Gang, domain: str | None, ranks: str) -> None:
    """The domain is the narrowest and fullest that holds the gang; nodes are named in rank order."""
    berth = _found(picture, gang)
    placement = berth and berth.placement(1, 0)
    assert (placement and placement.domain) == domain
    assert " ".join(placement.nodes if placement else ()) == ranks


@pytest.mark.parametrize(
    ("picture", "levels", "gang", "domain", "ranks"),
    [
        pytest.param(FLAT, (), a_gang(3), "h800", "n0 n1 n2", id="neighbours by name in a flat pool"),
        pytest.param(FLAT, (), a_gang(7), None, "", id="a flat pool that is too small"),
        pytest.param("8 0 8 8", (), a_gang(2), "h800", "n0 n2", id="the first that are free in a flat pool"),
        pytest.param("", (), a_gang(1), None, "", id="no room in an empty pool"),
        pytest.param("", LEVELS, a_gang(1, inside="leaf"), None, "", id="no leaf in an empty pool"),
        pytest.param(DEEP, ("dc", *LEVELS), a_gang(3), "dc-1/spine-0/leaf-0", "n4 n5 n6", id="three levels"),
        pytest.param(DEEP, ("dc", *LEVELS), a_gang(4), "dc-0/spine-0", "n0 n1 n2 n3", id="a spine of a data centre"),
        pytest.param(DEEP, ("dc", *LEVELS), a_gang(5), "h800", "n0 n1 n2 n3 n4", id="a whole data centre and a node"),
        pytest.param(DEEP, ("dc", *LEVELS), a_gang(5, inside="dc"), None, "", id="no data centre has five"),
    ],
)
def test_a_gang_is_placed_in_other_trees(
    picture: str, levels: tuple[str, ...], gang: Gang, domain: str | None, ranks: str
) -> None:
    """The same rule, with no level or with three."""
    berth = _found(picture, gang, levels)
    placement = berth and berth.placement(1, 0)
    assert (placement and placement.domain) == domain
    assert " ".join(placement.nodes if placement else ()) == ranks


def test_a_placement_counts_the_domains_that_it_spans() -> None:
    """Per level, the pool left out and the nodes included."""
    berth = _found(EMPTY, a_gang(6))
    assert berth is not None
    placement = berth.placement(generation=3, now=17)
    assert dict(placement.spans) == {"spine": 1, "leaf": 2, "node": 6}
    assert (placement.pool, placement.level, placement.generation, placement.admitted_at) == ("h800", "spine", 3, 17)
    assert not placement.pods_created


A_POOL = drawn("spine-0\n  leaf-0  8 8 8 8", name="a100")
FULL = drawn("spine-0\n  leaf-0  0 0 0 8", name="full", first=10)
WIDE = drawn("spine-0\n  leaf-0  8 8\n  leaf-1  8 8", name="wide", first=20)
SIZED = drawn("spine-0\n  leaf-0  8 8 8 8", name="sized", first=30, sizes=(8,), sizes_alone=(1, 8))
BROKEN = drawn("spine-0\n  leaf-0  8 8 8 8", name="broken", first=40, problem="its profile is unknown")
NO_LEVELS = drawn("8 8 8 8", name="flat", levels=(), first=50)


@pytest.mark.parametrize(
    ("gang", "pools", "chosen"),
    [
        pytest.param(a_gang(4), (WIDE, A_POOL), "a100", id="none listed: the narrowest place"),
        pytest.param(a_gang(2), (WIDE, A_POOL), "a100", id="none listed, equally narrow: the first by name"),
        pytest.param(a_gang(4, pools=("wide", "a100")), (WIDE, A_POOL), "wide", id="listed: the first that has room"),
        pytest.param(a_gang(4, pools=("full", "a100")), (FULL, A_POOL), "a100", id="listed: the next if it is full"),
        pytest.param(a_gang(2, pools=("full",)), (FULL, A_POOL), None, id="listed: no other"),
        pytest.param(a_gang(2, pools=("gone", "a100")), (A_POOL,), "a100", id="an unknown pool is passed over"),
        pytest.param(a_gang(2, 4), (SIZED,), None, id="a size that a gang may not have here"),
        pytest.param(a_gang(1, 1), (SIZED,), "sized", id="a size that a single replica may have"),
        pytest.param(a_gang(1, 4), (SIZED,), None, id="a size that nobody may have"),
        pytest.param(a_gang(2), (BROKEN,), None, id="a pool with a problem"),
        pytest.param(a_gang(2, inside="leaf"), (NO_LEVELS,), None, id="a pool without the level that is required"),
        pytest.param(a_gang(2, rather_inside="leaf"), (NO_LEVELS,), None, id="or preferred: it may be misspelt"),
        pytest.param(a_gang(2), (NO_LEVELS, WIDE), "flat", id="distance is counted from the node"),
        pytest.param(a_gang(2), (), None, id="no pool at all"),
    ],
)
def test_a_pool_is_chosen(gang: Gang, pools: tuple[Pool, ...], chosen: str | None) -> None:
    """Listed pools in the job's order; else wherever it is narrowest."""
    berth = find(gang, by_name(*pools))
    assert (berth and berth.pool.name) == chosen

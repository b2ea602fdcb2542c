"""The baselines' rules of placement, each on trees that are small enough to check by hand."""

from random import Random

import pytest

from berth.core.admission import find
from berth.core.model import Gang, Groups, Policy
from berth.core.placement import Rule, place
from berth.sim.case import Case
from berth.sim.policies import POLICIES
from berth.sim.policies.blind import ByName, MostAllocated, Scattered
from berth.sim.policies.hived import buddy_cells
from berth.sim.policies.kueue import kueue_best_fit
from berth.sim.policies.slurm import tree_best_fit
from tests.builders import GPU, LEVELS, a_gang, a_pool, by_name, drawn, node

EMPTY = """
    spine-0
      leaf-0  8 8 8 8
      leaf-1  8 8 8 8
    spine-1
      leaf-0  8 8 8 8
      leaf-1  8 8 8 8
"""
TWINS = """
    spine-0
      leaf-0  8 8
      leaf-1  8 8 8 8
    spine-1
      leaf-0  8 8
      leaf-1  8 0
"""
LARGE_AND_SMALL = """
    spine-0
      leaf-0  8 8 8 8
      leaf-1  8 8
    spine-1
      leaf-0  8 8 8
      leaf-1  8 8
"""
NEAR_AND_EXACT = """
    spine-0
      leaf-0  8 8
      leaf-1  8
    spine-1
      leaf-0  8 8 8 8
      leaf-1  8 8 8 8
"""
CRUMBS = """
    spine-0
      leaf-0  8 8 8
      leaf-1  8
      leaf-2  8
    spine-1
      leaf-0  8 8
      leaf-1  8 8
"""
KEP_RACK = """
    spine-0
      leaf-0  3 3 2 1
"""
SPLIT_AND_EXACT = """
    spine-0
      leaf-0  8 8
      leaf-1  8 8 8 0
"""
UNEVEN_WHOLE = """
    spine-0
      leaf-0  8 8 8 8
      leaf-1  8 8 8
"""
SPLIT_SPINE = """
    spine-0
      leaf-0  8 8 8 8
      leaf-1  8 8 8 8
    spine-1
      leaf-0  8 8 8 8
      leaf-1  0 0 0 0
"""
TWO_WHOLE_ONE_SPLIT = """
    spine-0
      leaf-0  8 8 8 8
      leaf-1  8 8 8 8
      leaf-2  8 8 0 0
"""
SHARED = """
    spine-0
      leaf-0  2 8
      leaf-1  4 6
"""


def _ranks(rule: Rule, picture: str, gang: Gang, seed: int = 0) -> str:
    berth = find(gang, by_name(drawn(picture)), rule=rule)
    return "nowhere" if berth is None else " ".join(berth.placement(1, 0).nodes)


SLURM = [
    pytest.param(EMPTY, a_gang(3), "n0 n1 n2", id="the lowest switch that holds the job is a leaf"),
    pytest.param(TWINS, a_gang(2), "n0 n1", id="of equal leaves the first, under whichever spine"),
    pytest.param(TWINS, a_gang(1), "n8", id="one node goes to the leaf with the fewest available"),
    pytest.param(LARGE_AND_SMALL, a_gang(5), "n6 n7 n8 n9 n10", id="no leaf holds it: the smallest spine that does"),
    pytest.param(
        LARGE_AND_SMALL, a_gang(6), "n0 n1 n2 n3 n4 n5", id="its leaf with the most first, then what just fits"
    ),
    pytest.param(NEAR_AND_EXACT, a_gang(6), "n3 n4 n5 n6 n7 n8", id="a near leaf comes before one that fits exactly"),
    pytest.param(EMPTY, a_gang(10), "n0 n1 n2 n3 n4 n5 n6 n7 n8 n9", id="no spine holds it: one after the other"),
    pytest.param(
        NEAR_AND_EXACT, a_gang(9), "n2 n3 n4 n5 n6 n7 n8 n9 n10", id="the larger spine, then a leaf that fits"
    ),
    pytest.param(
        LARGE_AND_SMALL, a_gang(2, inside="spine"), "n9 n10", id="a required spine: the one with the least room"
    ),
    pytest.param(TWINS, a_gang(7, inside="spine"), "nowhere", id="no spine has seven"),
    pytest.param(SHARED, a_gang(3, 2, inside="node"), "n3 n3 n3", id="a required node: the one with the least room"),
    pytest.param(SHARED, a_gang(4, 2), "n0 n1 n1 n1", id="a leaf's nodes give all they have, in their order"),
]
KUEUE = [
    pytest.param(KEP_RACK, a_gang(7, 1), "n0 n0 n0 n1 n1 n1 n3", id="the example of the KEP"),
    pytest.param(TWINS, a_gang(2), "n0 n1", id="of equal racks the first"),
    pytest.param(TWINS, a_gang(1), "n8", id="one pod goes to the rack with the least room"),
    pytest.param(LARGE_AND_SMALL, a_gang(5), "n6 n7 n8 n9 n10", id="no rack holds it: the tightest block"),
    pytest.param(CRUMBS, a_gang(7), "n0 n1 n2 n5 n6 n7 n8", id="children of all chosen blocks are filled as one list"),
    pytest.param(
        LARGE_AND_SMALL, a_gang(2, inside="spine"), "n9 n10", id="a required block: the one with the least room"
    ),
    pytest.param(TWINS, a_gang(7, inside="spine"), "nowhere", id="no block has seven"),
    pytest.param(SHARED, a_gang(4, 2, inside="node"), "n1 n1 n1 n1", id="a required host"),
    pytest.param(EMPTY, a_gang(17), "nowhere", id="more than there is"),
]
HIVED = [
    pytest.param(SPLIT_AND_EXACT, a_gang(2), "n2 n3", id="a split cell before a whole one that it would just fill"),
    pytest.param(UNEVEN_WHOLE, a_gang(2), "n4 n5", id="of whole cells the smallest is split"),
    pytest.param(SPLIT_AND_EXACT, a_gang(1), "n2", id="a node of a split leaf"),
    pytest.param(SPLIT_SPINE, a_gang(3), "n8 n9 n10", id="a whole leaf under a split spine before one under a whole"),
    pytest.param(EMPTY, a_gang(6), "n0 n1 n2 n3 n4 n5", id="a whole child cell, and the rest in one more"),
    pytest.param(TWO_WHOLE_ONE_SPLIT, a_gang(5), "n0 n1 n2 n3 n8", id="the rest in a split cell"),
    pytest.param(SHARED, a_gang(1, 2), "n0", id="a split node"),
    pytest.param(TWINS, a_gang(7, inside="spine"), "nowhere", id="no spine has seven"),
]


@pytest.mark.parametrize(("picture", "gang", "ranks"), SLURM)
def test_slurm_takes_the_lowest_switch_and_leaf_after_leaf(picture: str, gang: Gang, ranks: str) -> None:
    """Nodes as `topology/tree` gives them."""
    assert _ranks(tree_best_fit, picture, gang) == ranks


@pytest.mark.parametrize(("picture", "gang", "ranks"), KUEUE)
def test_kueue_takes_the_tightest_domain_of_its_level_and_walks_down(picture: str, gang: Gang, ranks: str) -> None:
    """Nodes as `BestFit` gives them."""
    assert _ranks(kueue_best_fit, picture, gang) == ranks


@pytest.mark.parametrize(("picture", "gang", "ranks"), HIVED)
def test_hived_takes_split_cells_before_whole_ones(picture: str, gang: Gang, ranks: str) -> None:
    """Nodes as buddy cells give them."""
    assert _ranks(buddy_cells, picture, gang) == ranks


def test_berth_and_slurm_differ_between_equals() -> None:
    """Of equal leaves Berth takes the one under the fuller spine, Slurm the first of its table."""
    assert _ranks(place, TWINS, a_gang(2)) == "n6 n7"
    assert _ranks(tree_best_fit, TWINS, a_gang(2)) == "n0 n1"


def test_name_order_is_by_name_and_not_by_place() -> None:
    """The first names by value, though they lie under different spines."""
    names = {"spine-0": ("n2", "n0", "n11"), "spine-1": ("n1", "n3", "n10")}
    pool = a_pool("h800", LEVELS, [node(n, spine, "leaf-0") for spine, found in names.items() for n in found])
    rule = ByName().place
    taken = {replicas: find(a_gang(replicas), by_name(pool), rule=rule) for replicas in (2, 5)}
    assert {k: sorted(b.placement(1, 0).nodes) for k, b in taken.items() if b} == {
        2: ["n0", "n1"],
        5: ["n0", "n1", "n10", "n2", "n3"],
    }
    within = find(a_gang(3, inside="spine"), by_name(pool), rule=rule)
    assert within is not None
    assert sorted(within.placement(1, 0).nodes) == ["n0", "n11", "n2"]


def test_a_required_domain_of_name_order_is_that_of_the_first_node_whose_domain_has_room() -> None:
    """The first node by name lies under a spine that is too small, so its spine is passed over."""
    names = {"spine-0": ("n0",), "spine-1": ("n1", "n2")}
    pool = a_pool("h800", LEVELS, [node(n, spine, "leaf-0") for spine, found in names.items() for n in found])
    found = find(a_gang(2, inside="spine"), by_name(pool), rule=ByName().place)
    assert found is not None
    assert found.placement(1, 0).nodes == ("n1", "n2")


def test_most_allocated_fills_what_is_fullest() -> None:
    """Of nodes with room for 1, 4, 2 and 3 replicas, three go to the one with one and the one with two."""
    assert _ranks(MostAllocated(0).place, SHARED, a_gang(3, 2)) == "n0 n2 n2"


def test_most_allocated_draws_between_equals() -> None:
    """All free nodes score alike for replicas that take whole nodes: every one of them is drawn sooner or later."""
    rule = MostAllocated(7).place
    assert {_ranks(rule, TWINS, a_gang(1)) for _ in range(200)} == {f"n{number}" for number in range(9)}


def test_a_random_set_is_drawn_from_all_and_told_by_the_seed() -> None:
    """Every node comes up; the same seed gives the same sets; a required spine is kept to."""
    drawn_sets = [_ranks(rule, TWINS, a_gang(3)) for rule in [Scattered(5).place] for _ in range(100)]
    again = [_ranks(rule, TWINS, a_gang(3)) for rule in [Scattered(5).place] for _ in range(100)]
    assert drawn_sets == again
    assert {name for ranks in drawn_sets for name in ranks.split()} == {f"n{number}" for number in range(9)}
    rule = Scattered(5).place
    within = {_ranks(rule, TWINS, a_gang(3, inside="spine")) for _ in range(100)}
    assert {frozenset(ranks.split()) <= {"n0", "n1", "n2", "n3", "n4", "n5"} for ranks in within} == {True, False}
    assert all(len({int(name[1:]) > 5 for name in ranks.split()}) == 1 for ranks in within)


@pytest.mark.parametrize("name", POLICIES)
def test_groups_are_kept_together_by_every_rule(name: str) -> None:
    """A gang of two groups of three, each within a leaf, has them so whoever places it."""
    gang = Gang(replicas=6, devices=8, groups=Groups(3, "leaf"), policy=Policy.PREFERRED)
    for seed in range(10):
        pool = drawn(EMPTY)
        taken = Random(seed).sample(range(16), 6)
        for position in taken:
            pool.ledger.set_used(position, {GPU: 8})
        berth = find(gang, by_name(pool), rule=POLICIES[name].rule(seed))
        if berth is not None:
            ranks = berth.fit.ranks()
            assert all(len({position // 4 for position in ranks[at : at + 3]}) == 1 for at in (0, 3))
            assert not set(ranks) & set(taken)


def test_an_unknown_queue_is_refused_with_those_that_there_are() -> None:
    """The name given and the names known."""
    with pytest.raises(ValueError, match="there is no 'fair'; there are any-fit, conservative"):
        POLICIES["hived"](Case(name="c", policy="hived", fleets=(), tasks=(), queue="fair"))

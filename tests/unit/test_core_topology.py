"""The network tree: order, domains, and the odd shapes that real labels make."""

import random

import pytest

from berth.core.explain import domain_name
from berth.core.topology import Tree, natural
from tests.builders import node


@pytest.mark.parametrize(
    "ordered",
    [
        ["h2", "h10"],
        ["h", "h0", "h001", "h01", "h1", "h2"],
        ["rack-1-node-9", "rack-1-node-10", "rack-10-node-1"],
        ["7", "10", "a", "a7"],
        ["a", "a-1", "a-b", "b"],
        ["leaf", "leaf-2", "leaf-2b", "leaf-10"],
        ["²", "³"],
        ["x9" * 30, "x9" * 30 + "0"],
    ],
)
def test_numbers_in_names_are_ordered_by_value(ordered: list[str]) -> None:
    """Names sort as people count, whatever is in them, and no two names are equal in order."""
    assert sorted(random.Random(7).sample(ordered, len(ordered)), key=natural) == ordered
    assert len({natural(name) for name in ordered}) == len(ordered)


def test_nodes_stand_in_network_order_whatever_order_they_come_in() -> None:
    """Sorted by the path of their domains, then by name: neighbours in the network are neighbours in the list."""
    nodes = [
        node("n10", "spine-2", "leaf-1"),
        node("n9", "spine-2", "leaf-1"),
        node("n1", "spine-10", "leaf-0"),
        node("n2", "spine-2", "leaf-0"),
    ]
    for seed in range(5):
        tree, ordered = Tree.build("h800", ("spine", "leaf"), random.Random(seed).sample(nodes, 4))
        assert [n.name for n in ordered] == ["n2", "n9", "n10", "n1"]
        assert tree.domains[1] == ("spine-2", "spine-10")
        assert tree.position == {"n2": 0, "n9": 1, "n10": 2, "n1": 3}


def test_every_domain_is_a_range_of_nodes() -> None:
    """From the pool down to one node, a domain is two integers."""
    nodes = [node(f"n{i}", f"spine-{i // 4}", f"leaf-{i // 2}") for i in range(8)]
    tree, _ = Tree.build("h800", ("spine", "leaf"), nodes)
    assert tree.nodes(0, 0) == range(8)
    assert tree.nodes(1, 1) == range(4, 8)
    assert tree.nodes(2, 2) == range(4, 6)
    assert tree.nodes(3, 5) == range(5, 6)
    assert tree.children(1, 1) == range(2, 4)
    assert tree.above(5) == [0, 1, 2, 5]


def test_an_empty_pool_is_a_tree_of_one_domain() -> None:
    """A pool without nodes has its levels, no domain at any of them, and breaks nothing."""
    tree, ordered = Tree.build("h800", ("spine", "leaf"), [])
    assert ordered == []
    assert tree.domains == (("h800",), (), (), ())
    assert tree.nodes(0, 0) == range(0)
    assert tree.children(0, 0) == range(0)


def test_a_flat_pool_has_its_nodes_right_below_it() -> None:
    """A pool without levels is the pool and its nodes."""
    tree, _ = Tree.build("h800", (), [node("n1"), node("n0")])
    assert tree.levels == ("h800", "node")
    assert tree.leaf_level == 1
    assert tree.children(0, 0) == range(2)
    assert tree.above(1) == [0, 1]


def test_a_leaf_name_that_repeats_under_another_spine_is_another_leaf() -> None:
    """A domain is its whole path."""
    nodes = [node(f"n{i}", f"spine-{i}", "leaf-0") for i in range(3)]
    tree, _ = Tree.build("h800", ("spine", "leaf"), nodes)
    assert tree.domains[2] == ("leaf-0", "leaf-0", "leaf-0")
    assert [domain_name(tree, 2, d) for d in range(3)] == ["spine-0/leaf-0", "spine-1/leaf-0", "spine-2/leaf-0"]


def test_equal_names_on_different_levels_do_not_meet() -> None:
    """A spine may be called like a leaf, and both like a node."""
    tree, _ = Tree.build("a", ("spine", "leaf"), [node("a", "a", "a"), node("b", "a", "b")])
    assert tree.domains == (("a",), ("a",), ("a", "b"), ("a", "b"))
    assert tree.above(1) == [0, 0, 1, 1]


def test_a_level_called_like_the_pool_is_found_below_the_pool() -> None:
    """Level 0 is the pool itself and has no name among the levels."""
    tree, _ = Tree.build("leaf", ("spine", "leaf"), [node("n0", "s", "l")])
    assert tree.level("leaf") == 2
    assert tree.level("spine") == 1
    assert tree.level("node") == 3
    assert tree.level("rack") is None
    other, _ = Tree.build("h800", ("spine",), [node("n0", "s")])
    assert other.level("h800") is None


def test_a_path_of_another_length_is_a_bug_that_speaks_up() -> None:
    """Whoever builds the tree finds out at once, not by a wrong placement."""
    with pytest.raises(AssertionError, match="n0"):
        Tree.build("h800", ("spine", "leaf"), [node("n0", "spine-0")])

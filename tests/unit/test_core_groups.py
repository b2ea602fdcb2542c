"""Ranks that belong together in groups: where they sit, and what a job hears that has no room for them."""

from berth.core.admission import find
from berth.core.model import Gang
from berth.core.plan import Reason
from berth.core.waiting import refused
from tests.builders import a_gang, by_name, drawn

FRAGMENTED = """
    spine-0
      leaf-0  8 8 8 0
      leaf-1  8 8 8 0
    spine-1
      leaf-2  8 8 0 0
      leaf-3  8 8 8 8
    """


def nodes(gang: Gang, picture: str = FRAGMENTED) -> list[str] | None:
    """Nodes by rank."""
    berth = find(gang, by_name(drawn(picture)))
    return None if berth is None else list(berth.placement(1, 0).nodes)


def test_every_group_is_in_one_leaf() -> None:
    """Without groups the gang would sit in spine-0, which has room for six, with a pair torn over two leaves."""
    assert nodes(a_gang(6)) == ["n0", "n1", "n2", "n4", "n5", "n6"]
    assert nodes(a_gang(6, groups=(2, "leaf"))) == ["n8", "n9", "n12", "n13", "n14", "n15"]


def test_a_gang_that_fits_one_domain_of_its_groups_sits_there() -> None:
    """Then every group is in one, too, and the narrowest place is best."""
    assert nodes(a_gang(4, groups=(2, "leaf"))) == ["n12", "n13", "n14", "n15"]
    assert nodes(a_gang(2, 4, groups=(2, "node"))) == ["n8", "n8"]


def test_groups_of_one_node_share_it() -> None:
    """Four halves of nodes, in pairs."""
    assert nodes(a_gang(4, 4, groups=(2, "node"))) == ["n8", "n8", "n9", "n9"]


def test_groups_and_a_level_for_the_whole_are_both_kept() -> None:
    """Six groups of two lie under two spines, not under one."""
    assert nodes(a_gang(10, groups=(2, "leaf"))) is not None
    assert nodes(a_gang(10, inside="spine", groups=(2, "leaf"))) is None


def test_what_is_missing_is_told_in_groups() -> None:
    """And what would help was tried: without groups, with fewer of them."""
    gang = a_gang(8, inside="spine", groups=(4, "leaf"), pools=("h800",))
    pools = by_name(drawn(FRAGMENTED.replace("8 8 8 0", "8 8 8 8", 1)))
    told = refused(gang, pools)
    assert told.reason is Reason.TOPOLOGY_BLOCKED
    assert told.message == (
        "needs 2 free groups of 4 nodes, each under one leaf, all under one spine; "
        "the most free is 1 under spine-0 (of 2)"
    )
    assert tuple(map(str, told.nearest)) == (
        "topology.policy Preferred: could start now over 2 spines",
        "replicas 4: could start now under spine-1/leaf-3",
    )


def test_groups_that_no_domain_could_hold_are_too_large() -> None:
    """However empty the pool is; without groups it could start."""
    told = refused(a_gang(10, groups=(5, "leaf")), by_name(drawn(FRAGMENTED)))
    assert told.reason is Reason.TOO_LARGE
    assert told.message == "needs 2 groups of 5 nodes, each under one leaf; pool h800 has 0"
    assert tuple(map(str, told.nearest)) == ("no topology.groups: could start now in pool h800",)


def test_too_few_nodes_are_told_as_such() -> None:
    """The groups are not what keeps it."""
    told = refused(a_gang(14, groups=(2, "leaf")), by_name(drawn(FRAGMENTED)))
    assert told.reason is Reason.INSUFFICIENT_DEVICES
    assert told.message.startswith("needs 7 groups of 2 nodes, each under one leaf; 5 of 8 are free in pool h800")


def test_groups_of_a_level_that_a_pool_lacks_are_refused_by_name() -> None:
    """With the field and what there is."""
    told = refused(a_gang(4, groups=(2, "rack")), by_name(drawn(FRAGMENTED)))
    assert told.reason is Reason.UNKNOWN_LEVEL
    assert told.message == "pool h800 has no level rack (spec.topology.groups.level); it has spine, leaf, node"

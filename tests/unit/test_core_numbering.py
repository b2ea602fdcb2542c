"""Pools whose devices are chosen by id: what is free, what stands in the way, and that forks keep apart."""

from dataclasses import replace

import pytest

from berth.core.admission import Pool, find, refusal
from berth.core.layout import UNKNOWN, ids_of, mask_of
from berth.core.model import Health, Node
from berth.core.numbering import Numbering
from berth.core.plan import Reason
from berth.core.slots import Ledger
from berth.core.topology import Tree
from tests.builders import a_gang, node
from tests.properties.laying import LAYOUTS

NPU = "huawei.com/Ascend910"
RINGS = Numbering(NPU, LAYOUTS["ascend-910a-8"])


def ascend(name: str, devices: int = 8, *, broken: tuple[int, ...] = (), offline: tuple[int, ...] = ()) -> Node:
    made = node(name, devices=devices, resource=NPU)
    health = Health(mask_of(broken), mask_of(offline))
    return replace(made, health=health) if broken or offline else made


def a_pool(*nodes: Node, taken: tuple[tuple[int, ...] | None, ...] = ()) -> Pool:
    """A flat pool; `taken` devices by node, None where somebody has some and does not say which."""
    tree, ordered = Tree.build("a910", (), nodes)
    used = [{NPU: len(ids) if ids is not None else 1} for ids in taken] or [{} for _ in ordered]
    held = [mask_of(ids) if ids is not None else UNKNOWN for ids in taken] or [0 for _ in ordered]
    return Pool("a910", NPU, Ledger(tree, ordered, [*used], numbering=RINGS, held=held), sizes=(1, 2, 4, 8))


def test_a_berth_says_which_devices_every_replica_gets() -> None:
    """Two replicas of one node get two rings, in rank order."""
    found = find(a_gang(3, 4), {"a910": a_pool(ascend("n0"), ascend("n1"), taken=((4,), ()))})
    assert found is not None
    assert [ids_of(mask) for mask in found.placement(1, 0).devices] == [(0, 1, 2, 3), (0, 1, 2, 3), (4, 5, 6, 7)]
    assert found.placement(1, 0).nodes == ("n0", "n1", "n1")


def test_what_is_taken_is_not_given_again() -> None:
    """In one cycle, one gang after the other; at the end nothing is left, and everybody has his own."""
    pools = {"a910": a_pool(ascend("n0"), taken=((1,),))}
    given = []
    while (berth := find(a_gang(1, 1), pools)) is not None:
        berth.take()
        given += [*ids_of(berth.devices[0])]
    assert sorted(given) == [0, 2, 3, 4, 5, 6, 7]
    assert pools["a910"].ledger.held == [RINGS.layout.all]


def test_where_the_plugin_chooses_a_placement_names_no_devices() -> None:
    """There is nothing to name."""
    tree, nodes = Tree.build("h800", (), [node("n0")])
    berth = find(a_gang(1, 8), {"h800": Pool("h800", "nvidia.com/gpu", Ledger(tree, nodes))})
    assert berth is not None
    assert berth.placement(1, 0).devices == ()


def test_broken_devices_are_left_out_where_it_is_known_which_they_are() -> None:
    """The node reports seven, its health names the eighth: the other ring is whole."""
    for devices in (7, 8):
        berth = find(a_gang(1, 4), {"a910": a_pool(ascend("n0", devices, broken=(1,)))})
        assert berth is not None
        assert ids_of(berth.devices[0]) == (4, 5, 6, 7)


def test_devices_without_network_are_for_replicas_that_are_alone() -> None:
    """In a gang each replica talks to the others."""
    pool = a_pool(ascend("n0", offline=(5,)), ascend("n1", offline=(1, 6)))
    alone = find(a_gang(1, 8), {"a910": pool})
    assert alone is not None
    assert find(a_gang(2, 8), {"a910": pool}) is None
    pair = find(a_gang(2, 2), {"a910": pool})
    assert pair is not None
    for mask, name in zip(pair.devices, pair.placement(1, 0).nodes, strict=True):
        assert not mask & mask_of({"n0": (5,), "n1": (1, 6)}[name])


def test_forks_do_not_see_which_devices_each_other_gives() -> None:
    """A plan that is thrown away has given nothing."""
    pool = a_pool(ascend("n0"))
    demand = a_gang(1, 4).demand(NPU)
    fork = pool.ledger.fork()
    fork.take(0, demand, 2)
    assert (pool.ledger.held, fork.held) == ([0], [RINGS.layout.all])
    assert (pool.ledger.index(demand).free[-1], fork.index(demand).free[-1]) == ([2], [0])


def test_taking_more_than_fits_is_a_bug() -> None:
    """Six devices of two rings hold one replica of four, whatever their number divided by four."""
    pool = a_pool(ascend("n0"), taken=((0, 4),))
    with pytest.raises(AssertionError, match="1 replicas planned, room for 0"):
        pool.ledger.take(0, a_gang(1, 4).demand(NPU), 1)


@pytest.mark.parametrize(
    ("nodes", "taken", "expected"),
    [
        pytest.param(
            (ascend("n0", 7),),
            (),
            "(1 of 1 node: 7 of 8 huawei.com/Ascend910 reported, it is not known which)",
            id="a node that reports fewer than it has",
        ),
        pytest.param(
            (ascend("n0"),),
            (None,),
            "(1 of 1 node: huawei.com/Ascend910 taken by a pod that does not say which)",
            id="a foreign pod without a list",
        ),
        pytest.param(
            (ascend("n0"),),
            ((0, 7),),
            "(1 of 1 node: no 4 of its 6 free devices lie within one group)",
            id="devices of two rings",
        ),
        pytest.param(
            (ascend("n0", 6, broken=(3,)),),
            (),
            "(1 of 1 node: 6 of 8 huawei.com/Ascend910 reported, it is not known which)",
            id="a node that reports fewer than its health explains",
        ),
        pytest.param(
            (ascend("n0", broken=(0, 4)),),
            (),
            "(1 of 1 node: no 4 of its 6 free devices lie within one group)",
            id="broken devices on both rings",
        ),
        pytest.param(
            (ascend("n0", broken=(0, 1, 2, 4, 5)),),
            (),
            "(1 of 1 node: 3 of 4 huawei.com/Ascend910 free and healthy)",
            id="too few that are healthy, though all are reported",
        ),
        pytest.param(
            (ascend("n0"),),
            ((0, 1, 2, 4, 5),),
            "(1 of 1 node: 3 of 4 huawei.com/Ascend910 free)",
            id="too few anyway",
        ),
    ],
)
def test_what_keeps_devices_from_being_chosen_is_told(
    nodes: tuple[Node, ...], taken: tuple[tuple[int, ...] | None, ...], expected: str
) -> None:
    """As any other reason for which a node takes nothing."""
    pools = {"a910": a_pool(*nodes, taken=taken)}
    assert find(a_gang(1, 4), pools) is None
    refused = refusal(a_gang(1, 4), pools)
    assert refused.reason in (Reason.INSUFFICIENT_DEVICES, Reason.TOO_LARGE)
    assert expected in refused.message

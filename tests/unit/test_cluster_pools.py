"""Which nodes belong to which pool, where they lie, and what is taken on them."""

from collections.abc import Mapping
from typing import Any

import pytest

from berth.accel.catalogue import Catalogue
from berth.api.pool import AcceleratorPool
from berth.cluster.claims import Claim
from berth.cluster.pool_facts import facts
from berth.cluster.pool_status import compose
from berth.cluster.pools import Pools, Requirement
from berth.core.model import Demand, Node
from tests.unit.wire_objects import GPU, a_node, pool_facts

H800 = {"pool": "h800", "spine": "s1", "leaf": "l1"}
ANY = (Requirement("pool", "Exists"),)


def a_pools(*pool: Any) -> Pools:
    pools = Pools()
    for one in pool:
        pools.set_pool(one)
    return pools


def node(name: str, labels: Mapping[str, str] | None = None, **more: Any) -> Node:
    return a_node(name, labels=H800 if labels is None else labels, **more).node


def names(pools: Pools, pool: str = "h800") -> list[str]:
    """Nodes that a cycle sees in a pool, in network order."""
    return [one.name for one in pools.snapshot()[pool].ledger.nodes]


def used(pools: Pools, name: str, pool: str = "h800") -> dict[str, int]:
    """What a cycle sees taken on a node."""
    ledger = pools.snapshot()[pool].ledger
    return dict(ledger.used[ledger.tree.position[name]])


@pytest.mark.parametrize(
    ("requirement", "labels", "expected"),
    [
        (Requirement("a", "In", frozenset({"1", "2"})), {"a": "2"}, True),
        (Requirement("a", "In", frozenset({"1"})), {"a": "2"}, False),
        (Requirement("a", "In", frozenset({"1"})), {}, False),
        (Requirement("a", "NotIn", frozenset({"1"})), {"a": "2"}, True),
        (Requirement("a", "NotIn", frozenset({"1"})), {"a": "1"}, False),
        (Requirement("a", "NotIn", frozenset({"1"})), {}, True),
        (Requirement("a", "Exists"), {"a": ""}, True),
        (Requirement("a", "Exists"), {}, False),
        (Requirement("a", "DoesNotExist"), {}, True),
        (Requirement("a", "DoesNotExist"), {"a": "1"}, False),
    ],
)
def test_a_selector_clause_means_what_it_means_in_kubernetes(
    requirement: Requirement, labels: dict[str, str], expected: bool
) -> None:
    """NotIn is satisfied by a node without the label, In is not."""
    assert expected == requirement.matches(labels)


def test_an_unknown_operator_is_refused() -> None:
    """The schema has four; a fifth must not silently select all or nothing."""
    with pytest.raises(ValueError, match="'Gt' is none of In, NotIn, Exists, DoesNotExist"):
        Requirement("a", "Gt").matches({})


def test_all_clauses_have_to_hold() -> None:
    """A selector is a conjunction."""
    pool = pool_facts(selector=(Requirement("pool", "Exists"), Requirement("old", "DoesNotExist")))
    assert pool.selects({"pool": "h800"})
    assert not pool.selects({"pool": "h800", "old": ""})


def test_of_several_labels_for_a_level_the_first_that_a_node_carries_counts() -> None:
    """Tools and clouds differ in what they call a leaf; an empty value is as good as none."""
    pool = pool_facts(levels=(("spine", ("new/spine", "old/spine")), ("leaf", ("leaf",))))
    assert pool.path({"old/spine": "s2", "leaf": "l1"}) == ("s2", "l1")
    assert pool.path({"new/spine": "s1", "old/spine": "s2", "leaf": "l1"}) == ("s1", "l1")
    assert pool.path({"new/spine": "", "old/spine": "s2", "leaf": "l1"}) == ("s2", "l1")
    assert pool.path({"new/spine": "s1"}) is None


def test_a_flat_pool_has_nodes_and_no_levels() -> None:
    """Every node lies in the pool itself."""
    pools = a_pools(pool_facts(levels=()))
    pools.set_node(node("n2", {"pool": "h800"}))
    pools.set_node(node("n10", {"pool": "h800"}))
    assert names(pools) == ["n2", "n10"]


def test_a_node_that_lacks_a_level_is_left_out_and_told() -> None:
    """It takes nothing: where it lies is not known. Once it has the label it is in."""
    pools = a_pools(pool_facts())
    pools.set_node(node("n1"))
    pools.set_node(node("n2", {"pool": "h800", "spine": "s1"}))
    assert names(pools) == ["n1"]
    status = compose(next(iter(pools.members())), pools, before=None, now=0).wire()
    incomplete = next(c for c in status["conditions"] if c["type"] == "TopologyIncomplete")
    assert (incomplete["status"], incomplete["reason"]) == ("True", "LabelsMissing")
    assert incomplete["message"] == "1 node (n2) left out, for want of a label of some level (spine: spine; leaf: leaf)"
    assert status["devices"] == {"total": 16, "free": 8, "used": 0, "unavailable": 8}
    assert status["nodes"] == {"total": 2, "ready": 1}
    pools.set_node(node("n2"))
    assert names(pools) == ["n1", "n2"]


def test_a_node_that_two_pools_select_belongs_to_the_older_one() -> None:
    """In whichever order they came to be known; of equal age, the one that is first by name."""
    young, old = pool_facts("young", created=9, selector=ANY), pool_facts("old", created=5, selector=ANY)
    for order in ((young, old), (old, young)):
        pools = a_pools(*order)
        pools.set_node(node("n1"))
        assert (names(pools, "young"), names(pools, "old")) == ([], ["n1"])
        overlapping = {m.facts.name: m.overlapping for m in pools.members()}
        assert overlapping == {"old": {}, "young": {"n1": "old"}}
    twins = a_pools(pool_facts("b", selector=ANY), pool_facts("a", selector=ANY))
    twins.set_node(node("n1"))
    assert (names(twins, "a"), names(twins, "b")) == (["n1"], [])


def test_a_pool_made_later_but_created_earlier_takes_its_nodes_back() -> None:
    """Events of pools come in any order."""
    pools = a_pools(pool_facts("young", created=9, selector=ANY))
    pools.set_node(node("n1"))
    assert names(pools, "young") == ["n1"]
    pools.set_pool(pool_facts("old", created=5, selector=ANY))
    assert (names(pools, "young"), names(pools, "old")) == ([], ["n1"])
    pools.drop_pool("old")
    assert names(pools, "young") == ["n1"]


def test_a_node_moves_with_its_labels() -> None:
    """To another place in the network, to another pool, out of all of them; what is taken there moves with it."""
    pools = a_pools(pool_facts(), pool_facts("h20", selector=(Requirement("pool", "In", frozenset({"h20"})),)))
    pools.claim("n1", "pod", Claim(((GPU, 4),)))
    pools.set_node(node("n1"))
    pools.set_node(node("n2", {**H800, "leaf": "l2"}))
    assert names(pools) == ["n1", "n2"]
    pools.set_node(node("n1", {**H800, "leaf": "l3"}))
    assert names(pools) == ["n2", "n1"]
    pools.set_node(node("n1", {**H800, "pool": "h20"}))
    assert (names(pools), names(pools, "h20")) == (["n2"], ["n1"])
    assert used(pools, "n1", "h20") == {GPU: 4}
    pools.set_node(node("n1", {}))
    assert (names(pools), names(pools, "h20")) == (["n2"], [])


def test_a_node_that_goes_and_comes_back_has_taken_on_it_what_it_had() -> None:
    """Its pods may outlive its object."""
    pools = a_pools(pool_facts())
    pools.set_node(node("n1"))
    pools.claim("n1", "pod", Claim(((GPU, 4),)))
    pools.drop_node("n1")
    assert names(pools) == []
    pools.set_node(node("n1"))
    assert used(pools, "n1") == {GPU: 4}


def test_a_node_that_is_resized_or_cordoned_keeps_its_place() -> None:
    """Nothing is built anew for it: counts that were asked for before are brought up to date."""
    pools = a_pools(pool_facts())
    for name in ("n1", "n2"):
        pools.set_node(node(name))
    demand = Demand(((GPU, 8), ("pods", 1)))
    assert pools.snapshot()["h800"].ledger.index(demand).free[0][0] == 2
    pools.set_node(node("n1", spec={"unschedulable": True}))
    tree = pools.snapshot()["h800"].ledger.tree
    assert pools.snapshot()["h800"].ledger.index(demand).free[0][0] == 1
    pools.set_node(node("n1", gpus="16"))
    after = pools.snapshot()["h800"].ledger
    assert (3, tree) == (after.index(demand).free[0][0], after.tree)
    assert tree is after.tree


def test_claims_are_counted_once_for_each_claimant() -> None:
    """Told twice, told anew, released twice: the sum is that of the last word of each."""
    pools = a_pools(pool_facts())
    pools.set_node(node("n1"))
    pools.claim("n1", "a", Claim(((GPU, 2), ("cpu", 500))))
    pools.claim("n1", "a", Claim(((GPU, 2), ("cpu", 500))))
    pools.claim("n1", "b", Claim(((GPU, 1),)))
    assert used(pools, "n1") == {GPU: 3, "cpu": 500}
    pools.claim("n1", "a", Claim(((GPU, 4),)))
    assert used(pools, "n1") == {GPU: 5}
    pools.release("n1", "a")
    pools.release("n1", "a")
    pools.release("n9", "a")
    assert used(pools, "n1") == {GPU: 1}


def test_an_old_snapshot_does_not_change_under_its_reader() -> None:
    """Nodes, usage, and counts that it was the first to ask for."""
    pools = a_pools(pool_facts())
    for name in ("n1", "n2"):
        pools.set_node(node(name))
    demand = Demand(((GPU, 8), ("pods", 1)))
    old = pools.snapshot()["h800"].ledger
    pools.claim("n1", "pod", Claim(((GPU, 8),)))
    pools.set_node(node("n2", spec={"unschedulable": True}))
    new = pools.snapshot()["h800"].ledger
    assert (old.index(demand).free[0][0], new.index(demand).free[0][0]) == (2, 0)
    assert ([dict(u) for u in old.used], [n.cordoned for n in old.nodes]) == ([{}, {}], [False, False])
    pools.drop_node("n2")
    pools.snapshot()
    assert [n.name for n in old.nodes] == ["n1", "n2"]


def test_a_pool_that_only_got_a_new_status_is_not_built_anew() -> None:
    """Its status is written every few seconds by Berth itself."""
    pools = a_pools(pool_facts(version=1))
    pools.set_node(node("n1"))
    tree = pools.snapshot()["h800"].ledger.tree
    assert not pools.set_pool(pool_facts(version=2))
    assert tree is pools.snapshot()["h800"].ledger.tree
    known = pools.facts("h800")
    assert known is not None
    assert known.version == 2
    assert pools.set_pool(pool_facts(version=3, levels=()))
    assert pools.snapshot()["h800"].ledger.tree.levels == ("h800", "node")


def test_the_name_of_a_device_is_remembered_when_its_pool_is_gone() -> None:
    """Gangs that run on its nodes still hold devices of that name."""
    pools = a_pools(pool_facts())
    assert (pools.resource("h800"), pools.resource("other")) == (GPU, None)
    pools.set_pool(pool_facts(version=2, resource="", problem=("UnknownProfile", "there is no profile h9000")))
    assert pools.resource("h800") == GPU
    pools.drop_pool("h800")
    assert pools.resource("h800") == GPU
    pools.set_pool(pool_facts(uid="another", resource="example.com/npu"))
    assert pools.resource("h800") == "example.com/npu"


def pool_object(**spec: Any) -> AcceleratorPool:
    metadata = {
        "name": "h800",
        "uid": "u",
        "generation": 4,
        "resourceVersion": "17",
        "creationTimestamp": "2026-11-22T03:00:00Z",
    }
    body = {"metadata": metadata, "spec": {"nodeSelector": {"matchLabels": {"pool": "h800"}}, **spec}}
    return AcceleratorPool.model_validate(body)


def test_what_is_kept_of_a_pool_has_its_profile_resolved() -> None:
    """Name of the device and legal sizes from the catalogue, levels and selector as written."""
    selector = {
        "matchLabels": {"b": "2", "a": "1"},
        "matchExpressions": [
            {"key": "c", "operator": "NotIn", "values": ["x", "y"]},
            {"key": "d", "operator": "Exists"},
        ],
    }
    levels = [{"level": "spine", "nodeLabels": ["s"]}, {"level": "leaf", "nodeLabels": ["l", "m"]}]
    found = facts(pool_object(profile="nvidia-h800", nodeSelector=selector, topology=levels), Catalogue.load())
    assert (found.name, found.uid, found.generation, found.version, found.created) == ("h800", "u", 4, 17, 1795316400)
    assert (found.resource, found.problem) == (GPU, None)
    assert found.levels == (("spine", ("s",)), ("leaf", ("l", "m")))
    assert found.selects({"a": "1", "b": "2", "c": "z", "d": ""})
    assert not found.selects({"a": "1", "b": "2", "c": "x", "d": ""})


def test_a_pool_whose_device_cannot_be_told_has_a_problem_that_says_why() -> None:
    """It has nodes and a tree, and takes nothing."""
    found = facts(pool_object(profile="nvidia-h8000"), Catalogue.load())
    assert found.problem is not None
    reason, text = found.problem
    assert reason == "UnknownProfile"
    assert "spec.profile: there is no profile nvidia-h8000 in the catalogue; did you mean nvidia-h800" in text
    pools = a_pools(found)
    assert text == pools.snapshot()["h800"].problem
    ready = compose(next(iter(pools.members())), pools, before=None, now=0).conditions[0]
    assert ("Ready", "False", "UnknownProfile", text) == (ready.type, ready.status, ready.reason, ready.message)


def condition(pools: Pools, kind: str, pool: str = "h800") -> tuple[str, str, str]:
    """Status, reason and message of one of a pool's conditions."""
    members = next(m for m in pools.members() if m.facts.name == pool)
    found = next(c for c in compose(members, pools, before=None, now=0).conditions if c.type == kind)
    return found.status, found.reason, found.message


def test_a_pool_without_nodes_or_devices_says_what_to_look_at() -> None:
    """The selector that selects nothing, or the plugin that counts nothing."""
    pools = a_pools(pool_facts())
    status, reason, text = condition(pools, "Ready")
    assert (status, reason) == ("False", "NoNodes")
    assert text.startswith("spec.nodeSelector selects no node; compare it with ")
    pools.set_node(node("n1", gpus="0"))
    text = "no node has nvidia.com/gpu; is the device plugin running, and is the resource's name right?"
    assert ("False", "NoDevices", text) == condition(pools, "Ready")
    pools.set_node(node("n1"))
    assert condition(pools, "Ready")[:2] == ("True", "Ready")


def test_a_pool_whose_nodes_belong_to_an_older_one_says_whose_they_are() -> None:
    """With the first of their names."""
    pools = a_pools(pool_facts("old", created=1, selector=ANY), pool_facts("h800", created=2))
    for number in range(1, 8):
        pools.set_node(node(f"n{number}"))
    text = "7 nodes (n1, n2, n3, n4, n5, …) selected by an older pool, too, and belong to it: old"
    assert ("True", "NodesTaken", text) == condition(pools, "Overlapping")
    assert condition(pools, "Overlapping", "old") == ("False", "Disjoint", "")


def test_a_pools_conditions_keep_their_times() -> None:
    """Until their status changes."""
    pools = a_pools(pool_facts())
    first = compose(next(iter(pools.members())), pools, before=None, now=100)
    pools.set_node(node("n1"))
    second = compose(next(iter(pools.members())), pools, before=first, now=200)
    assert [c.last_transition_time for c in second.conditions] == [200, 100, 100]

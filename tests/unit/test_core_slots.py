"""Who fits on a node, why not, and how many times."""

import pytest

from berth.core.explain import quantity
from berth.core.model import Demand, Gang, Node, Taint, Toleration
from berth.core.slots import Ledger, barrier, room, shortage, untolerated
from berth.core.topology import Tree
from tests.builders import GPU, a_gang, node, tolerates

NO_SCHEDULE = Taint("team", "infra", "NoSchedule")
NO_EXECUTE = Taint("team", "infra", "NoExecute")
GI = 1 << 30


@pytest.mark.parametrize(
    ("taint", "toleration", "covered"),
    [
        pytest.param(NO_SCHEDULE, tolerates("team", "infra"), True, id="same key and value"),
        pytest.param(NO_SCHEDULE, tolerates("team", "infra", operator=""), True, id="no operator means Equal"),
        pytest.param(NO_SCHEDULE, tolerates("team", "other"), False, id="another value"),
        pytest.param(NO_SCHEDULE, tolerates("team"), False, id="no value is not any value"),
        pytest.param(Taint("team", "", "NoSchedule"), tolerates("team"), True, id="no value on either side"),
        pytest.param(NO_SCHEDULE, tolerates("team", operator="Exists"), True, id="Exists covers every value"),
        pytest.param(NO_SCHEDULE, tolerates("rack", operator="Exists"), False, id="Exists of another key"),
        pytest.param(NO_SCHEDULE, tolerates("", operator="Exists"), True, id="Exists without a key covers all"),
        pytest.param(NO_SCHEDULE, tolerates("", "infra"), False, id="no key without Exists covers nothing"),
        pytest.param(NO_SCHEDULE, tolerates("team", "infra", effect="NoSchedule"), True, id="same effect"),
        pytest.param(NO_SCHEDULE, tolerates("team", "infra", effect="NoExecute"), False, id="another effect"),
        pytest.param(NO_EXECUTE, tolerates("team", "infra"), True, id="no effect covers every effect"),
        pytest.param(Taint("n", "5", "NoSchedule"), tolerates("n", "5", operator="Lt"), False, id="unknown operator"),
    ],
)
def test_tolerations_cover_taints_as_in_kubernetes(taint: Taint, toleration: Toleration, covered: bool) -> None:
    """Key, operator, value and effect count as they do for kube-scheduler; what it may not cover keeps a node out."""
    assert toleration.tolerates(taint) is covered
    assert (untolerated([taint], (toleration,)) is None) is covered


def test_a_soft_taint_keeps_nobody_out() -> None:
    """PreferNoSchedule is a preference of kube-scheduler, not a barrier."""
    assert untolerated([Taint("team", "infra", "PreferNoSchedule")], ()) is None


def test_the_first_taint_that_is_not_tolerated_is_named() -> None:
    """A toleration of one taint does not help against another."""
    second = Taint("rack", "", "NoExecute")
    assert untolerated([NO_SCHEDULE, second], (tolerates("team", "infra"),)) == second


@pytest.mark.parametrize(
    ("there", "selector", "why"),
    [
        pytest.param(node("n0"), {}, None, id="open"),
        pytest.param(node("n0", ready=False, cordoned=True), {}, "not ready", id="not ready comes first"),
        pytest.param(node("n0", cordoned=True, taints=(NO_SCHEDULE,)), {}, "cordoned", id="cordoned before its taint"),
        pytest.param(node("n0", taints=(NO_SCHEDULE,)), {}, "taint team=infra:NoSchedule", id="tainted"),
        pytest.param(
            node("n0", taints=(Taint("rack", "", "NoExecute"),)), {}, "taint rack:NoExecute", id="taint without value"
        ),
        pytest.param(node("n0", labels={"zone": "a"}), {"zone": "a"}, None, id="selected"),
        pytest.param(node("n0", labels={"zone": "b"}), {"zone": "a"}, "label zone is not a", id="another zone"),
        pytest.param(node("n0"), {"zone": ""}, "label zone is not ", id="a label that is missing is not an empty one"),
    ],
)
def test_a_barrier_says_why_a_node_takes_none(there: Node, selector: dict[str, str], why: str | None) -> None:
    """However empty a node is, it takes no replica from behind a barrier."""
    assert barrier(there, a_gang(1, selector=selector).demand(GPU)) == why


@pytest.mark.parametrize(
    ("used", "asked", "slots"),
    [
        pytest.param({}, a_gang(1, 8), 1, id="a whole node"),
        pytest.param({}, a_gang(1, 2), 4, id="four to a node"),
        pytest.param({GPU: 3}, a_gang(1, 2), 2, id="beside what is taken"),
        pytest.param({GPU: 9}, a_gang(1, 2), 0, id="overdrawn"),
        pytest.param({}, a_gang(1, 2, cpu=24_000), 2, id="cpu runs out first"),
        pytest.param({"pods": 109}, a_gang(1, 1), 1, id="pods run out first"),
        pytest.param({}, a_gang(1, 1, infiniband=1), 0, id="a resource that the node has not"),
        pytest.param({"memory": 9 * GI}, a_gang(1, 1, memory=0), 8, id="nothing asked of what is overdrawn"),
    ],
)
def test_slots_are_what_fits_in_every_resource(used: dict[str, int], asked: Gang, slots: int) -> None:
    """A node has as many slots as its scarcest resource allows, and never less than none."""
    there = node("n0", cpu=64_000, memory=8 * GI)
    assert room(there, used, asked.demand(GPU)) == slots


@pytest.mark.parametrize(
    ("used", "asked", "why"),
    [
        pytest.param({}, a_gang(1), None, id="room"),
        pytest.param({GPU: 5}, a_gang(1), f"3 of 8 {GPU} free", id="taken by others"),
        pytest.param({GPU: 12}, a_gang(1), f"0 of 8 {GPU} free", id="overdrawn is none, not less"),
        pytest.param({}, a_gang(1, rdma=1), "0 of 1 rdma", id="not there at all, so not `free` either"),
        pytest.param({"cpu": 500}, a_gang(1, cpu=64_000), "63.5 of 64 cpu free", id="cores"),
        pytest.param({"memory": 1}, a_gang(1, memory=8 * GI), "7.9Gi of 8Gi memory free", id="one byte short"),
        pytest.param({"memory": 9 * GI}, a_gang(1, memory=0), None, id="nothing asked of what is overdrawn"),
    ],
)
def test_a_shortage_names_resource_and_numbers(used: dict[str, int], asked: Gang, why: str | None) -> None:
    """The first resource that is short, in the units in which people write it."""
    there = node("n0", cpu=64_000, memory=8 * GI)
    assert shortage(there, used, asked.demand(GPU)) == why


@pytest.mark.parametrize(
    ("resource", "amount", "up", "text"),
    [
        ("cpu", 0, False, "0"),
        ("cpu", 64_000, False, "64"),
        ("cpu", 1_250, True, "1.25"),
        ("memory", 0, False, "0"),
        ("memory", 1023, False, "1023"),
        ("memory", 1024, False, "1Ki"),
        ("memory", 64 * GI, True, "64Gi"),
        ("memory", 64 * GI - 1, False, "63.9Gi"),
        ("memory", 64 * GI + 1, True, "64.1Gi"),
        ("memory", GI - 1, True, "1024Mi"),
        ("hugepages-2Mi", 4 << 20, False, "4Mi"),
        ("ephemeral-storage", 5 << 50, False, "5120Ti"),
        (GPU, 1024, False, "1024"),
    ],
)
def test_quantities_are_written_as_people_write_them(resource: str, amount: int, up: bool, text: str) -> None:
    """Bytes by binary prefix, cores in cores, else a number; rounded so that too little looks too little."""
    assert quantity(resource, amount, up=up) == text


def test_taking_what_is_not_there_is_a_bug_that_speaks_up() -> None:
    """A plan that gives a slot twice fails at once, and nothing of it is counted."""
    tree, nodes = Tree.build("h800", (), [node("n0")])
    ledger = Ledger(tree, nodes)
    demand = Demand(((GPU, 4),))
    ledger.take(0, demand, 2)
    with pytest.raises(AssertionError, match="n0: 1 replicas planned, room for 0"):
        ledger.take(0, demand, 1)
    assert dict(ledger.used[0]) == {GPU: 8}


def test_counts_are_kept_in_the_original_for_the_next_fork() -> None:
    """What one fork was the first to ask for, or to bring up to date, the next finds so."""
    tree, nodes = Tree.build("h800", (), [node("n0"), node("n1")])
    ledger, demand = Ledger(tree, nodes), Demand(((GPU, 8),))
    counted = ledger.fork().index(demand)
    assert ledger.fork().index(demand) is counted
    ledger.set_used(1, {GPU: 1})
    anew = ledger.fork().index(demand)
    assert ledger.fork().index(demand) is anew
    assert anew.free[0] == [1]
    assert counted.free[0] == [2]

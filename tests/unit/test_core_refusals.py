"""Why a gang cannot start: the exact sentence in each situation, and what would help."""

import pytest

from berth.core.admission import Pool, find
from berth.core.cycle import Snapshot, cycle
from berth.core.model import Gang
from berth.core.plan import Plan, Reason, Verb
from tests.builders import GPU, a_gang, a_job, a_pool, by_name, drawn, node

TORN = """
    spine-0
      leaf-0  8 0 0 0
      leaf-1  0 8 0 0
    spine-1
      leaf-0  0 0 8 0
      leaf-1  0 0 0 0
"""
OUT = """
    spine-0
      leaf-0  8 8c 8x 8t
      leaf-1  8 0 0c 8c
"""
SHARED = """
    spine-0
      leaf-0  2 8
      leaf-1  4 5
"""
H800 = drawn(TORN)
SMALL = drawn("spine-0\n  leaf-0  8 8", name="small", first=20)
FULL = drawn("spine-0\n  leaf-0  0 0 0", name="full", first=30)
CLOSED = drawn("spine-0\n  leaf-0  8c 8x", name="closed", first=40)
HALF = drawn("spine-0\n  leaf-0  8 8 8 8", name="half", first=50)
EMPTY = drawn("", name="empty")
FLAT = drawn("8 8 0", name="flat", levels=(), first=60)
SIZED = drawn("8 8 8 8", name="ascend", levels=(), first=70, sizes=(16,), sizes_alone=(1, 2, 4, 8, 16))
BROKEN = drawn("8", name="broken", levels=(), first=80, problem="no node matches spec.nodeSelector")
RACKS = drawn("r1  8 8 0\nr2  8 0 0", name="racks", levels=("rack",), first=90)
CPU = a_pool(
    "cpu", (), [node(f"c{i}", cpu=64_000, memory=512 << 30) for i in range(3)], used={"c0": {"cpu": 40_000, "pods": 3}}
)
MIXED = a_pool("mixed", (), [node("m0", devices=8), node("m1", devices=4), node("m2", devices=4)])
MANY = [drawn("0", name=f"p{i}", levels=(), first=100 + i) for i in range(10)]

ROWS = [
    # Nothing to run on
    ("no pool", a_gang(2), (), Reason.NO_POOL, "there is no AcceleratorPool in this cluster; create one", ()),
    (
        "a pool that is not there",
        a_gang(2, pools=("h900",)),
        (H800,),
        Reason.UNKNOWN_POOL,
        "no AcceleratorPool is called h900 (spec.pools); there is h800",
        ("pools [h800]: could start now under spine-0",),
    ),
    (
        "two pools that are not there, among many",
        a_gang(1, pools=("a", "b")),
        MANY,
        Reason.UNKNOWN_POOL,
        "no AcceleratorPool is called a or b (spec.pools); there is p0, p1, p2, p3, p4, p5, p6, p7 and 2 more",
        (),
    ),
    (
        "a pool that cannot be used",
        a_gang(2, pools=("broken",)),
        (BROKEN,),
        Reason.POOL_NOT_READY,
        "pool broken cannot be used: no node matches spec.nodeSelector",
        (),
    ),
    (
        "a pool without nodes",
        a_gang(2),
        (EMPTY,),
        Reason.TOO_LARGE,
        "needs 2 slots of 8 devices; pool empty has no node",
        (),
    ),
    (
        "a leaf of a pool without nodes",
        a_gang(2, inside="leaf"),
        (EMPTY,),
        Reason.TOO_LARGE,
        "needs 2 slots of 8 devices; pool empty has no node",
        (),
    ),
    # Asked for what the pool has not
    (
        "a size that a replica of a gang may not have",
        a_gang(2, 8),
        (SIZED,),
        Reason.SIZE_NOT_ALLOWED,
        "spec.devicesPerReplica is 8; in pool ascend a replica of a gang may have 16",
        (),
    ),
    (
        "a size that a single replica may not have",
        a_gang(1, 3),
        (SIZED,),
        Reason.SIZE_NOT_ALLOWED,
        "spec.devicesPerReplica is 3; in pool ascend a single replica may have 1, 2, 4, 8, 16",
        ("devicesPerReplica 2: could start now on node n70",),
    ),
    (
        "a level that the pool has not",
        a_gang(2, inside="rack"),
        (H800,),
        Reason.UNKNOWN_LEVEL,
        "pool h800 has no level rack (spec.topology.level); it has spine, leaf, node",
        (),
    ),
    (
        "a level of a flat pool",
        a_gang(2, rather_inside="leaf"),
        (FLAT,),
        Reason.UNKNOWN_LEVEL,
        "pool flat has no level leaf (spec.topology.level); it has node",
        (),
    ),
    # Too large, whatever is free
    (
        "more nodes than the pool has",
        a_gang(17),
        (H800,),
        Reason.TOO_LARGE,
        "needs 17 nodes; pool h800 has 16",
        ("replicas 3: could start now in pool h800",),
    ),
    (
        "more nodes than the pool has open",
        a_gang(4),
        (drawn(OUT),),
        Reason.INSUFFICIENT_DEVICES,
        (
            "needs 4 nodes; 3 of 7 are open in pool h800 "
            "(3 of 8 nodes: cordoned; 1: not ready; 1: taint team=infra:NoSchedule)"
        ),
        ("replicas 2: could start now under spine-0", "devicesPerReplica 4: could start now under spine-0"),
    ),
    (
        "more nodes than any leaf has",
        a_gang(5, inside="leaf"),
        (H800,),
        Reason.TOO_LARGE,
        "needs 5 nodes under one leaf; the most, under spine-0/leaf-0 of pool h800, is 4",
        ("replicas 1: could start now on node n10",),
    ),
    (
        "more than a node has",
        a_gang(3, 4, inside="node"),
        (H800,),
        Reason.TOO_LARGE,
        "needs 3 slots of 4 devices on one node; the most, on node n0 of pool h800, is 2",
        (
            "topology.policy Preferred: could start now over 2 nodes",
            "topology.level spine: could start now under spine-0",
            "replicas 2: could start now on node n10",
            "devicesPerReplica 2: could start now on node n10",
        ),
    ),
    (
        "a rack by a name that does not say so",
        a_gang(4, inside="rack"),
        (RACKS,),
        Reason.TOO_LARGE,
        "needs 4 nodes under one rack; the most, under rack r1 of pool racks, is 3",
        ("replicas 2: could start now under rack r1", "devicesPerReplica 4: could start now under rack r1"),
    ),
    (
        "more devices than most nodes have",
        a_gang(2),
        (MIXED,),
        Reason.TOO_LARGE,
        f"needs 2 nodes; pool mixed has 1 (2 of 3 nodes: 4 of 8 {GPU})",
        ("replicas 1: could start now on node m0", "replicas 4, devicesPerReplica 4: could start now in pool mixed"),
    ),
    (
        "more memory than any node has",
        a_gang(1, memory=1 << 40),
        (CPU,),
        Reason.TOO_LARGE,
        "needs 1 node; pool cpu has 0 (3 of 3 nodes: 512Gi of 1Ti memory)",
        ("requests.memory 512Gi: could start now on node c0",),
    ),
    (
        "a label that few nodes carry",
        a_gang(1, selector={"zone": "b"}),
        (CPU,),
        Reason.TOO_LARGE,
        "needs 1 node; pool cpu has 0 (3 of 3 nodes: label zone is not b)",
        (),
    ),
    # Taken by others
    (
        "not enough nodes are free",
        a_gang(4),
        (H800,),
        Reason.INSUFFICIENT_DEVICES,
        f"needs 4 nodes; 3 of 16 are free in pool h800 (13 of 16 nodes: 0 of 8 {GPU} free)",
        ("replicas 3: could start now in pool h800", "devicesPerReplica 4: could start now under spine-0"),
    ),
    (
        "only one is free",
        a_gang(3),
        (drawn("8 0 0 8c", levels=()),),
        Reason.INSUFFICIENT_DEVICES,
        f"needs 3 nodes; 1 of 3 is free in pool h800 (2 of 4 nodes: 0 of 8 {GPU} free; 1: cordoned)",
        ("replicas 1: could start now on node n0",),
    ),
    (
        "nothing is free",
        a_gang(1),
        (FULL,),
        Reason.INSUFFICIENT_DEVICES,
        f"needs 1 node; 0 of 3 are free in pool full (3 of 3 nodes: 0 of 8 {GPU} free)",
        (),
    ),
    (
        "slots smaller than a node",
        a_gang(5, 4),
        (drawn(SHARED),),
        Reason.INSUFFICIENT_DEVICES,
        f"needs 5 slots of 4 devices; 4 of 8 are free in pool h800 (1 of 4 nodes: 2 of 4 {GPU} free)",
        ("replicas 4: could start now under spine-0", "devicesPerReplica 2: could start now under spine-0/leaf-0"),
    ),
    (
        "one device for each",
        a_gang(20, 1),
        (drawn(SHARED),),
        Reason.INSUFFICIENT_DEVICES,
        "needs 20 slots of 1 device; 19 of 32 are free in pool h800",
        ("replicas 19: could start now under spine-0",),
    ),
    (
        "cores run out, not devices",
        a_gang(3, cpu=32_000),
        (CPU,),
        Reason.INSUFFICIENT_DEVICES,
        "needs 3 nodes; 2 of 3 are free in pool cpu (1 of 3 nodes: 24 of 32 cpu free)",
        (
            "requests.cpu 24: could start now in pool cpu",
            "replicas 2: could start now in pool cpu",
            "devicesPerReplica 4: could start now in pool cpu",
        ),
    ),
    (
        "a rare mixture of reasons is summed up",
        a_gang(4, cpu=1),
        (
            a_pool(
                "odd",
                (),
                [
                    *[node(f"a{i}", cpu=1) for i in range(4)],
                    *[node(f"b{i}", ready=False) for i in range(3)],
                    *[node(f"c{i}", cordoned=True) for i in range(2)],
                    node("d0", devices=4, cpu=1),
                    node("e0"),
                ],
                used={"a0": {GPU: 8}, "a1": {GPU: 8}, "a2": {GPU: 8}},
            ),
        ),
        Reason.INSUFFICIENT_DEVICES,
        (
            f"needs 4 nodes; 1 of 4 is free in pool odd (3 of 11 nodes: 0 of 8 {GPU} free; 3: not ready; 2: cordoned; "
            "2: other reasons)"
        ),
        ("replicas 1: could start now on node a3",),
    ),
    # Free, but torn apart
    (
        "no leaf has two free nodes",
        a_gang(2, inside="leaf"),
        (H800,),
        Reason.TOPOLOGY_BLOCKED,
        "needs 2 free nodes under one leaf; the most free is 1 under spine-0/leaf-0 (of 4)",
        (
            "topology.policy Preferred: could start now over 2 leaves",
            "topology.level spine: could start now under spine-0",
            "replicas 1: could start now on node n10",
            "devicesPerReplica 4: could start now on node n10",
        ),
    ),
    (
        "no spine has three free nodes",
        a_gang(3, inside="spine"),
        (H800,),
        Reason.TOPOLOGY_BLOCKED,
        "needs 3 free nodes under one spine; the most free is 2 under spine-0 (of 8)",
        (
            "topology.policy Preferred: could start now over 2 spines",
            "replicas 2: could start now under spine-0",
            "devicesPerReplica 4: could start now under spine-0",
        ),
    ),
    (
        "no node has three free slots",
        a_gang(3, 4, inside="node"),
        (a_pool("twelve", (), [node(f"t{i}", devices=12) for i in range(2)], used={"t0": {GPU: 4}, "t1": {GPU: 4}}),),
        Reason.TOPOLOGY_BLOCKED,
        "needs 3 free slots of 4 devices on one node; the most free is 2 on node t0 (of 3)",
        (
            "topology.policy Preferred: could start now over 2 nodes",
            "replicas 2: could start now on node t0",
            "devicesPerReplica 2: could start now on node t0",
        ),
    ),
    (
        "one free replica of a node each",
        a_gang(2, inside="rack"),
        (drawn("r1  8 0\nr2  8 0", levels=("rack",)),),
        Reason.TOPOLOGY_BLOCKED,
        "needs 2 free nodes under one rack; the most free is 1 under rack r1 (of 2)",
        (
            "topology.policy Preferred: could start now over 2 racks",
            "replicas 1: could start now on node n0",
            "devicesPerReplica 4: could start now on node n0",
        ),
    ),
    # Several pools
    (
        "the pool nearest to starting it comes first",
        a_gang(3, inside="leaf"),
        (FULL, H800, SMALL),
        Reason.TOPOLOGY_BLOCKED,
        (
            "needs 3 free nodes under one leaf; the most free is 1 under spine-0/leaf-0 of pool h800 (of 4); "
            f"needs 3 nodes; 0 of 3 are free in pool full (3 of 3 nodes: 0 of 8 {GPU} free); "
            "needs 3 nodes under one leaf; the most, under spine-0/leaf-0 of pool small, is 2"
        ),
        (
            "topology.policy Preferred: could start now over 3 leaves of pool h800",
            "replicas 2: could start now under spine-0/leaf-0 of pool small",
            "devicesPerReplica 4: could start now under spine-0/leaf-0 of pool small",
        ),
    ),
    (
        "another pool would do",
        a_gang(2, pools=("full",)),
        (FULL, SMALL, FLAT),
        Reason.INSUFFICIENT_DEVICES,
        f"needs 2 nodes; 0 of 3 are free in pool full (3 of 3 nodes: 0 of 8 {GPU} free)",
        ("pools [flat]: could start now in pool flat", "pools [small]: could start now under spine-0/leaf-0"),
    ),
    (
        "three changes at most",
        a_gang(3, inside="leaf", pools=("h800",)),
        (H800, HALF, SMALL),
        Reason.TOPOLOGY_BLOCKED,
        "needs 3 free nodes under one leaf; the most free is 1 under spine-0/leaf-0 (of 4)",
        (
            "topology.policy Preferred: could start now over 3 leaves",
            "pools [half]: could start now under spine-0/leaf-0",
            "replicas 1: could start now on node n10",
        ),
    ),
    (
        "more than three pools",
        a_gang(1),
        MANY[:5],
        Reason.INSUFFICIENT_DEVICES,
        "; ".join(f"needs 1 node; 0 of 1 are free in pool p{i} (1 of 1 node: 0 of 8 {GPU} free)" for i in range(3))
        + "; and 2 more pools",
        (),
    ),
    (
        "a closed pool and one that is not there",
        a_gang(1, pools=("closed", "gone")),
        (CLOSED,),
        Reason.INSUFFICIENT_DEVICES,
        (
            "needs 1 node; 0 of 2 are open in pool closed (1 of 2 nodes: cordoned; 1: not ready); "
            "no AcceleratorPool is called gone (spec.pools); there is closed"
        ),
        (),
    ),
]


@pytest.mark.parametrize(
    ("gang", "pools", "reason", "message", "nearest"), [pytest.param(*row[1:], id=row[0]) for row in ROWS]
)
def test_a_gang_hears_why_it_waits(
    gang: Gang, pools: tuple[Pool, ...], reason: Reason, message: str, nearest: tuple[str, ...]
) -> None:
    """What is needed, what is there, where, and which change was tried and would help."""
    assert find(gang, by_name(*pools)) is None
    (decision,) = _cycle(gang, pools).decisions
    pending = decision.report.pending
    assert pending is not None
    assert pending.message == message
    assert tuple(map(str, pending.nearest)) == nearest
    assert pending.reason == reason
    for change in pending.nearest:
        assert [d.verb for d in _cycle(change.gang, pools).decisions] == [Verb.ADMIT], f"{change}, and does not"


def _cycle(gang: Gang, pools: tuple[Pool, ...]) -> Plan:
    return cycle(Snapshot((a_job("train", gang).built,), by_name(*pools)), 1_000)

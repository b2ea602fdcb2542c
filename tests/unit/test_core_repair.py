"""Repair: a gang that lost nodes goes on, with everybody else where they were."""

import time

import pytest

from berth.core.cycle import Snapshot, cycle
from berth.core.model import Cause, Ending, Gang, NodeTrouble, Policy, Refusal, Trouble
from berth.core.plan import Decision, Verb
from berth.core.repair import mend
from tests.builders import GPU, JobBuilder, a_gang, a_job, a_pod, a_pool, by_name, drawn, node

NOW = 1_000


def lost(*names: str, kind: Trouble = Trouble.GONE) -> tuple[NodeTrouble, ...]:
    """Troubles of nodes."""
    return tuple(NodeTrouble(name, kind, NOW - 30 if kind is Trouble.NOT_READY else None) for name in names)


def broken(*sat: str, gang: Gang | None = None, bad: tuple[NodeTrouble, ...] = (), job: str = "train") -> JobBuilder:
    """A job whose attempt lost nodes, and whose pods are all gone."""
    gang = gang or a_gang(len(sat))
    claims = {name: ((GPU, gang.devices * sat.count(name)), ("pods", sat.count(name))) for name in sat}
    builder = a_job(job, gang).placed(*sat, at=100, created=True).ending(Cause.NODE_FAILURE, "node lost", NOW - 10)
    return builder.but(claims=claims, troubles=bad)


def mended(job: JobBuilder, picture: str) -> list[str] | None:
    """Nodes of the next attempt, in rank order; in the picture the gang's nodes have 0 free."""
    pool = drawn(picture)
    for position, each in enumerate(pool.ledger.nodes):
        taken = pool.ledger.used[position]
        if each.name in job.built.claims:  # the picture says 0 free: of that, the gang's own
            pool.ledger.set_used(position, {**taken, "pods": 8})
    found = mend(job.built, by_name(pool), NOW)
    return list(found.placement.nodes) if found else None


SPINE = a_gang(4, inside="spine")


@pytest.mark.parametrize(
    ("job", "picture", "expected"),
    [
        pytest.param(
            broken("n0", "n1", "n2", bad=lost("n1", kind=Trouble.NOT_READY)),
            """
            s0
              l0 0 0x 0 8
              l1 8 8 8 8
            """,
            ["n0", "n3", "n2"],
            id="the lost one goes to the free node of its leaf",
        ),
        pytest.param(
            broken("n0", "n1", "n2", "n3", bad=lost("n2", kind=Trouble.NOT_READY)),
            """
            s0
              l0 0 0
              l1 0x 0 8
              l2 8 8 8 8
            """,
            ["n0", "n1", "n4", "n3"],
            id="beside the nearest rank that stays, not where it is emptiest",
        ),
        pytest.param(
            broken("n0", "n1", bad=lost("n0", kind=Trouble.NOT_READY)),
            """
            s0
              l0 0x 0 0
              l1 8 8
            s1
              l2 8 8
            """,
            ["n3", "n1"],
            id="else further around, but no further than it must",
        ),
        pytest.param(
            broken("n0", "n1", "n2", "n3", gang=SPINE, bad=lost("n0", kind=Trouble.NOT_READY)),
            """
            s0
              l0 0x 0
              l1 0 0
            s1
              l2 8 8 8 8
            """,
            None,
            id="not outside the level that is required, even if another domain holds all of it",
        ),
        pytest.param(
            broken("n0", "n1", bad=lost("gone-1", "gone-2")),
            "s0\n  l0 0 0 8",
            ["n0", "n1"],
            id="if all nodes are good, all stay",
        ),
        pytest.param(
            broken("n0", "gone", "n1", bad=lost("gone")),
            "s0\n  l0 0 0 8",
            ["n0", "n2", "n1"],
            id="a node that is no longer there",
        ),
        pytest.param(
            broken("n0", "n1", bad=()),
            "s0\n  l0 0 0c 8",
            ["n0", "n2"],
            id="a cordoned node is not good",
        ),
        pytest.param(
            broken("n0", "n1", bad=lost("n0", "n1", kind=Trouble.NOT_READY)),
            "s0\n  l0 0x 0x 8 8",
            None,
            id="nobody is left to stay: to the queue",
        ),
        pytest.param(
            broken("n0", "n0", "n1", "n1", gang=a_gang(4, 4), bad=lost("n1", kind=Trouble.NOT_READY)),
            "s0\n  l0 0 0x 4 4 8",
            ["n0", "n0", "n4", "n4"],
            id="two replicas of one node move to one node",
        ),
        pytest.param(
            broken("n0", "n1", gang=a_gang(3), bad=lost("n1", kind=Trouble.NOT_READY)),
            "s0\n  l0 0 0x 8 8",
            None,
            id="a gang of another size is placed anew",
        ),
        pytest.param(
            broken("n0", "n1", gang=a_gang(2, pools=("a910",)), bad=lost("n1", kind=Trouble.NOT_READY)),
            "s0\n  l0 0 0x 8 8",
            None,
            id="a pool that the job no longer wants is left",
        ),
    ],
)
def test_who_stays_and_who_moves(job: JobBuilder, picture: str, expected: list[str] | None) -> None:
    """Survivors keep their nodes; the others sit as near to them as there is room."""
    assert mended(job, picture) == expected


def test_what_somebody_else_took_meanwhile_is_not_taken_back() -> None:
    """A node on which the gang no longer has the room moves its replica, too."""
    job = broken("n0", "n1", bad=())
    pool = drawn("s0\n  l0 8 8 8")
    pool.ledger.set_used(0, {GPU: 8, "pods": 1})
    pool.ledger.set_used(1, {GPU: 16, "pods": 2})
    found = mend(job.built, by_name(pool), NOW)
    assert found is not None
    assert (found.placement.nodes, found.moved) == (("n0", "n2"), ((1, "n1", "n2"),))
    assert found.told() == "1 replica on the same nodes, 1 moved: 1 from n1 to n2"


def test_nodes_that_refused_the_job_are_no_replacement() -> None:
    """The gang that the cycle hands over avoids them."""
    avoid = (Refusal(frozenset({"n2"}), NOW + 60, 1),)
    gang = Gang(2, 8, avoid=avoid)
    job = broken("n0", "n1", gang=gang, bad=lost("n1", kind=Trouble.NOT_READY))
    assert mended(job, "s0\n  l0 0 0x 8 8") == ["n0", "n3"]


def large(nodes: int) -> tuple[JobBuilder, Snapshot]:
    """A gang of 512 under 16 leaves of 40 nodes in one of two spines; it has lost three nodes."""
    each = [node(f"n{number:05d}", f"s{number // 640}", f"l{number // 40}", pods=110) for number in range(nodes)]
    sat = [f"n{leaf * 40 + place:05d}" for leaf in range(16) for place in range(32)]
    gang = Gang(512, 8, level="spine", policy=Policy.REQUIRED)
    bad = lost(sat[17], sat[300], sat[301], kind=Trouble.NOT_READY)
    down = {trouble.node for trouble in bad}
    job = broken(*sat, gang=gang, bad=bad)
    used = {name: {GPU: 8, "pods": 1} for name in sat}
    built = [node(n.name, *n.path, pods=110, ready=n.name not in down) for n in each]
    pool = a_pool("h800", ("spine", "leaf"), built, used=used)
    return job, Snapshot((job.built,), by_name(pool))


def test_of_512_replicas_three_lose_their_nodes_and_509_stay() -> None:
    """In one write: the attempt closed, the next one placed, all pods to be created."""
    job, snapshot = large(1280)
    (decision,) = cycle(snapshot, NOW).decisions
    before, after = job.built.record.placement, decision.record.placement
    assert before is not None
    assert after is not None
    moved = [rank for rank in range(512) if before.nodes[rank] != after.nodes[rank]]
    assert moved == [17, 300, 301]
    assert [after.nodes[rank][:4] for rank in moved] == [before.nodes[rank][:4] for rank in moved], "the same leaf"
    assert (decision.verb, decision.closed, decision.record.attempt) == (Verb.ADMIT, 1, 2)
    assert len(decision.create) == 512
    assert [attempt.cause for attempt in decision.record.attempts] == [Cause.NODE_FAILURE]
    assert decision.record.failures == 0
    assert decision.event is not None
    assert "509 replicas on the same nodes, 3 moved: 17 from n00017 to n00032" in decision.event.note


def test_a_repair_among_10000_nodes_takes_little_time() -> None:
    """CPU time: other jobs wait for the cycle."""
    _, snapshot = large(10_000)
    cycle(snapshot, NOW)  # counts are there from earlier cycles
    start = time.thread_time()
    cycle(snapshot, NOW)
    assert time.thread_time() - start < 0.25


# In a cycle


def decided(*jobs: JobBuilder, picture: str) -> dict[str, Decision]:
    """What a cycle decides, by name of job; claims of the jobs count as taken."""
    pool = drawn(picture)
    for job in jobs:
        for name, requests in job.built.claims.items():
            position = pool.ledger.tree.position.get(name)
            if position is not None:
                pool.ledger.set_used(position, dict(requests))
    plan = cycle(Snapshot(tuple(job.built for job in jobs), by_name(pool)), NOW)
    return {decision.key.name: decision for decision in plan.decisions}


def test_a_repair_goes_before_the_queue() -> None:
    """A job that waits with a higher priority does not get the node that completes the gang."""
    job = broken("n0", "n1", bad=lost("n1", kind=Trouble.NOT_READY))
    waiting = a_job("eager", a_gang(1)).but(priority=100)
    found = decided(job, waiting, picture="s0\n  l0 8 8x 8")
    assert (found["train"].verb, found["eager"].verb) == (Verb.ADMIT, Verb.REPORT)


def test_two_gangs_that_lost_nodes_do_not_get_the_same_one() -> None:
    """The one of higher priority gets it; the other gives its devices back and waits."""
    one = broken("n0", "n1", bad=lost("n1", kind=Trouble.NOT_READY), job="one").but(priority=1)
    two = broken("n2", "n3", bad=lost("n3", kind=Trouble.NOT_READY), job="two")
    found = decided(one, two, picture="s0\n  l0 8 8x 8 8x 8")
    assert (found["one"].verb, found["two"].verb) == (Verb.ADMIT, Verb.CLOSE)
    assert found["two"].closed == 1


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(broken("n0", "n1").but(suspended=True), id="suspended meanwhile"),
        pytest.param(
            broken("n0", "n1").recorded(ending=Ending(Cause.PODS_LOST, 110, "pod vanished")), id="after a short attempt"
        ),
        pytest.param(
            broken("n0", "n1").recorded(ending=Ending(Cause.OWN_FAILURE, 900, "failed")), id="after its own failure"
        ),
        pytest.param(
            broken("n0", "n1").recorded(ending=Ending(Cause.START_DEADLINE, 900, "late")), id="after a late start"
        ),
    ],
)
def test_who_does_not_go_on_at_once(job: JobBuilder) -> None:
    """The attempt is closed, and that is all."""
    assert decided(job, picture="s0\n  l0 8 8 8")["train"].verb is Verb.CLOSE


def test_a_gang_whose_replicas_are_not_known_yet_keeps_its_devices_until_they_are() -> None:
    """After a restart of the operator: its nodes are not given away while a dry run finds out what a replica takes."""
    unknown = broken("n0", "n1").held_back("Validating", "being tried")
    step = decided(unknown, picture="s0\n  l0 8 8 8")["train"]
    assert (step.verb, step.record.placement is not None) == (Verb.REPORT, True)
    refused = broken("n0", "n1").held_back("TemplateRefused", "no such volume")
    assert decided(refused, picture="s0\n  l0 8 8 8")["train"].verb is Verb.CLOSE


def test_a_pod_that_nobody_can_confirm_gone_keeps_its_room() -> None:
    """Its node stays taken; the sentence says which pod and where."""
    bad = lost("n1", kind=Trouble.NOT_READY)
    job = broken("n0", "n1", bad=bad).with_pods(a_pod(1, deleting=True))
    job = job.recorded(ending=Ending(Cause.NODE_FAILURE, NOW - 300, "node n1 is not ready"))
    decision = decided(job, picture="s0\n  l0 8 8x 8")["train"]
    assert decision.verb is Verb.ADMIT
    assert decision.event is not None
    assert decision.event.warning
    assert "without pod train-1-1 on node n1, which could not be confirmed gone" in decision.event.note

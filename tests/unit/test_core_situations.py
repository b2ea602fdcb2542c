"""What a job that waits is told among others: behind them, before them, beside gangs that will end.

As in the table of refusals, every change that is proposed is made, and the job then starts.
"""

from dataclasses import dataclass, replace

import pytest

from berth.core import explain
from berth.core.admission import Pool
from berth.core.cycle import Snapshot, cycle
from berth.core.model import Job, Policy, Taint
from berth.core.plan import Pending, Plan, Reason, Verb
from berth.core.stays import Backfill
from tests.builders import GPU, JobBuilder, a_gang, a_job, a_pod, a_pool, by_name, drawn, node

NOW = 1_795_309_200  # 2026-11-22T01:00:00Z


def running(name: str, *nodes: str, left: int | None = 3_600, pool: str = "h800") -> JobBuilder:
    """A gang of whole nodes that has run for an hour, and ends in `left` seconds; None: it does not say when."""
    limit = None if left is None else 3_600 + left
    job = a_job(name, a_gang(len(nodes))).placed(*nodes, at=NOW - 3_600, created=True).but(max_duration=limit)
    placement = job.built.record.placement
    assert placement is not None
    return job.recorded(placement=replace(placement, pool=pool), started_at=NOW - 3_500).with_pods(
        *(a_pod(rank, job=name) for rank in range(len(nodes)))
    )


def waiting(name: str, replicas: int, hours: float | None = None, **gang: object) -> JobBuilder:
    """A gang of whole nodes; in the order of their names."""
    seconds = None if hours is None else int(hours * 3_600)
    return a_job(name, a_gang(replicas, **gang)).but(max_duration=seconds)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Situation:
    """Pools, and jobs of which the last is the one that asks."""

    pools: tuple[Pool, ...]
    jobs: tuple[JobBuilder, ...]

    def plan(self, last: Job | None = None) -> Plan:
        """The plan of a cycle; with another job in the place of the last."""
        jobs = [job.built for job in self.jobs]
        if last is not None:
            jobs[-1] = last
        return cycle(Snapshot(tuple(jobs), by_name(*self.pools), backfill=Backfill(8, 86_400)), NOW)

    def pending(self) -> Pending:
        """What the last job is told."""
        key = self.jobs[-1].built.key
        pending = next(d.report.pending for d in self.plan().decisions if d.key == key)
        assert pending is not None
        return pending


FOUR = drawn("spine-0\n  leaf-0  8 8 0 0")
TORN = drawn("spine-0\n  leaf-0  8 0 0 0\n  leaf-1  8 8 0 0")
SPINES = drawn("spine-0\n  leaf-0  8 8 0 0\nspine-1\n  leaf-1  8 8 0 0")
NAMED = drawn("h800-s1\n  h800-s1-l1  8 0\n  h800-s1-l2  8 0")
SHUT = a_pool(
    "h800",
    (),
    [
        node("n0"),
        node("n1", cordoned=True, taints=(Taint("node.kubernetes.io/unschedulable", "", "NoSchedule"),)),
        node("n2", ready=False, taints=(Taint("node.kubernetes.io/unreachable", "", "NoExecute"),)),
    ],
)
CLOSED = drawn("spine-0\n  leaf-0  8 8c 8c 8\n  leaf-1  8 8x 0 0")
OPEN = drawn("spine-0\n  leaf-0  8 8 8 8", name="open", first=20)
TAINTED = drawn("spine-0\n  leaf-0  8t 8t 8t 8")
CORES = a_pool(
    "h800",
    (),
    [node(f"n{i}", cpu=64_000, memory=512 << 30) for i in range(4)],
    used={f"n{i}": {"cpu": 40_000, "pods": 3} for i in range(3)},
)
MANY = tuple(
    drawn("0 0 0c", name=f"a-pool-with-a-rather-long-name-{i}", levels=(), first=100 + 3 * i) for i in range(3)
)
AT_TWO = "may start at 2026-11-22T02:00Z if running jobs end by their maxDuration"

ROWS = [
    # Somebody will end
    (
        "soon there is enough",
        Situation((FOUR,), (running("a", "n2", "n3"), waiting("z", 4, 1))),
        Reason.INSUFFICIENT_DEVICES,
        (
            f"needs 4 nodes; 2 of 4 are free in pool h800 (2 of 4 nodes: 0 of 8 {GPU} free); "
            f"2 more come free when team/a ends, expected at 2026-11-22T02:00Z; {AT_TWO}"
        ),
        (
            "replicas 2: could start now under spine-0/leaf-0",
            "devicesPerReplica 4: could start now under spine-0/leaf-0",
        ),
    ),
    (
        "one more is enough",
        Situation((FOUR,), (running("a", "n2", left=60), running("b", "n3"), waiting("z", 3, 1))),
        Reason.INSUFFICIENT_DEVICES,
        (
            f"needs 3 nodes; 2 of 4 are free in pool h800 (2 of 4 nodes: 0 of 8 {GPU} free); "
            "1 more comes free when team/a ends, expected at 2026-11-22T01:01Z; "
            "may start at 2026-11-22T01:01Z if running jobs end by their maxDuration"
        ),
        (
            "replicas 2: could start now under spine-0/leaf-0",
            "devicesPerReplica 4: could start now under spine-0/leaf-0",
        ),
    ),
    (
        "nobody says when it ends",
        Situation((FOUR,), (running("a", "n2", left=None), running("b", "n3", left=None), waiting("z", 4))),
        Reason.INSUFFICIENT_DEVICES,
        (
            f"needs 4 nodes; 2 of 4 are free in pool h800 (2 of 4 nodes: 0 of 8 {GPU} free); "
            "1 more comes free when team/a ends, which declares no maxDuration; "
            "may start at 2026-11-23T00:00Z if running jobs end by their maxDuration, "
            "24h assumed for 2 that declare none"
        ),
        (
            "replicas 2: could start now under spine-0/leaf-0",
            "devicesPerReplica 4: could start now under spine-0/leaf-0",
        ),
    ),
    (
        "one of them does not say it",
        Situation((FOUR,), (running("a", "n2"), running("b", "n3", left=None), waiting("z", 4))),
        Reason.INSUFFICIENT_DEVICES,
        (
            f"needs 4 nodes; 2 of 4 are free in pool h800 (2 of 4 nodes: 0 of 8 {GPU} free); "
            "1 more comes free when team/a ends, expected at 2026-11-22T02:00Z; "
            "may start at 2026-11-23T00:00Z if running jobs end by their maxDuration, "
            "24h assumed for one that declares none"
        ),
        (
            "replicas 2: could start now under spine-0/leaf-0",
            "devicesPerReplica 4: could start now under spine-0/leaf-0",
        ),
    ),
    (
        "the leaf with the most free gets more",
        Situation((TORN,), (running("a", "n6"), running("b", "n1", left=60), waiting("z", 3, 1, inside="leaf"))),
        Reason.TOPOLOGY_BLOCKED,
        (
            "needs 3 free nodes under one leaf; the most free is 2 under spine-0/leaf-1 (of 4); "
            f"1 more comes free when team/a ends, expected at 2026-11-22T02:00Z; {AT_TWO}"
        ),
        (
            "topology.policy Preferred: could start now over 2 leaves",
            "topology.level spine: could start now under spine-0",
            "replicas 2: could start now under spine-0/leaf-1",
            "devicesPerReplica 4: could start now under spine-0/leaf-1",
        ),
    ),
    (
        "names of leaves that begin like their spines are told once",
        Situation((NAMED,), (waiting("z", 2, inside="leaf"),)),
        Reason.TOPOLOGY_BLOCKED,
        "needs 2 free nodes under one leaf; the most free is 1 under leaf h800-s1-l1 (of 2)",
        (
            "topology.policy Preferred: could start now over 2 leaves",
            "topology.level spine: could start now under spine h800-s1",
            "replicas 1: could start now on node n0",
            "devicesPerReplica 4: could start now on node n0",
        ),
    ),
    # Somebody is before it
    (
        "room is kept for one before it",
        Situation((FOUR,), (running("a", "n2", "n3"), waiting("b", 4, 1), waiting("z", 2, 2))),
        Reason.QUEUED_BEHIND,
        (
            "there is room now, but it is kept for team/b from 2026-11-22T02:00Z on, and this job may run for 2h; "
            "may start at 2026-11-22T03:00Z if running jobs end by their maxDuration"
        ),
        ("maxDuration 57m: could start now",),
    ),
    (
        "room is kept for two before it, and it does not say how long it takes",
        Situation((FOUR,), (running("a", "n2", "n3"), waiting("b", 4, 1), waiting("c", 3, 1), waiting("z", 2))),
        Reason.QUEUED_BEHIND,
        (
            "there is room now, but it is kept for team/b and 1 other from 2026-11-22T02:00Z on, "
            "and this job may run for 24h (it declares no maxDuration); "
            "may start at 2026-11-22T04:00Z if running jobs end by their maxDuration"
        ),
        ("maxDuration 57m: could start now",),
    ),
    (
        "part of the room is kept",
        Situation((FOUR,), (running("a", "n2", "n3"), waiting("b", 3, 1), waiting("z", 2, 2))),
        Reason.QUEUED_BEHIND,
        (
            "there is room now, but it is kept for team/b from 2026-11-22T02:00Z on, and this job may run for 2h; "
            "may start at 2026-11-22T03:00Z if running jobs end by their maxDuration"
        ),
        ("maxDuration 57m: could start now",),
    ),
    (
        "another pool has room that is kept for nobody",
        Situation(
            (FOUR, OPEN),
            (running("a", "n2", "n3"), waiting("b", 4, 1, pools=("h800",)), waiting("z", 2, 2, pools=("h800",))),
        ),
        Reason.QUEUED_BEHIND,
        (
            "there is room now, but it is kept for team/b from 2026-11-22T02:00Z on, and this job may run for 2h; "
            "may start at 2026-11-22T03:00Z if running jobs end by their maxDuration"
        ),
        ("maxDuration 57m: could start now", "pools [open]: could start now under spine-0/leaf-0"),
    ),
    # There is room, but apart
    (
        "half of it on either spine, and one spine is free in an hour",
        Situation((SPINES,), (running("a", "n2", "n3"), running("b", "n6", "n7", left=72_000), waiting("z", 4, 10))),
        Reason.CONTIGUOUS_SOON,
        (
            "there is room now, but apart: 67 % of its pairs of replicas would not be under one spine; "
            f"room under spine-0 is near, and it waits for that for at most 1h20m; {AT_TWO}"
        ),
        (
            "replicas 2: could start now under spine-0/leaf-0",
            "devicesPerReplica 4: could start now under spine-0/leaf-0",
        ),
    ),
    (
        "who prefers a leaf waits for a leaf",
        Situation((TORN,), (running("a", "n6", "n7"), waiting("z", 3, 10, rather_inside="leaf"))),
        Reason.CONTIGUOUS_SOON,
        (
            "there is room now, but apart: 67 % of its pairs of replicas would not be under one leaf; "
            f"room under spine-0/leaf-1 is near, and it waits for that for at most 1h20m; {AT_TWO}"
        ),
        (
            "replicas 2: could start now under spine-0/leaf-1",
            "replicas 12, devicesPerReplica 2: could start now over 2 leaves",
        ),
    ),
    # Nodes are closed
    (
        "not too large, but nodes are closed",
        Situation((CLOSED,), (waiting("z", 7),)),
        Reason.INSUFFICIENT_DEVICES,
        "needs 7 nodes; 5 of 8 are open in pool h800 (2 of 8 nodes: cordoned; 1: not ready)",
        ("replicas 3: could start now under spine-0",),
    ),
    (
        "not too large for a leaf, but nodes of it are closed",
        Situation((CLOSED,), (waiting("z", 4, inside="leaf"),)),
        Reason.TOPOLOGY_BLOCKED,
        (
            "needs 4 nodes under one leaf; under spine-0/leaf-0 of pool h800, the largest, 2 of 4 are open "
            "(2 of 8 nodes: cordoned; 1: not ready)"
        ),
        (
            "replicas 2: could start now under spine-0/leaf-0",
            "devicesPerReplica 4: could start now under spine-0/leaf-0",
        ),
    ),
    (
        "nodes are closed, and Kubernetes has tainted them for that",
        Situation((SHUT,), (waiting("z", 3),)),
        Reason.INSUFFICIENT_DEVICES,
        "needs 3 nodes; 1 of 3 is open in pool h800 (1 of 3 nodes: cordoned; 1: not ready)",
        ("replicas 1: could start now on node n0",),
    ),
    (
        "too large though all nodes were open",
        Situation((CLOSED,), (waiting("z", 9),)),
        Reason.TOO_LARGE,
        "needs 9 nodes; pool h800 has 5 (2 of 8 nodes: cordoned; 1: not ready)",
        ("replicas 3: could start now under spine-0",),
    ),
    (
        "a taint that it could tolerate",
        Situation((TAINTED,), (waiting("z", 3),)),
        Reason.TOO_LARGE,
        "needs 3 nodes; pool h800 has 1 (3 of 4 nodes: taint team=infra:NoSchedule)",
        (
            "toleration of team=infra:NoSchedule: could start now under spine-0/leaf-0",
            "replicas 1: could start now on node n3",
        ),
    ),
    # Other resources
    (
        "cores run out before devices do",
        Situation((CORES,), (a_job("z", a_gang(12, 2, cpu=16_000)),)),
        Reason.INSUFFICIENT_DEVICES,
        "needs 12 slots of 2 devices; 7 of 16 are free in pool h800; too little cpu on 3 nodes costs 9 slots",
        (
            "requests.cpu 8: could start now in pool h800",
            "replicas 7: could start now in pool h800",
        ),
    ),
    (
        "cores run out on some nodes altogether",
        Situation((CORES,), (waiting("z", 4, cpu=32_000),)),
        Reason.INSUFFICIENT_DEVICES,
        "needs 4 nodes; 1 of 4 is free in pool h800 (3 of 4 nodes: 24 of 32 cpu free)",
        (
            "requests.cpu 24: could start now in pool h800",
            "replicas 1: could start now on node n3",
        ),
    ),
]


@pytest.mark.parametrize(
    ("situation", "reason", "text", "nearest"), [pytest.param(*row[1:], id=str(row[0])) for row in ROWS]
)
def test_a_job_hears_why_it_waits(situation: Situation, reason: Reason, text: str, nearest: tuple[str, ...]) -> None:
    """What is needed and there, who is before it and who will end, when it may start; and what was tried would help."""
    pending = situation.pending()
    assert explain.told(pending) == text
    assert tuple(map(str, pending.nearest)) == nearest
    assert pending.reason is reason
    for change in pending.nearest:
        asking = situation.jobs[-1].built
        limit = asking.max_duration if change.max_duration is None else change.max_duration
        changed = replace(asking, gang=change.gang, max_duration=limit)
        started = [d.key for d in situation.plan(changed).decisions if d.verb is Verb.ADMIT]
        assert changed.key in started, f"{change}, and does not"


def test_the_position_counts_those_who_wait_for_the_same_pools() -> None:
    """From one; who waits for another pool stands in another queue."""
    jobs = (
        waiting("a", 5, pools=("h800",)),
        waiting("b", 5, pools=("open",)),
        waiting("c", 5),
        waiting("d", 5, pools=("open",)),
    )
    plan = Situation((FOUR, OPEN), jobs).plan()
    assert {d.key.name: d.report.pending.position for d in plan.decisions if d.report.pending} == {
        "a": 1,
        "b": 1,
        "c": 3,
        "d": 3,
    }


def test_the_forecast_is_rounded_the_more_the_further_away_it_is() -> None:
    """And always up: a job may start earlier than it was told."""
    for left, told in ((61, NOW + 120), (7_199, NOW + 7_200), (7_201, NOW + 7_800), (180_001, NOW + 183_600)):
        pending = Situation((FOUR,), (running("a", "n2", "n3", left=left), waiting("z", 4))).pending()
        assert pending.forecast is not None
        assert pending.forecast.start == told


def test_a_text_is_never_longer_than_a_condition_takes() -> None:
    """It is cut between words, with an ellipsis, in the condition as in `pending`."""
    gang = replace(a_gang(2), requests=tuple((f"example.com/{'resource' * 20}-{i}", 1) for i in range(3)))
    gang = replace(gang, level="leaf" * 200, policy=Policy.REQUIRED)
    situation = Situation(MANY, (a_job("z", gang),))
    (decision,) = situation.plan().decisions
    assert decision.report.pending is not None
    assert len(decision.report.pending.message) > explain.LONGEST
    told = explain.told(decision.report.pending)
    assert len(told) <= explain.LONGEST
    assert told.endswith("…")
    assert decision.report.conditions[0].message == told
    assert explain.clip("x" * 2_000) == "x" * 1_023 + "…"
    assert explain.clip("word " * 300).endswith("word…")

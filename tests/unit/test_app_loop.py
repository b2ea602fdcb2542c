"""The loop: when a batch of changes is closed, and when a cycle runs though nothing has changed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from berth.act.actuator import Actuator
from berth.app.loop import IDLE_SECONDS, Batch, Bell, Closed, Cycle, Loop
from berth.app.settings import Settings
from berth.cluster.jobs import Replica
from berth.cluster.mirror import Mirror
from berth.core.cycle import Snapshot
from berth.core.model import Mode
from berth.core.plan import Verb
from berth.kube.events import EventRecorder
from tests.unit.small_cluster import SmallCluster, refusal
from tests.unit.wire_objects import a_job, a_node, job_object, pool_facts

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


def a_bell() -> Bell:
    return Bell(quiet=0.05, most=1.0, monotonic=now)


def later(seconds: float, happens: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_later(seconds, happens)


async def test_a_batch_closes_after_a_moment_of_quiet() -> None:
    """What comes together is decided together."""
    bell = a_bell()
    for at in (1.0, 1.03, 1.06):
        later(at, bell.ring)
    await bell.batch(30)
    assert now() == pytest.approx(1.11)


async def test_a_batch_closes_at_the_latest_after_its_time() -> None:
    """A cluster that is never quiet must not keep jobs waiting."""
    bell = a_bell()
    for step in range(200):
        later(0.04 * step, bell.ring)
    await bell.batch(30)
    assert now() == pytest.approx(1.0, abs=0.05)


async def test_without_a_change_a_batch_ends_when_it_is_told_to() -> None:
    """Something may be due by time alone."""
    bell = a_bell()
    await bell.batch(7.5)
    assert now() == pytest.approx(7.5)
    await bell.batch(0)
    assert now() == pytest.approx(7.5)


async def test_a_ring_before_the_batch_is_not_lost() -> None:
    """Cycles ring themselves, by what they carry out."""
    bell = a_bell()
    bell.ring()
    await bell.batch(30)
    assert now() == pytest.approx(0.05)
    await bell.batch(30)
    assert now() == pytest.approx(30.05)


async def test_a_ring_while_time_runs_out_is_not_lost() -> None:
    """Whatever of the two is seen first, the change is looked at."""
    for due in (4.99, 5.0, 5.01):
        bell, start = a_bell(), now()
        later(due, bell.ring)
        await bell.batch(5.0)
        if now() < start + due + 0.05:
            await bell.batch(30)
        assert now() == pytest.approx(start + due + 0.05)


async def test_a_batch_tells_what_came_when_and_why_it_closed() -> None:
    """For the metrics: how many changes, when the first of them, and whether quiet, the limit or time closed it."""
    bell = a_bell()
    for at in (1.0, 1.03):
        later(at, bell.ring)
    assert await bell.batch(30) == Batch(2, 1.0, Closed.QUIET)
    assert await bell.batch(0.5) == Batch(0, None, Closed.DUE)
    for step in range(100):
        later(0.03 * step, bell.ring)
    batch = await bell.batch(30)
    assert (batch.closed, 30 < batch.changes < 40) == (Closed.LIMIT, True)
    bell.close(Closed.DUE)
    assert bell.close(Closed.DUE) == Batch(0, None, Closed.DUE)


async def test_after_a_long_cycle_changes_wait_for_the_rest_that_was_asked_for() -> None:
    """What was decided needs the loop as well; but nobody waits longer than a batch may stay open."""
    bell = a_bell()
    bell.ring()
    await bell.batch(30, rest=0.6)
    assert now() == pytest.approx(0.6)
    bell.ring()
    await bell.batch(30, rest=5)
    assert now() == pytest.approx(1.6)
    later(0.58, bell.ring)
    await bell.batch(30, rest=0.6)
    assert now() == pytest.approx(2.23)  # the last ring was not followed by quiet before
    await bell.batch(0.2, rest=0.6)
    assert now() == pytest.approx(2.43)  # what is due by time alone is due


async def test_without_quiet_to_wait_for_a_batch_closes_at_once() -> None:
    """`quietSeconds: 0`."""
    bell = Bell(quiet=0, most=1.0, monotonic=now)
    later(2, bell.ring)
    await bell.batch(30)
    assert now() == pytest.approx(2)


class Ground:
    """A loop over a small cluster; `begin` lets it run, and `cycles` tells when each was."""

    def __init__(self) -> None:
        self.cluster = SmallCluster()
        self.bell = a_bell()
        self.mirror = Mirror(self.bell.ring)
        self.mirror.put_pool(pool_facts())
        for name in ("n1", "n2"):
            self.mirror.put_node(("", name), a_node(name))
        recorder = EventRecorder(self.cluster, controller="berth.dev/operator", instance="test")
        self.actuator = Actuator(
            client=self.cluster,
            mirror=self.mirror,
            recorder=recorder,
            report_every=10.0,
            clock=self.clock,
            monotonic=now,
        )
        self.cycles: list[float] = []
        self.again: float | None = None
        self.tasks: list[asyncio.Task[None]] = []

    def clock(self) -> float:
        """Unix seconds; the fraction is not that of the monotonic clock."""
        return 1_000.25 + now()

    def begin(self, mode: Mode = Mode.ACTIVE, on_cycle: Callable[[Cycle], None] = lambda _: None) -> Loop:
        loop = Loop(
            mirror=self.mirror,
            actuator=self.actuator,
            bell=self.bell,
            settings=Settings(mode=mode),
            before_cycle=self.before,
            on_cycle=on_cycle,
            clock=self.clock,
            monotonic=now,
        )
        self.bell.ring()
        self.tasks.append(asyncio.create_task(loop.run()))
        return loop

    def before(self) -> float | None:
        self.cycles.append(round(now(), 2))
        return self.again

    def submit(self, **facts: Any) -> None:
        """A job whose replica was tried already."""
        made = self.cluster.put("trainingjobs", job_object(**facts))
        self.mirror.put_job(a_job(version=int(made["metadata"]["resourceVersion"]), **facts))
        self.mirror.set_replica("train-uid", Replica(1))


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    made = Ground()
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)
    await made.actuator.finish(0)


async def test_a_quiet_operator_still_runs_a_cycle_now_and_then(ground: Ground) -> None:
    """So that a stuck one can be told from it."""
    loop = ground.begin()
    await asyncio.sleep(100)
    assert ground.cycles == [IDLE_SECONDS * n for n in range(4)]
    assert loop.last.cycles == 4
    assert loop.last.ended == pytest.approx(90)


async def test_a_change_is_decided_and_carried_out_soon(ground: Ground) -> None:
    """From the event to the pods."""
    ground.begin()
    await asyncio.sleep(10)
    ground.submit()
    await asyncio.sleep(0.2)
    assert ground.cluster.names("pods") == ["train-1-0", "train-1-1"]


async def test_the_first_cycle_looks_at_everything(ground: Ground) -> None:
    """A placement that an operator before this one has written gets its pods."""
    status = {"attempt": 1, "pool": "h800", "placement": PLACEMENT}
    ground.submit(status=status)
    ground.begin()
    await asyncio.sleep(1)
    assert ground.cluster.names("pods") == ["train-1-0", "train-1-1"]


PLACEMENT = {
    "domain": "s1/l1",
    "level": "leaf",
    "spans": {"spine": 1, "leaf": 1, "node": 2},
    "nodes": "n[1-2]",
    "generation": 1,
    "admittedAt": "1970-01-01T00:16:40Z",
}


async def test_the_loop_wakes_when_time_alone_changes_something(ground: Ground) -> None:
    """A back-off is over at a moment that no event tells of; the wake comes not before it."""
    ground.submit(status={"attempt": 1, "retryAfter": "1970-01-01T00:16:57Z"})  # 1,017
    loop = ground.begin()
    await asyncio.sleep(16.5)
    assert ground.cluster.names("pods") == []
    assert loop.last.plan is not None
    assert loop.last.plan.wake_at == 1_017
    await asyncio.sleep(0.5)
    assert ground.cluster.names("pods") == ["train-2-0", "train-2-1"]
    assert 16.75 in ground.cycles


async def test_the_loop_wakes_for_what_is_owed(ground: Ground) -> None:
    """A refused write is tried again after its pause."""
    ground.cluster.fail("apply", refusal(422, "Invalid", "no"))
    ground.submit()
    ground.begin()
    await asyncio.sleep(4.5)
    assert ground.cluster.names("pods") == []
    await asyncio.sleep(1)
    assert ground.cluster.names("pods") == ["train-1-0", "train-1-1"]


async def test_the_loop_wakes_for_what_is_done_before_a_cycle(ground: Ground) -> None:
    """A template that was refused is tried again."""
    ground.again = 4.0
    ground.begin()
    await asyncio.sleep(9)
    assert ground.cycles == [0.0, 4.0, 8.0]


async def test_waiting_costs_no_cycles(ground: Ground) -> None:
    """A job that cannot start, in a quiet cluster: a handful of cycles to tell it, then one in a while."""
    ground.submit(replicas=5)
    ground.begin()
    await asyncio.sleep(5)
    told = len(ground.cycles)
    assert told <= 5
    await asyncio.sleep(300)
    assert len(ground.cycles) - told <= 11


async def test_an_observer_writes_statuses_and_no_pod(ground: Ground) -> None:
    """It tells what it would do."""
    ground.submit()
    loop = ground.begin(Mode.OBSERVE)
    await asyncio.sleep(5)
    assert {call.split()[0] for call in ground.cluster.writes()} == {"apply"}
    assert loop.last.plan is not None
    status = ground.cluster.objects["trainingjobs", "team", "train"]["status"]
    assert status["pending"]["message"].startswith("would start now: 2 replicas on 2 nodes")
    assert status.get("placement") is None


async def test_a_cycle_tells_how_long_its_first_change_has_waited(ground: Ground) -> None:
    """From its arrival in the mirror to the end of the cycle; one that nothing has asked for has no such time."""
    told: list[Cycle] = []
    ground.begin(on_cycle=told.append)
    await asyncio.sleep(5)
    ground.mirror.put_node(("", "n3"), a_node("n3"))
    await asyncio.sleep(IDLE_SECONDS)
    assert len(told) == 2
    assert told[1].batch.changes == 1
    assert told[1].lag == pytest.approx(0.05)
    await asyncio.sleep(IDLE_SECONDS)
    assert (told[2].batch.closed, told[2].lag) == (Closed.DUE, None)


class Broken(Mirror):
    """Has a bug."""

    def snapshot(self, mode: Mode, epoch: int = 0) -> Snapshot:
        raise AssertionError(f"no snapshot to {mode} in term {epoch}")


async def test_a_bug_in_a_cycle_ends_the_loop(ground: Ground) -> None:
    """A broken invariant is not a case."""
    ground.mirror = Broken()
    ground.begin()
    await asyncio.sleep(1)
    with pytest.raises(AssertionError, match="no snapshot to Active"):
        await ground.tasks[0]


async def test_verbs_of_the_last_plan_are_kept_for_the_metrics(ground: Ground) -> None:
    """With the snapshot that it was made from."""
    ground.submit(replicas=5)
    loop = ground.begin()
    await asyncio.sleep(1)
    assert loop.last.plan is not None
    assert loop.last.snapshot is not None
    assert [decision.verb for decision in loop.last.plan.decisions] == [Verb.REPORT]
    assert [job.key.name for job in loop.last.snapshot.jobs] == ["train"]

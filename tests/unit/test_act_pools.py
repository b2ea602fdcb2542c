"""Statuses of pools: current, and written no more often than they change."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from berth.act.pools import PoolReporter
from berth.cluster.mirror import Mirror
from berth.cluster.pools import Requirement
from tests.unit.small_cluster import SmallCluster, refusal
from tests.unit.wire_objects import a_node, pool_facts

pytestmark = pytest.mark.looptime

STATUS = "apply acceleratorpools/status h800"


class Ground:
    """A reporter that runs, over a small cluster and a mirror."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.cluster = SmallCluster()
        self.mirror = Mirror()
        self.tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """A reporter that has told nothing yet runs from now on; one that ran before has stopped."""
        for task in self.tasks:
            task.cancel()
        reporter = PoolReporter(
            client=self.cluster, mirror=self.mirror, every=2.0, clock=lambda: 1_000 + self.loop.time()
        )
        self.tasks.append(asyncio.create_task(reporter.run()))

    def a_pool(self, name: str = "h800", **facts: Any) -> None:
        """A pool, in the cluster and in the mirror."""
        metadata = {"name": name, "uid": f"{name}-uid", "generation": 1}
        spec = {"profile": "nvidia-h800", "nodeSelector": {"matchLabels": {"pool": name}}}
        self.cluster.put("acceleratorpools", {"metadata": metadata, "spec": spec})
        self.mirror.put_pool(pool_facts(name, **facts))

    def status(self, name: str = "h800") -> Any:
        return self.cluster.objects["acceleratorpools", "", name].get("status")


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    made = Ground()
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


async def test_a_pool_is_told_soon_and_only_when_it_changes(ground: Ground) -> None:
    """Once, and again after a node came; in between nothing is written."""
    ground.a_pool()
    ground.start()
    await asyncio.sleep(7)
    assert ground.cluster.writes() == [STATUS]
    assert ground.status()["nodes"] == {"total": 0, "ready": 0}
    ground.mirror.put_node(("", "n1"), a_node("n1"))
    await asyncio.sleep(2)
    assert ground.cluster.writes() == [STATUS] * 2
    assert (ground.status()["nodes"], ground.status()["devices"]["free"]) == ({"total": 1, "ready": 1}, 8)


async def test_after_a_restart_what_stands_is_not_written_again_and_keeps_its_times(ground: Ground) -> None:
    """Since when a pool is ready must not depend on when its operator was started."""
    ground.a_pool()
    ground.mirror.put_node(("", "n1"), a_node("n1"))
    ground.start()
    await asyncio.sleep(1)
    first = ground.status()
    await asyncio.sleep(100)
    ground.start()
    await asyncio.sleep(1)
    assert ground.cluster.writes() == [STATUS]
    ground.mirror.put_node(("", "n2"), a_node("n2"))
    await asyncio.sleep(2)
    times = [condition["lastTransitionTime"] for condition in first["conditions"]]
    assert times == [condition["lastTransitionTime"] for condition in ground.status()["conditions"]]


async def test_a_node_that_comes_while_another_pool_is_written_is_no_trouble(ground: Ground) -> None:
    """Each pool is looked at anew when it is its turn."""
    other = (Requirement("pool", "In", frozenset({"h900"})),)
    ground.a_pool()
    ground.a_pool("h900", selector=other)
    labels = {"pool": "h900", "spine": "s1", "leaf": "l1"}
    ground.cluster.before(STATUS, lambda: ground.mirror.put_node(("", "m1"), a_node("m1", labels=labels)))
    ground.start()
    await asyncio.sleep(1)
    assert not ground.tasks[-1].done()
    assert ground.status("h900")["nodes"] == {"total": 1, "ready": 1}


async def test_a_pool_that_goes_while_another_is_written_is_not_written(ground: Ground) -> None:
    """Nor does it stop the others."""
    ground.a_pool()
    ground.a_pool("h900")
    ground.cluster.before(STATUS, lambda: ground.mirror.drop_pool("h900", "h900-uid"))
    ground.start()
    await asyncio.sleep(1)
    assert ground.cluster.writes() == [STATUS]


async def test_a_refused_status_is_tried_again(ground: Ground) -> None:
    """Whatever refused it; the others are told meanwhile."""
    ground.a_pool()
    ground.a_pool("h900", selector=(Requirement("pool", "In", frozenset({"h900"})),))
    ground.cluster.fail(STATUS, refusal(500, "InternalError", "etcdserver: leader changed"))
    ground.start()
    await asyncio.sleep(1)
    assert (ground.status(), ground.status("h900") is not None) == (None, True)
    await asyncio.sleep(2)
    assert ground.status() is not None


async def test_a_pool_that_is_not_there_any_more_is_left_alone(ground: Ground) -> None:
    """Its event is on the way; nothing is created by telling."""
    ground.a_pool()
    ground.start()
    await asyncio.sleep(1)
    del ground.cluster.objects["acceleratorpools", "", "h800"]
    ground.mirror.put_node(("", "n1"), a_node("n1"))
    await asyncio.sleep(4)
    assert not ground.tasks[-1].done()
    assert ground.cluster.names("acceleratorpools") == []

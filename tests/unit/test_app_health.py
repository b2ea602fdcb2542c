"""Feeds of device health: only for makes of which there is a pool, and nothing depends on them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from berth.accel.catalogue import Catalogue
from berth.app.health import HealthFeeds
from berth.cluster.mirror import Mirror
from berth.core.model import Health, Mode
from tests.properties.laying import LAYOUTS
from tests.unit.small_cluster import SmallCluster, refusal
from tests.unit.wire_objects import a_node, pool_facts

NPU = "huawei.com/Ascend910"
NAME = "mindx-dl-deviceinfo-n1"
LIST = "list configmaps"
ASCEND = pool_facts(
    resource=NPU,
    layout=LAYOUTS["ascend-910a-8"],
    hand_over=Catalogue.load().entry("ascend-910a-8").make.hand_over,
)


@contextlib.asynccontextmanager
async def feeding(cluster: SmallCluster, mirror: Mirror) -> AsyncIterator["asyncio.Task[None]"]:
    feeds = HealthFeeds(client=cluster, mirror=mirror, look_seconds=0.01)
    task = asyncio.create_task(feeds.run())
    async with cluster:
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_where_the_plugin_chooses_nobody_asks_for_health() -> None:
    """Whoever has no such make needs no right to read ConfigMaps."""
    cluster, mirror = SmallCluster(), Mirror()
    mirror.put_pool(pool_facts())
    async with feeding(cluster, mirror):
        await asyncio.sleep(0.1)
    assert cluster.calls == []


async def test_health_is_read_once_there_is_a_pool_that_needs_it() -> None:
    """Though the pool comes later than the operator."""
    cluster, mirror = SmallCluster(), Mirror()
    told = json.dumps({"DeviceList": {f"{NPU}-Unhealthy": "Ascend910-3"}})
    cluster.put("configmaps", {"metadata": {"name": NAME, "namespace": "kube-system"}, "data": {"x": told}})
    mirror.put_node(("", "n1"), a_node("n1", **{NPU: "7"}))
    async with feeding(cluster, mirror):
        await asyncio.sleep(0.05)
        mirror.put_pool(ASCEND)
        await asyncio.sleep(0.2)
    (node,) = mirror.snapshot(Mode.ACTIVE).pools["h800"].ledger.nodes
    assert node.health == Health(broken=0b1000)
    assert any(call.startswith(LIST) for call in cluster.calls)


async def test_without_the_right_to_read_it_the_operator_goes_on() -> None:
    """It complains in the log and tries again."""
    cluster, mirror = SmallCluster(), Mirror()
    cluster.fail(LIST, refusal(403, "Forbidden"), times=100)
    mirror.put_pool(ASCEND)
    async with feeding(cluster, mirror) as task:
        await asyncio.sleep(0.2)
        assert not task.done()
    assert cluster.calls

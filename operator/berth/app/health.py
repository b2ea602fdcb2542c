"""Feeds of device health: the ConfigMaps of those makes of which there is a pool.

They are an extra: nothing waits for them. Where they cannot be read, nodes that report fewer devices than they have
stay unused, and jobs say so.
"""

import asyncio
from functools import partial

from berth.accel.profile import Health
from berth.app.feeds import MirrorSink
from berth.cluster.device_health import NodeHealth, node_health
from berth.cluster.mirror import Mirror
from berth.kube.client import ApiClient
from berth.kube.reflector import Reflector
from berth.kube.resources import CONFIG_MAPS

_LOOK_SECONDS = 2.0


class HealthFeeds:
    """Runs one reflector for each way in which the makes of the pools tell health."""

    def __init__(self, *, client: ApiClient, mirror: Mirror, look_seconds: float = _LOOK_SECONDS) -> None:
        self._client = client
        self._mirror = mirror
        self._look = look_seconds

    async def run(self) -> None:
        """Run until cancelled. Raises what a reflector raises: a bug."""
        running: dict[Health, asyncio.Task[None]] = {}
        try:
            while True:
                for words in self._wanted() - running.keys():
                    running[words] = asyncio.create_task(self._reflector(words).run())
                if running:
                    done, _ = await asyncio.wait(running.values(), timeout=self._look)
                    for task in done:
                        task.result()
                else:
                    await asyncio.sleep(self._look)
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)

    def _wanted(self) -> set[Health]:
        by_id = (pool for pool in self._mirror.pools.usable() if pool.layout is not None)
        return {pool.hand_over.health for pool in by_id if pool.hand_over.health is not None}

    def _reflector(self, words: Health) -> Reflector[NodeHealth]:
        sink = MirrorSink(self._mirror.put_health, self._mirror.drop_health)
        project = partial(node_health, words)
        return Reflector(self._client, CONFIG_MAPS, project=project, sink=sink, namespace=words.namespace)

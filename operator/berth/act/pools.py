"""Writing the statuses of pools: counts that change with every pod, so at most once in a while for each pool."""

import asyncio
import logging
import time
from collections.abc import Callable

from berth.api.pool import PoolStatus
from berth.cluster.mirror import Mirror
from berth.cluster.pool_status import compose
from berth.cluster.pools import Members
from berth.kube.client import ApiClient
from berth.kube.errors import ApiError, NotFound
from berth.kube.resources import ACCELERATOR_POOLS

logger = logging.getLogger(__name__)


class PoolReporter:
    """Keeps the status of every pool current, `every` seconds at most."""

    def __init__(
        self, *, client: ApiClient, mirror: Mirror, every: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._mirror = mirror
        self._every = every
        self._clock = clock
        self._written: dict[str, PoolStatus] = {}

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            for members in list(self._mirror.pools.members()):
                await self._report(members)
            await asyncio.sleep(self._every)

    async def _report(self, members: Members) -> None:
        facts = members.facts
        before = self._written.get(facts.uid)
        status = compose(members, self._mirror.pools, before=before, now=int(self._clock()))
        if status == before:
            return
        body = {"metadata": {"uid": facts.uid}, "status": status.wire()}
        try:
            await self._client.apply(ACCELERATOR_POOLS, facts.name, body, subresource="status")
        except NotFound:
            self._written.pop(facts.uid, None)
        except ApiError as error:
            logger.warning("pool status not written", extra={"pool": facts.name, "error": str(error)})
        else:
            self._written[facts.uid] = status

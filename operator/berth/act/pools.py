"""Writing the statuses of pools: counts that change with every pod, so at most once in a while for each pool."""

import asyncio
import logging
import time
from collections.abc import Callable

from berth.api.pool import PoolStatus
from berth.cluster.mirror import Mirror
from berth.cluster.pool_status import compose
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
        self.every = every
        self._clock = clock
        self._written: dict[str, PoolStatus | None] = {}

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            for name in [members.facts.name for members in self._mirror.pools.members()]:
                try:
                    await self._report(name)
                except NotFound:
                    continue  # its event is on the way
                except ApiError as error:
                    logger.warning("pool status not written", extra={"pool": name, "error": str(error)})
            await asyncio.sleep(self.every)

    async def _report(self, name: str) -> None:
        """Write one pool's status if it differs from the one that stands. Raises ApiError."""
        known = self._mirror.pools.facts(name)
        if known is not None and known.uid not in self._written:
            there = await self._client.get(ACCELERATOR_POOLS, name)
            status = there.get("status")
            self._written[there["metadata"]["uid"]] = PoolStatus.model_validate(status) if status else None
        # Looked at only now, with no await before the status is composed: while others were written, nodes and pools
        # may have come and gone.
        members = next((members for members in self._mirror.pools.members() if members.facts.name == name), None)
        if members is None or members.facts.uid not in self._written:
            return
        uid = members.facts.uid
        before = self._written[uid]
        composed = compose(members, self._mirror.pools, before=before, now=int(self._clock()))
        if composed != before:
            body = {"metadata": {"uid": uid}, "status": composed.wire()}
            await self._client.apply(ACCELERATOR_POOLS, name, body, subresource="status")
            self._written[uid] = composed

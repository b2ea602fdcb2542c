"""The fence: what a former leader sent off in its last moment must not make a pod any more.

A leader checks its Lease before each write, but a write may lie in a network or in a stopped process for as long as it
likes. Statuses and deletions carry a resourceVersion or a uid, so a late one fails by itself. A late *creation* has
nothing of the kind: were the attempt that it belongs to closed meanwhile, its pod would claim devices that another job
has. So every pod carries the epoch of the leader that made it, the newest epoch stands in a ConfigMap, and the policy
`berth-fence` (`policies/fence.yaml`) has the API server refuse pods of an older one.

A new leader raises the epoch before it looks at the cluster, and does not go on until the API server has refused a pod
of the epoch before, tried with a dry run: from then on nothing of a former leader can be added to what it lists. With
several API servers that is known of one of them only; the others follow within the delay of their watches.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from berth.api.names import LABEL_EPOCH, LABEL_JOB_UID
from berth.kube.client import ApiClient, JsonObject
from berth.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, NotFound, Transient
from berth.kube.resources import CONFIG_MAPS, PODS, VALIDATING_ADMISSION_POLICIES

logger = logging.getLogger(__name__)

POLICY = "berth-fence"
_POLL = 0.05
_AGAIN = 0.5
_EPOCH = "epoch"


class Fence:
    """The ConfigMap that keeps the newest epoch, and the proof that the API server goes by it.

    `proof_seconds`: how long the policy may take to hear of a new epoch before it counts as not working.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        namespace: str,
        name: str,
        proof_seconds: float = 10.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._proof_seconds = proof_seconds
        self._sleep = sleep
        self._monotonic = monotonic
        self.up = False
        """Whether the API server was seen to refuse a pod of an older epoch."""

    async def rise(self, term: int) -> int:
        """Raise the epoch to `term`, or beyond any that was there before; the epoch. Waits for the API server.

        The Lease counts terms, but may have been deleted and count anew: an epoch never goes back.
        """
        while True:
            try:
                epoch = await self._raise(term)
                self.up = await self._proven(epoch)
                return epoch
            except (Conflict, AlreadyExists, NotFound) as error:
                logger.info("epoch raised by somebody else, too", extra={"error": str(error)})
            except Transient as error:
                logger.warning("epoch not raised yet", extra={"error": str(error)})
            await self._sleep(_AGAIN)

    async def _raise(self, term: int) -> int:
        term = max(term, 1)  # the first leader of all has term 0, and there is an epoch before it to be refused
        try:
            there = await self._client.get(CONFIG_MAPS, self._name, namespace=self._namespace)
        except NotFound:
            body: JsonObject = {"metadata": {"name": self._name}, "data": {_EPOCH: str(term)}}
            await self._client.create(CONFIG_MAPS, body, namespace=self._namespace)
            return term
        before = (there.get("data") or {}).get(_EPOCH, "")
        epoch = max(term, int(before) + 1 if before.isdecimal() else 0)
        body = {**there, "data": {**(there.get("data") or {}), _EPOCH: str(epoch)}}
        await self._client.update(CONFIG_MAPS, self._name, body, namespace=self._namespace)
        return epoch

    async def _proven(self, epoch: int) -> bool:
        """Wait until the API server refuses a pod of the epoch before; False if it does not come to that."""
        try:
            await self._client.get(VALIDATING_ADMISSION_POLICIES, POLICY, metadata_only=True)
        except NotFound:
            logger.warning(
                "no fence: a late write of a former leader could make a pod; kubectl apply -f policies/",
                extra={"policy": POLICY},
            )
            return False
        until = self._monotonic() + self._proof_seconds
        while self._monotonic() < until:
            if await self._refused(epoch - 1) and not await self._refused(epoch):
                return True
            await self._sleep(_POLL)
        logger.error(
            "the fence does not hold: the policy is there, and a pod of an older epoch is not refused; "
            "does its binding name this ConfigMap?",
            extra={"policy": POLICY, "config_map": f"{self._namespace}/{self._name}"},
        )
        return False

    async def _refused(self, epoch: int) -> bool:
        pod: JsonObject = {
            "metadata": {"name": "berth-fence-proof", "labels": {LABEL_JOB_UID: "none", LABEL_EPOCH: str(epoch)}},
            "spec": {"containers": [{"name": "none", "image": "none"}]},
        }
        try:
            await self._client.create(PODS, pod, namespace=self._namespace, dry_run=True, metadata_only=True)
        except (Forbidden, Invalid) as error:
            return (
                f"{POLICY}: " in error.message
            )  # the policy's own words: it may also refuse for want of the ConfigMap
        except Transient:
            raise
        except ApiError as error:
            logger.info("fence not proven yet", extra={"error": str(error)})
        return False

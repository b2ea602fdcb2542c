"""Leader election by a Lease: one writer at a time, and each knows for how long it still is.

Clocks of machines are never compared. A candidate watches the Lease's resourceVersion: only when it has not moved for
the holder's own duration, by the candidate's monotonic clock, is the term over. The holder counts the other way: its
term lasts `duration` from the moment *before* its last renewal was sent, so it always thinks that the term is over
before anybody else does.

An identity that finds the Lease its own takes it at once: the process before it is dead, which whoever gives two
processes the same identity vouches for (as the kubelet does for the containers of one pod).

Each taking of the Lease raises `leaseTransitions`, the *epoch*, also when the same operator takes it again: what was
decided in one term can be told from what was decided in another.

Our own, because the official package's elector ends on a refused connection and compares wall clocks.
"""

import asyncio
import logging
import math
import random as _random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from berth.kube.client import ApiClient, JsonObject
from berth.kube.errors import AlreadyExists, ApiError, Conflict, NotFound, Transient
from berth.kube.resources import Resource

logger = logging.getLogger(__name__)

LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")


class LeaseLostError(RuntimeError):
    """The Lease is somebody else's, or gone. The process must end: what it believes may be wrong."""


class NotLeading(Transient):
    """The term may be over, or is too nearly over to begin a write: the write was not sent."""


class Lease:
    """One candidate for one Lease.

    `duration`: seconds that a term lasts after its last renewal; `renew_every`: seconds between renewals. `monotonic`
    decides, `now` is only written for people to read.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        duration: float = 15.0,
        renew_every: float = 3.0,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = _random.random,
    ) -> None:
        if renew_every * 2 > duration:
            raise ValueError(f"renew_every ({renew_every:g} s) must be at most half of duration ({duration:g} s)")
        self._client = client
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._duration = duration
        self._renew_every = renew_every
        self._monotonic = monotonic
        self._now = now
        self._sleep = sleep
        self._random = random
        self._seen: tuple[str, float] | None = None
        self._held: JsonObject | None = None
        self._until = float("-inf")

    @property
    def epoch(self) -> int:
        """Number of the term. Only for the holder."""
        assert self._held is not None, "only a holder has an epoch"
        return int(self._held["spec"]["leaseTransitions"])

    @property
    def held(self) -> bool:
        """Whether the term certainly lasts now."""
        return self.remaining > 0

    @property
    def remaining(self) -> float:
        """Seconds for which the term certainly lasts; not positive when it may be over."""
        return self._until - self._monotonic()

    def check(self, seconds: float) -> None:
        """Raise NotLeading unless the term lasts for longer than `seconds`, the time that a write may take."""
        if self.remaining <= seconds:
            raise NotLeading(
                request="write",
                status=0,
                reason="NotLeading",
                message=f"lease {self._namespace}/{self._name}: {max(0.0, self.remaining):.1f} s left of the term, "
                f"a write may take {seconds:g} s",
            )

    async def acquire(self) -> int:
        """Wait for the Lease to be free and take it; the epoch. Errors of the API server are waited out."""
        while True:
            try:
                if await self._try():
                    logger.info("leading", extra={"lease": self._name, "epoch": self.epoch, "identity": self.identity})
                    return self.epoch
            except (Conflict, AlreadyExists, NotFound) as error:
                logger.debug("somebody was quicker", extra={"error": str(error)})
            except ApiError as error:
                logger.warning("lease not readable", extra={"error": str(error)})
            await self._pause(self._renew_every / 2)

    async def keep(self) -> None:
        """Renew until somebody else has the Lease, or it was deleted; then raise LeaseLostError.

        A term that could not be renewed in time goes on if the Lease is found untouched: nobody else has led meanwhile.
        """
        wait = self._renew_every
        while True:
            await self._pause(wait)
            wait = self._renew_every
            try:
                await self._renew()
            except ApiError as error:
                wait = self._renew_every / 3
                logger.warning("lease not renewed", extra={"error": str(error), "left": round(self.remaining, 1)})

    async def release(self) -> None:
        """Give the Lease back, so that the next leader need not wait. Does nothing unless it is held."""
        if self._held is None or not self.held:
            return
        held, self._held, self._until = self._held, None, float("-inf")
        try:
            try:
                await self._give_back(held)
            except Conflict:
                # A renewal that was under way when the stop came has moved it.
                found = await self._client.get(LEASES, self._name, namespace=self._namespace)
                if not _same_term(found, held):
                    raise
                await self._give_back(found)
        except ApiError as error:
            logger.warning("lease not released: the next leader waits it out", extra={"error": str(error)})

    async def _give_back(self, held: JsonObject) -> None:
        body = {**held, "spec": {**held["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}}
        await self._client.update(LEASES, self._name, body, namespace=self._namespace)

    async def _try(self) -> bool:
        """Take the Lease if nobody holds it, or if its holder has not moved for its duration."""
        sent = self._monotonic()
        try:
            lease = await self._client.get(LEASES, self._name, namespace=self._namespace)
        except NotFound:
            body = {
                "apiVersion": LEASES.api_version,
                "kind": LEASES.kind,
                "metadata": {"name": self._name},
                "spec": self._spec(0),
            }
            self._take(await self._client.create(LEASES, body, namespace=self._namespace), sent)
            return True
        spec, version = lease.get("spec") or {}, lease["metadata"]["resourceVersion"]
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, self._monotonic())
        waited = self._monotonic() - self._seen[1]
        holder = spec.get("holderIdentity")
        if holder and holder != self.identity and waited <= float(spec.get("leaseDurationSeconds") or self._duration):
            return False
        taken = {**lease, "spec": self._spec(int(spec.get("leaseTransitions") or 0) + 1)}
        sent = self._monotonic()
        self._take(await self._client.update(LEASES, self._name, taken, namespace=self._namespace), sent)
        return True

    async def _renew(self) -> None:
        """Renew once. A renewal that got no answer may have moved the Lease: then it is read and renewed again."""
        for _ in range(2):
            held = self._held
            assert held is not None, "only a holder renews"
            body = {**held, "spec": {**held["spec"], "renewTime": self._time()}}
            sent = self._monotonic()
            try:
                self._take(await self._client.update(LEASES, self._name, body, namespace=self._namespace), sent)
                return
            except NotFound:
                raise self._lost("was deleted") from None
            except Conflict:
                try:
                    found = await self._client.get(LEASES, self._name, namespace=self._namespace)
                except NotFound:
                    raise self._lost("was deleted") from None
                if not _same_term(found, held):
                    raise self._lost(f"was taken by {found['spec'].get('holderIdentity') or 'nobody'}") from None
                self._held = found

    def _lost(self, how: str) -> LeaseLostError:
        self._until = float("-inf")
        return LeaseLostError(f"lease {self._namespace}/{self._name} {how}")

    def _take(self, lease: JsonObject, sent: float) -> None:
        self._held = lease
        self._until = sent + self._duration

    def _spec(self, transitions: int) -> JsonObject:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self._duration),  # never shorter than the holder believes
            "acquireTime": self._time(),
            "renewTime": self._time(),
            "leaseTransitions": transitions,
        }

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    async def _pause(self, seconds: float) -> None:
        await self._sleep(seconds * (0.8 + 0.4 * self._random()))


def _same_term(found: JsonObject, held: JsonObject) -> bool:
    """Whether a Lease as it is found stands for the term in which it was held."""
    return all(found["spec"].get(field) == held["spec"][field] for field in ("holderIdentity", "leaseTransitions"))

"""Trying a replica before planning it, so that what is planned is the pod as it will be.

The pod as it was written is not it: LimitRanges, defaulting and injecting webhooks change what a
replica requests, quotas and Pod Security refuse some: one replica is created with server-side dry-run for each
generation of a job. What comes back is what the cycle counts with; what is refused is the job's condition.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from berth.act import affinity
from berth.act.pods import Replicas
from berth.act.refusals import away, taken, told
from berth.act.templates import TemplateError, refusing
from berth.cluster.jobs import JobEntry, Replica
from berth.cluster.mirror import Mirror
from berth.cluster.pools import PoolFacts
from berth.cluster.requests import of_pod
from berth.core.model import Hindrance, Shape, Toleration
from berth.core.plan import Reason
from berth.kube.client import ApiClient, JsonObject
from berth.kube.errors import AlreadyExists, ApiError, Transient
from berth.kube.resources import PODS

logger = logging.getLogger(__name__)

MOST_TRIES = 3
"""Tries in a row that may fail by a fault of the server, such as a webhook that does not work, before that is told."""


async def try_replica(
    client: ApiClient,
    entry: JobEntry,
    pools: Sequence[PoolFacts],
    epoch: int = 0,
    priority_class: str | None = None,
) -> Replica:
    """Try rank 0 of the job's next attempt, once for each set of defaults of the pools that it may land in.

    `pools` has one for each set. Without any, the devices are left out. What every pool would refuse hinders the job;
    what only some would refuse keeps it out of these. Raises Transient if the API server could not be asked.
    """
    generation = entry.generation  # what is found out is about the template as it is now, not as it is then
    tried = {pool.defaults_id: await _try_in(client, entry, pool, epoch, priority_class) for pool in pools}
    if not tried:
        tried[""] = await _try_in(client, entry, None, epoch, priority_class)
    return _replica(generation, tried)


def _replica(generation: int, tried: Mapping[str, Shape]) -> Replica:
    """What was found out, by the name of the defaults."""
    refused = [shape.refused for shape in tried.values() if shape.refused is not None]
    plain = tried.get("") or next(iter(tried.values()))
    hindered = Hindrance(Reason.TEMPLATE_REFUSED, refused[0]) if len(refused) == len(tried) else None
    return Replica(
        generation,
        requests=plain.requests,
        selector=plain.selector,
        tolerations=plain.tolerations,
        affinity=plain.affinity,
        shapes=() if tried.keys() == {""} else tuple(sorted(tried.items(), key=lambda item: item[0])),
        hindrance=hindered,
    )


def as_written(entry: JobEntry, pools: Sequence[PoolFacts]) -> Replica:
    """What `try_replica` finds out where the API server takes a replica as its template has it.

    For who may not create pods of a job, and only wants to know what would become of it.
    """
    tried: dict[str, Shape] = {}
    for pool in pools or (None,):
        resource = (pool.resource or None) if pool else None
        try:
            with refusing():  # nobody has looked at its fields yet
                shape = _shape(_pod(entry, pool, 0, None)["spec"], resource)
        except TemplateError as error:
            shape = Shape(refused=str(error))
        tried[pool.defaults_id if pool else ""] = shape
    return _replica(entry.generation, tried)


async def _try_in(
    client: ApiClient, entry: JobEntry, pool: PoolFacts | None, epoch: int, priority_class: str | None
) -> Shape:
    """Try it as it would be in one pool."""
    try:
        pod = _pod(entry, pool, epoch, priority_class)
    except TemplateError as error:
        return Shape(refused=str(error))
    try:
        made = await client.create(PODS, pod, namespace=entry.key.namespace, dry_run=True)
    except Transient:
        raise
    except AlreadyExists:
        return Shape(refused=taken(pod["metadata"]["name"]))
    except ApiError as error:
        return Shape(refused=told(error, pod))
    return _shape(made["spec"], (pool.resource or None) if pool else None)


def _pod(entry: JobEntry, pool: PoolFacts | None, epoch: int, priority_class: str | None) -> JsonObject:
    """Rank 0 of the next attempt, on no node yet. Raises TemplateError."""
    resource = (pool.resource or None) if pool else None
    # As an admission counts: beyond any pod that is there, lest the name of an old one be found taken.
    attempt = max(entry.believed.attempt, *(own.pod.attempt for own in entry.pods.values()), 0) + 1
    defaults = pool.defaults if pool else None
    return Replicas(entry.manifest, attempt, resource, epoch, priority_class, pool_defaults=defaults).pod(0, None)


def _shape(spec: JsonObject, resource: str | None) -> Shape:
    return Shape(
        requests=tuple(r for r in of_pod(spec) if r[0] != resource),
        selector=tuple(sorted((spec.get("nodeSelector") or {}).items())),
        tolerations=tuple(_tolerations(spec.get("tolerations") or ())),
        affinity=affinity.required(spec),
    )


def _tolerations(wire: Iterable[dict[str, str]]) -> Iterable[Toleration]:
    for entry in wire:
        yield Toleration(
            key=entry.get("key") or "",
            operator=entry.get("operator") or "Equal",
            value=entry.get("value") or "",
            effect=entry.get("effect") or "",
        )


class Prober:
    """Tries replicas in the background, each job's once for each generation; refused ones again after a while.

    What refused a replica may lie outside the job (a quota, a policy), so a refusal is not for ever.
    """

    def __init__(
        self,
        *,
        client: ApiClient,
        mirror: Mirror,
        priority_class: str | None = None,
        again_seconds: float = 60.0,
        epoch: int = 0,
        pause_seconds: float = 2.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._mirror = mirror
        self.again_seconds = again_seconds
        """A refused replica is tried again this often."""
        self._priority_class = priority_class
        self._epoch = epoch
        self._pause = pause_seconds
        self._monotonic = monotonic
        self._running: dict[str, asyncio.Task[None]] = {}
        self._refused: dict[str, float] = {}
        self._failed: dict[str, int] = {}
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when a try hits a bug: its job would wait for ever, and nobody would know why."""

    def begin(self) -> float | None:
        """Begin to try whatever has not been tried; seconds until a refused one is due again."""
        now = self._monotonic()
        for uid in [uid for uid, at in self._refused.items() if at + self.again_seconds <= now]:
            del self._refused[uid]
            self._mirror.forget_replica(uid)
        wanted = {entry.uid for entry in self._mirror.jobs.values()} if self._failed else set()
        self._failed = {uid: times for uid, times in self._failed.items() if uid in wanted}
        for entry in self._mirror.unprobed():
            if entry.uid not in self._running:
                task = asyncio.create_task(self._try(entry))
                self._running[entry.uid] = task
                task.add_done_callback(partial(self._done, entry.uid))
        return max(0.0, min(self._refused.values()) + self.again_seconds - now) if self._refused else None

    async def _try(self, entry: JobEntry) -> None:
        generation, pools = entry.generation, self._mirror.landings(entry)
        try:
            replica = await try_replica(self._client, entry, pools, self._epoch, self._priority_class)
        except Transient as error:
            logger.warning("replica not tried", extra={"job": str(entry.key), "error": str(error)})
            if not self._lasts(entry, error):
                await asyncio.sleep(self._pause)
                self._mirror.touch(entry.key)
                return
            refused = Shape(refused=told(error))
            replica = _replica(generation, {pool.defaults_id: refused for pool in pools} or {"": refused})
        self._failed.pop(entry.uid, None)
        if replica.hindrance is not None:
            self._refused[entry.uid] = self._monotonic()
        self._mirror.set_replica(entry.uid, replica)

    def _lasts(self, entry: JobEntry, error: Transient) -> bool:
        """Whether a fault of the server has lasted for so long that the job's owner is to know.

        A server that is away, or sheds load, is waited for: it could not take a status either.
        """
        if away(error):
            return False
        self._failed[entry.uid] = self._failed.get(entry.uid, 0) + 1
        return self._failed[entry.uid] >= MOST_TRIES

    def _done(self, uid: str, task: asyncio.Task[None]) -> None:
        del self._running[uid]
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.broken.done():
            self.broken.set_exception(error)
        self._mirror.touch_uid(uid)

    async def stop(self) -> None:
        """Cancel what is being tried."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""The pods of an attempt, and what belongs to it: made, marked, deleted, as a decision says.

Rank 0 comes first, because what else the attempt has belongs to that pod; then the others, as many at a time as the
client has requests. What the API server refuses ends the attempt, by the next cycle's decision.
"""

import logging
from asyncio import gather
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from berth.act.belongings import Belongings, Retrying
from berth.act.devices import Chosen
from berth.act.pods import Replicas, taken_by_scheduler
from berth.act.refusals import away, taken, told
from berth.act.templates import TemplateError
from berth.api.job import TrainingJob
from berth.cluster import project
from berth.cluster.jobs import JobEntry
from berth.cluster.mirror import Mirror
from berth.cluster.pools import PoolFacts
from berth.core.model import Placement, Record
from berth.core.plan import Decision
from berth.kube.client import ApiClient, JsonObject
from berth.kube.errors import AlreadyExists, ApiError, Conflict, NotFound, Transient
from berth.kube.resources import PODS

logger = logging.getLogger(__name__)
T = TypeVar("T")

LEAVING_PAUSE = 10.0
"""Seconds for which what the API server has agreed to delete is believed to go, though no watch has told so."""


class Attempts:
    """Makes and ends attempts. `retrying(call, ...)` calls the client for as long as an answer may come.

    `epoch`, `priority_class`, `clock` and `monotonic` are as the actuator's.
    """

    def __init__(
        self,
        client: ApiClient,
        mirror: Mirror,
        retrying: Retrying,
        *,
        epoch: int,
        priority_class: str | None,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._mirror = mirror
        self._retrying = retrying
        self._belongings = Belongings(client, retrying)
        self._epoch = epoch
        self._priority_class = priority_class
        self._clock = clock
        self._monotonic = monotonic
        self._asked: dict[tuple[tuple[str, str], str], float] = {}

    def remind(self) -> list[float]:
        """Have pods looked at again that should be gone by now; when the next ones fall due."""
        now = self._monotonic()
        for asked in [asked for asked, until in self._asked.items() if until <= now]:
            del self._asked[asked]
            self._mirror.pod_may_stay(*asked)
        return list(self._asked.values())

    async def carry_out(self, entry: JobEntry, seen: TrainingJob, decision: Decision) -> None:
        """Delete and create the pods that a decision names. `seen`: the job that was decided about.

        Raises the first ApiError, once everything has been tried.
        """
        if decision.delete:
            ending = decision.record.ending
            doomed = decision.delete
            if ending is not None and ending.cause.of_scheduler:
                why = ending.message
                await self._each(doomed, lambda pod: self._mark_disrupted(entry, *pod, why))
            await self._each(doomed, lambda pod: self._delete_pod(entry, *pod))
        if decision.create:
            await self._create(entry, seen, decision.record, decision.create)

    async def let_go(self, entry: JobEntry, seen: TrainingJob, attempt: int) -> None:
        """Remove what an attempt that is over has besides its pods. Raises an ApiError."""
        await self._belongings.delete(entry, seen, attempt)

    async def _create(self, entry: JobEntry, seen: TrainingJob, record: Record, ranks: tuple[int, ...]) -> None:
        """Create pods of an attempt. What is refused ends the attempt, by the next cycle's decision."""
        placement = record.placement
        assert placement is not None, "pods are created for a placement"
        pool = self._mirror.pools.facts(placement.pool)
        try:
            if pool is None:
                raise TemplateError(f"AcceleratorPool {placement.pool} is gone")
            if pool.problem is not None:
                raise TemplateError(f"AcceleratorPool {placement.pool} cannot be used: {pool.problem[1]}")
            if pool.defaults_id != placement.defaults:
                # A gang is made of one kind of pod, and it was planned by what it asked for then.
                raise TemplateError(f"podDefaults of AcceleratorPool {placement.pool} changed while the gang was made")
            replicas = Replicas(
                seen, record.attempt, pool.resource, self._epoch, self._priority_class, pool_defaults=pool.defaults
            )

            def pod(rank: int) -> JsonObject:
                return replicas.pod(rank, placement.nodes[rank], _chosen(pool, placement, rank))

            # Rank 0 first: what else the attempt has belongs to that pod.
            if ranks[0] == 0:
                await self._create_pod(entry, pod(0))
            anchor = entry.pods.get(project.pod_name(entry.key.name, record.attempt, 0))
            if anchor is None:
                return  # it has gone already: the next cycle sees to that
            await self._belongings.create(entry, seen, record.attempt, anchor.pod.uid)
            await self._each(ranks[ranks[0] == 0 :], lambda rank: self._create_pod(entry, pod(rank)))
        except TemplateError as error:
            self._mirror.set_refused(entry.uid, str(error))
        except (Conflict, NotFound):
            raise
        except Transient as error:
            if away(error):
                raise
            # It has been tried for as long as a call is: a webhook that does not work may not for hours.
            self._mirror.set_refused(entry.uid, told(error))
        except ApiError as error:
            self._mirror.set_refused(entry.uid, told(error))

    async def _create_pod(self, entry: JobEntry, pod: JsonObject) -> None:
        name, namespace = pod["metadata"]["name"], entry.key.namespace
        try:
            made = await self._retrying(self._client.create, PODS, pod, namespace=namespace, metadata_only=True)
        except AlreadyExists:
            made = await self._retrying(self._client.get, PODS, name, namespace=namespace)
            own = project.own_pod(made)
            if not _owned(made, entry) or own.job_uid != entry.uid:
                raise TemplateError(taken(name)) from None
        else:
            try:
                own = project.own_pod({**pod, "metadata": made["metadata"]})
            except ValueError:  # the server reads quantities that are not read here, such as null, and writes them anew
                own = project.own_pod(await self._retrying(self._client.get, PODS, name, namespace=namespace))
        if own.job_uid == entry.uid:  # else a webhook took the label: no watch of Berth's pods would ever tell of it
            self._mirror.answer_own_pod((namespace, name), own)

    async def _mark_disrupted(self, entry: JobEntry, name: str, uid: str, why: str) -> None:
        """Say in the pod's status, in the words of Kubernetes, that the scheduler takes it: for whoever watches pods.

        The uid guards: another pod of that name is not marked. Tried once: the mark is a courtesy, the pod has to go.
        """
        body = taken_by_scheduler(uid, why, int(self._clock()))
        try:
            await self._client.patch(
                PODS,
                name,
                body,
                namespace=entry.key.namespace,
                subresource="status",
                kind="strategic",
                metadata_only=True,
            )
        except (NotFound, Conflict):
            return  # gone, or gone and made anew by somebody
        except ApiError as error:
            logger.warning("not marked", extra={"job": str(entry.key), "pod": name, "error": str(error)})

    async def _delete_pod(self, entry: JobEntry, name: str, uid: str) -> None:
        key = (entry.key.namespace, name)
        try:
            await self._retrying(self._client.delete, PODS, name, namespace=entry.key.namespace, uid=uid)
        except (NotFound, Conflict):  # gone, or gone and made anew by somebody: either way not ours to delete
            self._mirror.pod_is_gone(key, uid)
        else:
            self._mirror.pod_is_leaving(key, uid)
            self._asked[key, uid] = self._monotonic() + LEAVING_PAUSE

    async def _each(self, items: Sequence[T], work: Callable[[T], Awaitable[None]]) -> None:
        """Do the work for each, to the end; then raise the first error, if there was one.

        As many at a time as the client has requests: what a pod is made of is in memory only while it is sent, and a
        gang of thousands does not stop the loop while all of its pods are made.
        """
        waiting = enumerate(items)
        errors: dict[int, Exception] = {}

        async def worker() -> None:
            for number, item in waiting:
                try:
                    await work(item)
                except Exception as error:  # noqa: BLE001  # raised below, once the others are done
                    errors[number] = error

        await gather(*(worker() for _ in range(min(len(items), self._client.limit))))
        if errors:
            raise errors[min(errors)]


def _chosen(pool: PoolFacts, placement: Placement, rank: int) -> Chosen | None:
    """The devices that a placement gives to a rank, in the words of its pool; None where the plugin chooses."""
    if not placement.devices:
        return None
    return Chosen(pool.hand_over, pool.resource, placement.devices[rank], placement.admitted_at, rank)


def _owned(obj: JsonObject, entry: JobEntry) -> bool:
    """Whether a pod that was found under one of the job's names is the job's."""
    return any(owner.get("uid") == entry.uid for owner in obj["metadata"].get("ownerReferences") or ())

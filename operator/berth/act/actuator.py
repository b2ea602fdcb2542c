"""Carrying out a plan: one task for each job, so that a gang of 512 pods in the making delays nobody else.

From the moment a decision is taken until its task has ended the mirror counts the decision as fact and the cycle
leaves the job alone. Order inside a task: the status, guarded by the resourceVersion that the decision was made from;
then pods are deleted or created. A guard that fails means that the job has changed: it is read again and decided anew.
A write without an answer may have happened: the job is read until the API server answers, and only then let go.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import ParamSpec, TypeVar

from berth.act.belongings import Belongings
from berth.act.devices import Chosen
from berth.act.pods import Replicas, taken_by_scheduler
from berth.act.refusals import taken, told
from berth.act.statuses import Told, begins_to_wait
from berth.act.templates import TemplateError
from berth.api.job import TrainingJob
from berth.api.names import API_VERSION, JOB_KIND
from berth.cluster import project, records
from berth.cluster.jobs import JobEntry
from berth.cluster.mirror import Mirror
from berth.cluster.pools import PoolFacts
from berth.core.model import Placement, Record
from berth.core.plan import Decision, Plan, Verb
from berth.kube.client import ApiClient, JsonObject
from berth.kube.errors import AlreadyExists, ApiError, Conflict, NotFound, Transient
from berth.kube.events import EventRecorder, Regarding
from berth.kube.resources import PODS, TRAINING_JOBS
from berth.kube.retries import persist

logger = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = 20.0
"""Seconds for which one call is tried again before its decision is given up and the job read anew."""
REFUSED_PAUSE = 5.0
"""Seconds for which a job is left alone after the API server refused what was decided for it."""
LEAVING_PAUSE = 10.0
"""Seconds for which what the API server has agreed to delete is believed to go, though no watch has told so."""
UNKNOWN_PAUSE = 1.0
"""Seconds before a job of which it is not known how it stands is asked about again."""


class Actuator:
    """Carries plans out.

    `epoch` is the leader's term, which every pod carries. `priority_class`: PriorityClass of the pods; None: the
    cluster's default. `on_record` is told of each decision that is on record, with the job as it was decided about.
    `clock` tells unix seconds, `monotonic` is for pauses and rates.
    """

    def __init__(
        self,
        *,
        client: ApiClient,
        mirror: Mirror,
        recorder: EventRecorder,
        report_every: float = 10.0,
        epoch: int = 0,
        priority_class: str | None = None,
        on_record: Callable[[TrainingJob, Decision], None] = lambda _seen, _decision: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._mirror = mirror
        self._recorder = recorder
        self._epoch = epoch
        self._priority_class = priority_class
        self._on_record = on_record
        self._belongings = Belongings(client, self._retrying)
        self._clock = clock
        self._monotonic = monotonic
        self._told = Told(report_every)
        self._paused: dict[str, float] = {}
        self._asked: dict[tuple[tuple[str, str], str], float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when carrying out hits a bug: the operator must not go on, its memory may be wrong."""

    def carry_out(self, plan: Plan) -> None:
        """Begin to carry out every decision of a plan; returns at once."""
        self._told.waiting = sum(decision.report.pending is not None for decision in plan.decisions)
        for decision in plan.decisions:
            entry = self._mirror.jobs.get(decision.key)
            if entry is None or entry.uid != decision.uid or entry.busy or self._pausing(entry):
                continue
            priority = self._mirror.priority(entry)
            if decision.verb is Verb.REPORT and not self._told.news(entry, decision, priority, self._monotonic()):
                continue
            if self._stands(entry, decision, priority):
                continue
            if decision.verb is Verb.ADMIT:
                self._mirror.set_refused(entry.uid, None)  # that was about an earlier attempt
            # No await between here and `assume`: the next cycle must not see these devices as free.
            self._mirror.assume(decision.key, decision.record)
            # The job as it was decided about goes along: before the task begins, an event may bring another one.
            self._spawn(self._carry_out(entry, entry.manifest, decision, priority))
        self._told.forget({entry.uid for entry in self._mirror.jobs.values()})

    def _stands(self, entry: JobEntry, decision: Decision, priority: int) -> bool:
        """Whether a report stands on record already, told by an operator before this one.

        After a start that is so for almost every job: none of them is worth a task.
        """
        if decision.verb is not Verb.REPORT or decision.event is not None or self._told.knows(entry):
            return False
        seen = entry.manifest
        if seen.status is None or decision.record != entry.record:
            return False
        if not records.tells(seen.status, decision.report, generation=entry.generation, priority=priority):
            return False
        self._told.tell(entry, entry.generation, decision, priority, self._monotonic())
        return True

    def remind(self) -> float | None:
        """Have jobs looked at again whose report was put off, that were paused, or whose pods should be gone by now.

        Returns the seconds until the next reminder.
        """
        now = self._monotonic()
        for key in self._told.due(now):
            self._mirror.touch(key)
        for uid in [uid for uid, until in self._paused.items() if until <= now]:
            del self._paused[uid]
            self._mirror.touch_uid(uid)
        for asked in [asked for asked, until in self._asked.items() if until <= now]:
            del self._asked[asked]
            self._mirror.pod_may_stay(*asked)
        times = (self._told.next_due, *self._paused.values(), *self._asked.values())
        upcoming = [at for at in times if at is not None]
        return max(0.0, min(upcoming) - now) if upcoming else None

    @property
    def under_way(self) -> int:
        """Decisions that are being carried out."""
        return len(self._tasks)

    async def finish(self, seconds: float) -> None:
        """Wait for what is under way; after `seconds` the rest is cancelled, as a crash would."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not self.broken.done():
            self.broken.set_exception(error)

    def _pausing(self, entry: JobEntry) -> bool:
        return self._paused.get(entry.uid, 0.0) > self._monotonic()

    async def _carry_out(self, entry: JobEntry, seen: TrainingJob, decision: Decision, priority: int) -> None:
        try:
            if decision.verb is Verb.REMOVE:
                await self._remove(entry)
                self._on_record(seen, decision)
            else:
                if decision.verb is Verb.FINISH:
                    # Once it is written that a job has ended, nobody looks after it any more.
                    await self._let_go_of_finished(entry, seen, decision)
                await self._write(entry, seen, decision, priority)
                if self._mirror.jobs.get(entry.key) is entry:  # else it went while its status was on the way
                    await self._touch_pods(entry, seen, decision)
        except (Conflict, NotFound) as error:
            logger.info("decided on an older state", extra={"job": str(entry.key), "error": str(error)})
            await self._read_again(entry)
        except Transient as error:
            logger.warning("no answer", extra={"job": str(entry.key), "error": str(error)})
            await self._read_again(entry)
        except ApiError as error:
            logger.error("refused", extra={"job": str(entry.key), "verb": decision.verb, "error": str(error)})
            self._recorder.post(
                regarding(entry.manifest), reason="Refused", note=str(error), action=decision.verb, warning=True
            )
            self._paused[entry.uid] = self._monotonic() + REFUSED_PAUSE
        finally:
            self._mirror.settle(entry.key, entry.uid)

    async def _write(self, entry: JobEntry, seen: TrainingJob, decision: Decision, priority: int) -> None:
        """Write the status, take its answer in, and tell what was decided."""
        status = records.write(
            decision.record,
            decision.report,
            generation=seen.metadata.generation,
            priority=priority,
            before=seen.status,
            now=int(self._clock()),
        )
        if status != seen.status:
            answer = await self._retrying(
                self._client.apply,
                TRAINING_JOBS,
                entry.key.name,
                {"metadata": {"uid": entry.uid}, "status": status.wire()},
                namespace=entry.key.namespace,
                subresource="status",
                resource_version=seen.metadata.resource_version,
            )
            self._mirror.put_job(TrainingJob.model_validate(answer))
        self._on_record(seen, decision)
        self._told.tell(entry, seen.metadata.generation, decision, priority, self._monotonic())
        event = decision.event or begins_to_wait(seen.status, decision.report)
        if decision.verb is not Verb.REPORT or event is not None:
            logger.info(
                event.note if event else decision.verb,
                extra={"job": str(entry.key), "verb": decision.verb, "attempt": decision.record.attempt},
            )
        if event is not None:
            self._recorder.post(
                regarding(entry.manifest),
                reason=event.reason,
                note=event.note,
                action=decision.verb,
                warning=event.warning,
            )

    async def _touch_pods(self, entry: JobEntry, seen: TrainingJob, decision: Decision) -> None:
        if decision.delete:
            ending = decision.record.ending
            doomed = decision.delete
            if ending is not None and ending.cause.of_scheduler:
                why = ending.message
                await self._each(doomed, lambda pod: self._mark_disrupted(entry, *pod, why))
            await self._each(doomed, lambda pod: self._delete_pod(entry, *pod))
        if decision.create:
            await self._create(entry, seen, decision.record, decision.create)
        if decision.verb is not Verb.FINISH:
            await self._let_go(entry, seen, decision)

    async def _let_go_of_finished(self, entry: JobEntry, seen: TrainingJob, decision: Decision) -> None:
        """What may not be removed is told, and holds neither the job's end nor its devices up."""
        try:
            await self._let_go(entry, seen, decision)
        except Transient:
            raise
        except ApiError as error:
            logger.warning("left behind", extra={"job": str(entry.key), "error": str(error)})
            note = f"left behind: {error}"
            self._recorder.post(
                regarding(entry.manifest), reason="LeftBehind", note=note, action=decision.verb, warning=True
            )

    async def _let_go(self, entry: JobEntry, seen: TrainingJob, decision: Decision) -> None:
        if decision.closed is not None:
            await self._belongings.delete(entry, seen, decision.closed)

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
        except (Conflict, NotFound, Transient):
            raise
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

    async def _remove(self, entry: JobEntry) -> None:
        logger.info("time to live is over", extra={"job": str(entry.key), "verb": Verb.REMOVE})
        try:
            await self._retrying(
                self._client.delete,
                TRAINING_JOBS,
                entry.key.name,
                namespace=entry.key.namespace,
                uid=entry.uid,
                propagation="Background",
            )
        except NotFound:
            self._mirror.drop_job(entry.key, entry.uid)
        else:
            self._paused[entry.uid] = self._monotonic() + LEAVING_PAUSE  # its watch tells when it has gone

    async def _read_again(self, entry: JobEntry) -> None:
        """Find out how a job stands, however long the API server takes to answer, and whatever it answers first.

        Until that is known, what was assumed counts: the write may have happened.
        """
        while True:
            try:
                answer = await self._retrying(
                    self._client.get, TRAINING_JOBS, entry.key.name, namespace=entry.key.namespace
                )
            except NotFound:
                self._mirror.drop_job(entry.key, entry.uid)
                return
            except ApiError as error:
                logger.warning("still no answer", extra={"job": str(entry.key), "error": str(error)})
                await asyncio.sleep(UNKNOWN_PAUSE)
            else:
                break
        try:
            self._mirror.put_job(TrainingJob.model_validate(answer))
        except ValueError as error:
            logger.error("unreadable TrainingJob", extra={"job": str(entry.key), "error": str(error)})
            self._paused[entry.uid] = self._monotonic() + REFUSED_PAUSE

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

        await asyncio.gather(*(worker() for _ in range(min(len(items), self._client.limit))))
        if errors:
            raise errors[min(errors)]

    async def _retrying(self, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await persist(
            partial(call, *args, **kwargs), deadline=self._monotonic() + PATIENCE, clock=self._monotonic
        )


def regarding(job: TrainingJob) -> Regarding:
    """What an event about a job refers to."""
    metadata = job.metadata
    return Regarding(API_VERSION, JOB_KIND, metadata.name, metadata.uid, metadata.namespace)


def _chosen(pool: PoolFacts, placement: Placement, rank: int) -> Chosen | None:
    """The devices that a placement gives to a rank, in the words of its pool; None where the plugin chooses."""
    if not placement.devices:
        return None
    return Chosen(pool.hand_over, pool.resource, placement.devices[rank], placement.admitted_at, rank)


def _owned(obj: JsonObject, entry: JobEntry) -> bool:
    """Whether a pod that was found under one of the job's names is the job's."""
    return any(owner.get("uid") == entry.uid for owner in obj["metadata"].get("ownerReferences") or ())

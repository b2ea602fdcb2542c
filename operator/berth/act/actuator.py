"""Carrying out a plan: one task for each job, so that a gang of 512 pods in the making delays nobody else.

From the moment a decision is taken until its task has ended the mirror counts the decision as fact and the cycle
leaves the job alone. Order inside a task: the status, guarded by the resourceVersion that the decision was made from;
then pods are deleted or created. A guard that fails means that the job has changed: it is read again and decided anew.
A write without an answer may have happened: the job is read until the API server answers, and only then let go.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import ParamSpec, TypeVar

from berth.act.attempts import LEAVING_PAUSE, Attempts
from berth.act.statuses import Told, begins_to_wait
from berth.api.job import TrainingJob
from berth.api.names import API_VERSION, JOB_KIND
from berth.cluster import records
from berth.cluster.jobs import JobEntry
from berth.cluster.mirror import Mirror
from berth.core.plan import Decision, Plan, Verb
from berth.kube.client import ApiClient
from berth.kube.errors import ApiError, Conflict, NotFound, Transient
from berth.kube.events import EventRecorder, Regarding
from berth.kube.resources import TRAINING_JOBS
from berth.kube.retries import persist

logger = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = 20.0
"""Seconds for which one call is tried again before its decision is given up and the job read anew."""
REFUSED_PAUSE = 5.0
"""Seconds for which a job is left alone after the API server refused what was decided for it."""
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
        self._on_record = on_record
        self._attempts = Attempts(
            client,
            mirror,
            self._retrying,
            epoch=epoch,
            priority_class=priority_class,
            clock=clock,
            monotonic=monotonic,
        )
        self._clock = clock
        self._monotonic = monotonic
        self._told = Told(report_every)
        self._paused: dict[str, float] = {}
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

    def pace(self, *, report_every: float) -> None:
        """Write numbers in sentences at most so often from now on; in seconds."""
        self._told.every = report_every

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
        times = (self._told.next_due, *self._paused.values(), *self._attempts.remind())
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
                    await self._attempts.carry_out(entry, seen, decision)
                    if decision.verb is not Verb.FINISH:
                        await self._let_go(entry, seen, decision)
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
            await self._attempts.let_go(entry, seen, decision.closed)

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

    async def _retrying(self, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await persist(
            partial(call, *args, **kwargs), deadline=self._monotonic() + PATIENCE, clock=self._monotonic
        )


def regarding(job: TrainingJob) -> Regarding:
    """What an event about a job refers to."""
    metadata = job.metadata
    return Regarding(API_VERSION, JOB_KIND, metadata.name, metadata.uid, metadata.namespace)

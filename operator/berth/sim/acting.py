"""Carrying plans out in the world of a run: what the actuators do in a cluster, with pods that are only told of.

A decision is carried out by what it says, not by why: its record becomes the job's, the pods that it names go, those
that it asks for are made. What then happens to the gang's work follows from its pods.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from berth.core.model import Job, JobKey, Phase, Pod, Record
from berth.core.plan import Decision, Verb
from berth.sim.case import Case
from berth.sim.courses import SUCCEEDED, Course
from berth.sim.events import Event, Events, Kind
from berth.sim.world import World


class Acting:
    """Carries decisions out, and lets pods live. `urgent`: something has changed that a cycle should see soon."""

    def __init__(self, case: Case, world: World, courses: dict[JobKey, Course], events: Events) -> None:
        self._case = case
        self._world = world
        self._courses = courses
        self._events = events
        self.urgent = False
        self.ended = 0

    # Decisions

    def carry_out(self, decision: Decision, now: int) -> None:
        """Do what a plan says about one job."""
        job = self._world.jobs[decision.key]
        if decision.verb is Verb.REMOVE:
            self._world.drop(job.key)
            return
        pods = self._deleted(job, decision, now) if decision.delete else job.pods
        before, course = job.record, self._courses[job.key]
        if decision.create:
            pods = (*pods, *self._made(job, decision, course.task.costs.start))
        if decision.record == before and pods is job.pods:
            self._world.put(job, now, decided=True)
            return
        self._world.put(job, now, decided=True, record=decision.record, pods=pods)
        self._follow(course, before, decision.record, now)
        if decision.verb is Verb.FINISH:
            self._finished(course, decision.record, now)
            self._world.drop(job.key)
            return
        if decision.delete:
            self._world.change(job.key)
        if decision.create and course.task.costs.start:
            self._events.add(now + course.task.costs.start, Event(Kind.UP, job.key, decision.record.attempt))

    def hold(self, job: Job, now: int) -> None:
        """Take in a job that has devices when the run begins, its pods up."""
        record = job.record
        assert record.placement is not None, f"{job.key} holds nothing"
        pods = _pods(job, record, range(len(record.placement.nodes)), up=lambda _: True)
        self._world.put(job, now, pods=pods)
        self._follow(self._courses[job.key], Record(), record, now)

    def _follow(self, course: Course, before: Record, record: Record, now: int) -> None:
        """Let a task's course follow its record: attempts that are over, and one that begins."""
        attempt, holds = course.attempt, record.holds
        if attempt is not None and (holds is None or record.attempt != attempt.number):
            cause = next((past.cause for past in record.attempts if past.attempt == attempt.number), SUCCEEDED)
            course.stop(now, str(cause), self._world.seats[attempt.placement.pool])
            self.urgent = True
        if holds is not None and (before.holds is None or record.attempt != before.attempt):
            begun = course.begin(record.attempt, holds, now, self._case.slowdown)
            self._events.add(begun.ends, Event(Kind.ENDED, course.task.key, begun.number))

    def _finished(self, course: Course, record: Record, now: int) -> None:
        outcome = record.outcome
        assert outcome is not None, f"{course.task.key} finished without an outcome"
        assert outcome.succeeded == (course.outcome == SUCCEEDED), f"{course.task.key}: {outcome.message}"
        if not outcome.succeeded:
            course.fail(now)
            self.ended += 1
        self.urgent = True

    # Pods

    def _deleted(self, job: Job, decision: Decision, now: int) -> tuple[Pod, ...]:
        """The pods of a job once those of a decision were told to go; on a node without contact nobody hears it."""
        self._courses[job.key].halt(now)
        uids = {uid for _, uid in decision.delete}
        stop = self._courses[job.key].task.costs.stop
        if stop:
            self._events.add(now + stop, Event(Kind.GONE, job.key))
        else:
            self.urgent = True
        return tuple(
            replace(pod, deleting=True, ready=False) if pod.uid in uids else pod
            for pod in job.pods
            if pod.uid not in uids or stop or self._world.is_down(pod.node)
        )

    def _made(self, job: Job, decision: Decision, start: int) -> tuple[Pod, ...]:
        """New pods of the current attempt, on their nodes; up at once if that takes no time."""
        up = (lambda _: False) if start else (lambda node: not self._world.is_down(node))
        return _pods(job, decision.record, decision.create, up=up)

    def up(self, key: JobKey, attempt: int, now: int) -> None:
        """The pods of an attempt have come up, but for those on nodes that are down.

        In a cluster that is written to a status and changes nothing else, so no cycle is asked to look.
        """
        job = self._world.jobs.get(key)
        if job is None or job.record.attempt != attempt or job.record.holds is None:
            return
        pods = tuple(
            replace(pod, phase=Phase.RUNNING, ready=True) if self._may_come_up(pod, attempt) else pod
            for pod in job.pods
        )
        self._world.put(job, now, pods=pods)

    def _may_come_up(self, pod: Pod, attempt: int) -> bool:
        waits = pod.attempt == attempt and pod.phase is Phase.PENDING and not pod.deleting
        return waits and not self._world.is_down(pod.node)

    def ended_well(self, key: JobKey, number: int, now: int) -> None:
        """An attempt comes to the end of its work, if nothing has halted it."""
        course = self._courses[key]
        attempt = course.attempt
        if attempt is None or attempt.number != number or attempt.halted is not None:
            return
        job = self._world.jobs[key]
        pods = tuple(
            replace(pod, phase=Phase.SUCCEEDED, ready=False, finished_at=now) if pod.attempt == number else pod
            for pod in job.pods
        )
        course.succeed(now, self._world.seats[attempt.placement.pool])
        self.ended += 1
        self._renew(job, pods)

    def gone(self, key: JobKey) -> None:
        """Pods that were told to stop have, but for those that have not heard it."""
        job = self._world.jobs.get(key)
        if job is not None:
            self._renew(job, tuple(p for p in job.pods if not p.deleting or self._world.is_down(p.node)))

    def _renew(self, job: Job, pods: tuple[Pod, ...]) -> None:
        self._world.renew(replace(job, pods=pods))
        self.urgent = True

    # Nodes

    def node_failed(self, event: Event, now: int) -> None:
        """A node fails: gangs that have a replica there stand still from this moment."""
        outage = event.outage
        assert outage is not None, "a node fails by an outage"
        for job in self._world.node_down(outage.node, outage.kind, now):
            current = any(pod.node == outage.node and pod.attempt == job.record.attempt for pod in job.pods)
            if current and job.record.holds is not None:
                self._courses[job.key].halt(now)
                pods = tuple(replace(p, ready=False) if p.node == outage.node else p for p in job.pods)
                self._renew(job, pods)
        self.urgent = True

    def node_returned(self, event: Event, now: int) -> None:
        """A node is back: pods that were to go are gone, others have ended with it, and through no fault of theirs."""
        outage = event.outage
        assert outage is not None, "a node returns from an outage"
        for job in self._world.node_up(outage.node, now):
            self._renew(self._world.jobs[job.key], tuple(_after_return(job.pods, outage.node, now)))
        self.urgent = True


def _after_return(pods: tuple[Pod, ...], node: str, now: int) -> list[Pod]:
    left = []
    for pod in pods:
        if pod.node != node or pod.ended:
            left.append(pod)
        elif not pod.deleting:
            words = "the node was restarted"
            left.append(replace(pod, phase=Phase.FAILED, ready=False, disrupted=True, finished_at=now, message=words))
    return left


def _pods(job: Job, record: Record, ranks: Iterable[int], *, up: Callable[[str], bool]) -> tuple[Pod, ...]:
    """Pods of the current attempt for some ranks, on their nodes, those of them up on whose nodes they can be."""
    placement = record.placement
    assert placement is not None, "pods are made for a placement"
    made = []
    for rank in ranks:
        name, node = f"{job.key.name}-{record.attempt}-{rank}", placement.nodes[rank]
        ready = up(node)
        phase = Phase.RUNNING if ready else Phase.PENDING
        made.append(Pod(name, f"{job.key.namespace}/{name}", record.attempt, rank, phase, node, ready))
    return tuple(made)

"""The engine: a virtual clock, a queue of events, and the cluster's own cycle, at most once in so many seconds.

A *turn* of the clock does what a cluster's operator does when its bell rings: it runs the cycle for the jobs that have
a step to take, carries the steps out and looks again, until nothing more follows at once; then it runs the cycle for
those that wait. In a cluster these cycles follow each other within a second, so that devices that were just given back
are there for who waits; here they share one moment of the clock.

Time only passes between turns, from one event to the next. What is decided is `core.cycle`, what is carried out is its
plan: the engine knows no reason and no rule.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from berth.core.admission import describe, find, refusal
from berth.core.calendar import Calendar
from berth.core.cycle import Snapshot, cycle
from berth.core.model import Gang, Hindrance, Job, JobKey, Record
from berth.core.plan import Reason
from berth.sim.acting import Acting
from berth.sim.case import Case, Outage, Task
from berth.sim.courses import Course
from berth.sim.events import Event, Events, Kind
from berth.sim.policies import POLICIES
from berth.sim.record import Run
from berth.sim.world import World, uid_of

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]


def run(case: Case, *, progress: Progress | None = None, stop: Stop | None = None) -> Run:
    """Play a case through.

    `progress` is told the virtual time and how many tasks have ended, once a turn. `stop`, asked as often, ends the run
    early when true: its record is then `partial`. Raises ValueError for a case that contradicts itself.
    """
    return Engine(case).run(progress or (lambda _now, _ended: None), stop or (lambda: False))


class Engine:
    """One run. `world` and `course`: what it is played in, and how tasks go."""

    world = World
    course = Course

    def __init__(self, case: Case) -> None:
        if case.policy not in POLICIES:
            raise ValueError(f"policy: there is no {case.policy!r}; there are {', '.join(sorted(POLICIES))}")
        if case.every < 1:
            raise ValueError(f"every: {case.every} is not a number of seconds; take 1 or more")
        self._case = case
        self._turns = POLICIES[case.policy](case)
        self._world = self.world(case)
        self._events = Events()
        self._courses = {task.key: self.course(task) for task in case.tasks}
        if len(self._courses) < len(case.tasks):
            twice = next(task.key for task in case.tasks if self._courses[task.key].task is not task)
            raise ValueError(f"tasks: two have the same key: {twice}")
        self._gangs: dict[Gang, Gang] = {}
        self._tasks = {task.key: task for task in case.tasks}
        self._acting = Acting(case, self._world, self._courses, self._events)
        self._refused: dict[Gang, Reason] = {}
        self._now = 0
        self._last: int | None = None
        self._cycles = 0
        for task in case.tasks:
            if task.held:
                self._hold(task)
            else:
                self._events.add(max(0, task.submit), Event(Kind.SUBMITTED, task.key))
        for outage in case.outages:
            self._plan(outage)

    def run(self, progress: Progress, stop: Stop) -> Run:
        """Play it through."""
        partial_ = False
        while (at := self._next()) is not None and (self._case.until is None or at[0] <= self._case.until):
            self._now, event_is_next = at
            if event_is_next:
                self._happen(self._events.pop())
                continue
            self._turn()
            progress(self._now, self._acting.ended)
            if stop():
                partial_ = True
                break
        if self._case.until is not None and not partial_:
            self._now = self._case.until
        return self._record(partial_)

    # Time

    def _next(self) -> tuple[int, bool] | None:
        """When something happens next, and whether it is an event (else it is a turn); None if nothing ever will."""
        if self._case.until is None and self._acting.ended == len(self._courses):
            return None
        event, turn = self._events.next(), self._next_turn()
        if event is not None and (turn is None or event <= turn):
            return event, True
        return None if turn is None else (turn, False)

    def _next_turn(self) -> int | None:
        wanted = self._now if self._acting.urgent else self._world.wake_at()
        if wanted is None:
            return None
        earliest = self._now if self._last is None else self._last + self._case.every
        return max(self._now, wanted, earliest)

    # Events

    def _happen(self, event: Event) -> None:
        now, acting = self._now, self._acting
        if event.kind is Kind.NODE_DOWN:
            acting.node_failed(event, now)
        elif event.kind is Kind.NODE_UP:
            acting.node_returned(event, now)
        elif event.key is None:
            raise AssertionError(f"{event.kind} concerns nobody")
        elif event.kind is Kind.SUBMITTED:
            self._world.put(self._job(self._tasks[event.key]), now)
            acting.urgent = True
        elif event.kind is Kind.ENDED:
            acting.ended_well(event.key, event.attempt, now)
        elif event.kind is Kind.UP:
            acting.up(event.key, event.attempt, now)
        else:
            acting.gone(event.key)

    # A turn

    def _turn(self) -> None:
        self._last = self._now
        self._acting.urgent = False
        while (snapshot := self._world.steps(self._now)) is not None:
            self._cycle(snapshot, self._world.staying(self._now, but=[job.key for job in snapshot.jobs]))
        self._acting.urgent = False
        snapshot = self._world.queue()
        if snapshot is not None:
            self._cycle(snapshot, self._world.staying(self._now))

    def _cycle(self, snapshot: Snapshot, staying: Calendar) -> None:
        plan = cycle(snapshot, self._now, turns=partial(self._turns, staying=staying), told=False)
        self._cycles += 1
        for decision in plan.decisions:
            self._acting.carry_out(decision, self._now)

    # The beginning and the end

    def _hold(self, task: Task) -> None:
        """Give a task the devices that it has when the run begins."""
        for pool in self._world.pools.values():
            position = pool.ledger.tree.position
            if all(node in position for node in task.held):
                break
        else:
            raise ValueError(f"task {task.key}: no pool has all of the nodes {', '.join(task.held)} that it sits on")
        if len(task.held) != task.gang.replicas:
            raise ValueError(f"task {task.key} has {task.gang.replicas} replicas, and sits on {len(task.held)} nodes")
        job, demand = self._job(task), pool.demand(task.gang)
        for node, replicas in Counter(task.held).items():
            room = pool.ledger.room(position[node], demand)
            if room < replicas:
                raise ValueError(f"task {task.key} has {replicas} replicas on node {node}, which has room for {room}")
        placement = describe(pool, [position[node] for node in task.held], job.generation, now=task.since, epoch=0)
        record = Record(attempt=1, placement=placement, held=task.spent, started_at=task.since)
        self._acting.hold(replace(job, record=record), 0)

    def _plan(self, outage: Outage) -> None:
        pool = self._world.pools.get(outage.pool)
        if pool is None or outage.node not in pool.ledger.tree.position:
            raise ValueError(f"outages: pool {outage.pool} has no node {outage.node}")
        if outage.end is not None and outage.end <= outage.start:
            raise ValueError(f"outages: node {outage.node} is back at {outage.end}, it failed at {outage.start}")
        self._events.add(outage.start, Event(Kind.NODE_DOWN, outage=outage))
        if outage.end is not None:
            self._events.add(outage.end, Event(Kind.NODE_UP, outage=outage))

    def _record(self, partial_: bool) -> Run:
        end, case = self._now, self._case
        outages = tuple(
            replace(outage, end=outage.end if outage.end is not None and outage.end <= end else None)
            for outage in case.outages
            if outage.start <= end
        )
        return Run(
            case=case.name,
            policy=case.policy,
            seed=case.seed,
            load=case.load,
            end=end,
            lives=tuple(
                self._courses[task.key].life(end, self._world.seats, self._why(task.key)) for task in case.tasks
            ),
            outages=outages,
            cycles=self._cycles,
            partial=partial_,
        )

    def _why(self, key: JobKey) -> str:
        """Why a task waits that has never started; empty if it has, or was not submitted."""
        job = self._world.jobs.get(key)
        if job is None or job.record.attempt:
            return ""
        if job.hindrance is not None:
            return job.hindrance.reason
        if job.gang not in self._refused:
            held_back = find(job.gang, self._world.pools) is not None
            refused = Reason.QUEUED_BEHIND if held_back else refusal(job.gang, self._world.pools).reason
            self._refused[job.gang] = refused
        return str(self._refused[job.gang])

    def _job(self, task: Task) -> Job:
        """A task as it is submitted. Equal gangs are one object, as they are soon told to be equal then."""
        return Job(
            key=task.key,
            uid=uid_of(task.key),
            generation=1,
            submitted=task.submit,
            gang=self._gangs.setdefault(task.gang, task.gang),
            priority=task.priority,
            max_duration=task.declared,
            record=Record(held=task.spent),
            hindrance=Hindrance(task.held_back, "as the case says") if task.held_back else None,
        )

"""A cycle: a frozen snapshot and the time in, a plan out. The steps stand on one screen; the rules in their rooms."""

from dataclasses import dataclass, replace

from berth.core import charges, explain, repair
from berth.core.admission import Berth, Pool
from berth.core.backfill import Line, Turns
from berth.core.faults import DEFAULT_WAITS, Waits, avoiding
from berth.core.lifecycle import advance, due, untried
from berth.core.model import Job, JobKey, Mode, Placement, Record
from berth.core.plan import Decision, Event, Pending, Plan, Reason, Verb
from berth.core.stays import DEFAULT, Backfill
from berth.core.waiting import pendings


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a cycle knows. What jobs and foreign pods hold is already taken in the pools' ledgers.

    `touched`: jobs that changed since the last cycle. Others with devices or an outcome are passed over, as nothing but
    time could change their next step, and `Plan.wake_at` told when. None: look at all. `epoch`: the leader's term.
    `waits`: how long doubts are waited out. `backfill`: for how many gangs a place is kept, and how long others last.
    """

    jobs: tuple[Job, ...]
    pools: dict[str, Pool]
    mode: Mode = Mode.ACTIVE
    touched: frozenset[JobKey] | None = None
    epoch: int = 0
    waits: Waits = DEFAULT_WAITS
    backfill: Backfill = DEFAULT


def cycle(snapshot: Snapshot, now: int, *, turns: Turns = Line, told: bool = True) -> Plan:
    """Decide what is to be done now. Pure: the snapshot's ledgers are forked, never changed.

    `turns`: the rule of the queue. Not `told`: those who wait are told nothing, and the plan says nothing of them;
    to tell them, the turn must be a `Line`.
    """
    # 1. Every job that holds something, or must not have anything, takes its next step.
    steps, queue, wake_at = _advanced(snapshot, now)
    pools = {name: replace(pool, ledger=pool.ledger.fork()) for name, pool in snapshot.pools.items()}
    # 2. Of those steps, an attempt that ends because it lost nodes is followed by the next one at once, if it can be.
    steps.sort(key=lambda pair: precedence(pair[0]))
    decisions = [_onward(job, step, pools, snapshot, now) for job, step in steps]
    decisions.sort(key=lambda decision: decision.key)
    # 3. Who wants devices lines up.
    queue.sort(key=precedence)
    # 4. One after the other gets the narrowest place that holds it whole, and that delays nobody before it.
    decided = {decision.key: decision.record for decision in decisions}
    turn = turns(pools, snapshot.jobs, decided, snapshot.backfill, now)
    waiting: list[Job] = []
    started: list[tuple[Job, Berth]] = []
    for job in queue:
        berth = turn.start(job)
        if berth is None:
            waiting.append(job)
        else:
            started.append((job, berth))
    berths = [berth for _, berth in started] if waiting else turn.together(started)
    decisions += [_admit(job, berth, snapshot, now) for (job, _), berth in zip(started, berths, strict=True)]
    # 5. Who is left hears why, from what is left: the next cycle, on the same facts, would say the same.
    if told:
        assert isinstance(turn, Line), "those who wait are told from what is kept for them"
        for job, pending in pendings(waiting, turn):
            decisions.append(Decision(job.key, job.uid, Verb.REPORT, job.record, explain.waiting(job, pending)))
    # 6. An observer keeps its hands off.
    if snapshot.mode is Mode.OBSERVE:
        records = {job.key: job.record for job in snapshot.jobs}
        decisions = [_observed(decision, records[decision.key]) for decision in decisions]
    return Plan(decisions=tuple(decisions), wake_at=wake_at)


def _advanced(snapshot: Snapshot, now: int) -> tuple[list[tuple[Job, Decision]], list[Job], int | None]:
    """The jobs that have a next step, those that want devices, and when time alone changes either next."""
    steps: list[tuple[Job, Decision]] = []
    queue: list[Job] = []
    wakes: list[int] = []
    for job in snapshot.jobs:
        if job.busy or job.deleting:
            continue
        if untried(job):
            queue.append(job)
            continue
        wake = due(job, now, snapshot.waits)
        if wake is not None and wake > now:
            wakes.append(wake)
        if _unchanged(job, snapshot, wake, now):
            continue
        step = advance(job, now, snapshot.waits)
        if step is None:
            queue.append(avoiding(job, now))
        else:
            steps.append((job, step))
    return steps, queue, min(wakes, default=None)


def precedence(job: Job) -> tuple[int, int, JobKey, str]:
    """Order of the queue: higher priority, then earlier first submission, then name."""
    return (-job.priority, job.submitted, job.key, job.uid)


def _unchanged(job: Job, snapshot: Snapshot, wake: int | None, now: int) -> bool:
    """Whether a job's next step is the one that the last cycle already decided."""
    if snapshot.touched is None or job.key in snapshot.touched or (wake is not None and wake <= now):
        return False
    return job.record.placement is not None or job.record.outcome is not None


def _admit(job: Job, berth: Berth, snapshot: Snapshot, now: int) -> Decision:
    record = job.record
    placement = berth.placement(job.generation, now, snapshot.epoch)
    if snapshot.mode is Mode.OBSERVE:
        text = f"would start now: {explain.spread(placement)}; Berth only observes (mode Observe)"
        report = explain.waiting(job, Pending(Reason.OBSERVING, text))
        return Decision(job.key, job.uid, Verb.REPORT, record, report)
    admitted = _next_attempt(job, record, placement, now, snapshot.waits)
    return Decision(
        key=job.key,
        uid=job.uid,
        verb=Verb.ADMIT,
        record=admitted,
        report=explain.placed(job.gang, admitted, 0),
        create=tuple(range(len(placement.nodes))),
        event=Event("Admitted", f"attempt {admitted.attempt}: {explain.spread(placement)}"),
    )


def _next_attempt(job: Job, record: Record, placement: Placement, now: int, waits: Waits) -> Record:
    return Record(
        # Beyond any pod that is there: should a status have been lost, no old pod is taken for one of this attempt.
        attempt=max(record.attempt, *(pod.attempt for pod in job.pods), 0) + 1,
        placement=placement,
        failures=record.failures,
        held=record.held,
        attempts=charges.remembered(record.attempts, now, waits),
        refusals=tuple(refusal for refusal in record.refusals if refusal.until > now),
    )


def _onward(job: Job, step: Decision, pools: dict[str, Pool], snapshot: Snapshot, now: int) -> Decision:
    """The closing of an attempt with the next one in the same write, if it may and can be repaired; else the step."""
    if not repair.may_go_on(job, step, snapshot.mode):
        return step
    mended = repair.mend(avoiding(job, now), pools, now, snapshot.epoch)
    if mended is None:
        return step
    assert step.event is not None, "the end of an attempt is told"
    pools[mended.pool.name] = mended.pool
    admitted = _next_attempt(job, step.record, mended.placement, now, snapshot.waits)
    note = f"{step.event.note}; attempt {admitted.attempt}: {mended.told()}"
    return replace(
        step,
        verb=Verb.ADMIT,
        record=admitted,
        report=explain.placed(job.gang, admitted, 0),
        create=tuple(range(len(mended.placement.nodes))),
        event=replace(step.event, reason="Repaired", note=note),
    )


def _observed(decision: Decision, record: Record) -> Decision:
    """The same news without the deed."""
    if decision.verb is Verb.REPORT:
        return decision
    return replace(decision, verb=Verb.REPORT, record=record, create=(), delete=(), event=None)

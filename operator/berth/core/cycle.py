"""A cycle: a frozen snapshot and the time in, a plan out. The steps stand on one screen; the rules in their rooms."""

from dataclasses import dataclass, replace

from berth.core import explain
from berth.core.admission import Berth, Pool
from berth.core.backfill import Line
from berth.core.future import DEFAULT, Backfill
from berth.core.lifecycle import advance, due
from berth.core.model import Job, JobKey, Mode, Record
from berth.core.plan import Decision, Event, Pending, Plan, Reason, Verb
from berth.core.waiting import pendings


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a cycle knows. What jobs and foreign pods hold is already taken in the pools' ledgers.

    `touched`: jobs that changed since the last cycle. Others with devices or an outcome are passed over, as nothing but
    time could change their next step, and `Plan.wake_at` told when. None: look at all. `epoch`: the leader's term.
    """

    jobs: tuple[Job, ...]
    pools: dict[str, Pool]
    mode: Mode = Mode.ACTIVE
    touched: frozenset[JobKey] | None = None
    epoch: int = 0
    backfill: Backfill = DEFAULT


def cycle(snapshot: Snapshot, now: int) -> Plan:
    """Decide what is to be done now. Pure: the snapshot's ledgers are forked, never changed."""
    # 1. Every job that holds something, or must not have anything, takes its next step.
    decisions: list[Decision] = []
    queue: list[Job] = []
    wakes: list[int] = []
    for job in snapshot.jobs:
        if job.busy or job.deleting:
            continue
        wake = due(job, now)
        if wake is not None and wake > now:
            wakes.append(wake)
        if _unchanged(job, snapshot, wake, now):
            continue
        step = advance(job, now)
        if step is None:
            queue.append(job)
        else:
            decisions.append(step)
    decisions.sort(key=lambda decision: decision.key)
    # 2. Who wants devices lines up.
    queue.sort(key=precedence)
    # 3. One after the other gets the narrowest place that holds it whole, and that delays nobody before it.
    pools = {name: replace(pool, ledger=pool.ledger.fork()) for name, pool in snapshot.pools.items()}
    ending = {decision.key for decision in decisions if decision.record.holds is None}
    line = Line(pools, snapshot.jobs, ending, snapshot.backfill, now)
    waiting: list[Job] = []
    for job in queue:
        berth = line.start(job)
        if berth is None:
            waiting.append(job)
        else:
            decisions.append(_admit(job, berth, snapshot, now))
    # 4. Who is left hears why, from what is left: the next cycle, on the same facts, would say the same.
    for job, pending in pendings(waiting, line):
        decisions.append(Decision(job.key, job.uid, Verb.REPORT, job.record, explain.waiting(job, pending)))
    # 5. An observer keeps its hands off.
    if snapshot.mode is Mode.OBSERVE:
        records = {job.key: job.record for job in snapshot.jobs}
        decisions = [_observed(decision, records[decision.key]) for decision in decisions]
    return Plan(decisions=tuple(decisions), wake_at=min(wakes, default=None))


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
    admitted = Record(
        # Beyond any pod that is there: should a status have been lost, no old pod is taken for one of this attempt.
        attempt=max(record.attempt, *(pod.attempt for pod in job.pods), 0) + 1,
        placement=placement,
        failures=record.failures,
        held=record.held,
        attempts=record.attempts,
    )
    return Decision(
        key=job.key,
        uid=job.uid,
        verb=Verb.ADMIT,
        record=admitted,
        report=explain.placed(job.gang, admitted, 0),
        create=tuple(range(len(placement.nodes))),
        event=Event("Admitted", f"attempt {admitted.attempt}: {explain.spread(placement)}"),
    )


def _observed(decision: Decision, record: Record) -> Decision:
    """The same news without the deed."""
    if decision.verb is Verb.REPORT:
        return decision
    return replace(decision, verb=Verb.REPORT, record=record, create=(), delete=(), event=None)

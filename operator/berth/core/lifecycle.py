"""One job, from its record and its pods to its next step.

Level-triggered: what was done before is read from the record and from the pods, never remembered. Each step is written
to the record before it shows in pods (a placement before the first pod, the cause of an ending before the first
deletion), so a fresh operator that looks at the same objects takes the same step.
"""

from dataclasses import replace

from berth.core import charges, devices, explain, faults
from berth.core.faults import DEFAULT_WAITS, Waits
from berth.core.model import Attempt, Cause, Ending, Hindrance, Job, Outcome, Pod, Record
from berth.core.plan import Decision, Event, Pending, Reason, Report, Verb

BACKOFF_BASE = 10
BACKOFF_MOST = 600
"""Seconds before the next attempt after an own failure: doubling from the one to the other."""
SHORT_ATTEMPT = 60
"""An attempt that lost its pods within so many seconds waits `BACKOFF_BASE` before the next, so that whatever takes
pods away is not answered in a tight loop."""
KEPT_ATTEMPTS = 5


def advance(job: Job, now: int, waits: Waits = DEFAULT_WAITS) -> Decision | None:
    """Decide the next step of one job; None if it wants devices and nothing but room keeps it waiting."""
    reviewed = charges.review(job, now, waits)
    if reviewed is None:
        return _advance(job, now, waits)
    job, news = replace(job, record=reviewed[0]), reviewed[1]
    step = _advance(job, now, waits) or _decide(job, Verb.REPORT, job.record, explain.backing_off(job, None))
    if step.event is None:
        return replace(step, event=Event("NotCharged", news))
    return step if news in step.event.note else replace(step, event=_with(step.event, f"; {news}"))


def _with(event: Event, more: str) -> Event:
    return replace(event, note=event.note + more)


def _advance(job: Job, now: int, waits: Waits) -> Decision | None:
    record = job.record
    if record.outcome is not None:
        return _after_the_end(job, record.outcome, now)
    if record.placement is None:
        return _without_devices(job, now, waits)
    step = _held(job, now, waits) if record.ending is None else _stop(job, record, now, waits)
    return _without_strays(job, step)


def untried(job: Job) -> bool:
    """Whether a job has no history, so that nothing but room keeps it waiting, however much time passes.

    It says in no time of most that wait what `advance` and `due` would: no step, and no moment.
    """
    record = job.record
    return not (
        record.attempt
        or record.attempts
        or record.refusals
        or job.pods
        or job.suspended
        or job.hindrance is not None
        or record.placement is not None
        or record.outcome is not None
        or record.retry_after is not None
        or (job.max_duration is not None and record.held >= job.max_duration)
    )


def due(job: Job, now: int, waits: Waits = DEFAULT_WAITS) -> int | None:
    """The next moment at which time alone changes the next step of this job; `now` if that has come already."""
    record = job.record
    if record.outcome is not None:
        return None if job.ttl is None else max(now, record.outcome.at + job.ttl)
    moments = [*faults.due(job, now, waits), *charges.due(job, now, waits)]
    if record.retry_after is not None and record.placement is None and record.retry_after > now:
        moments.append(record.retry_after)
    if record.placement is not None and record.ending is None and job.max_duration is not None:
        moments.append(max(now, record.placement.admitted_at + job.max_duration - record.held))
    return min(moments, default=None)


def _decide(job: Job, verb: Verb, record: Record, report: Report, **more: object) -> Decision:
    return Decision(key=job.key, uid=job.uid, verb=verb, record=record, report=report, **more)  # type: ignore[arg-type]


def _after_the_end(job: Job, outcome: Outcome, now: int) -> Decision:
    report = explain.finished(outcome)
    running = _to_delete(job.pods)
    if running:
        return _decide(job, Verb.STOP, job.record, report, delete=running)
    if job.ttl is not None and now >= outcome.at + job.ttl:
        return _decide(job, Verb.REMOVE, job.record, report)
    return _decide(job, Verb.REPORT, job.record, report)


def _without_devices(job: Job, now: int, waits: Waits) -> Decision | None:
    strays = _to_delete(job.pods)
    if strays:
        text = f"deleting {explain.count(len(strays), 'pod')} of an attempt that is over"
        report = explain.hindered(job, Hindrance("Stopping", text))
        return _decide(job, Verb.STOP, job.record, report, delete=strays)
    if job.suspended:
        return _decide(job, Verb.REPORT, job.record, explain.suspended())
    if job.max_duration is not None and job.record.held >= job.max_duration:
        return _out_of_time(job, job.record, now)
    final = charges.last_allowed(job, waits)
    if final is not None:
        last, until = final
        if now < until:
            return _decide(job, Verb.REPORT, job.record, _undecided(job, last, until))
        outcome = Outcome(False, now, charges.verdict(job, last))
        return _finish(job, replace(job.record, outcome=outcome, retry_after=None), outcome)
    if job.record.retry_after is not None and now < job.record.retry_after:
        return _decide(job, Verb.REPORT, job.record, explain.backing_off(job, explain.moment(job.record.retry_after)))
    if job.hindrance is not None:
        return _decide(job, Verb.REPORT, job.record, explain.hindered(job, job.hindrance))
    return None


def _undecided(job: Job, last: Attempt, until: int) -> Report:
    return explain.waiting(job, Pending(Reason.CHARGE_PENDING, charges.undecided(job, last, until)))


def _without_strays(job: Job, step: Decision) -> Decision:
    """The same step, and pods deleted that are of no rank of the current attempt.

    A create that was under way when an operator died may land after its attempt was closed, or after its rank was done
    and its pod gone.
    """
    placement = job.record.placement
    assert placement is not None, "only a placed job gets here"
    current, ranks = job.record.attempt, set(range(len(placement.nodes))).difference(placement.succeeded)
    strays = _to_delete(tuple(pod for pod in job.pods if pod.attempt != current or pod.rank not in ranks))
    if not strays:
        return step
    verb = Verb.STOP if step.verb is Verb.REPORT else step.verb
    return replace(step, verb=verb, delete=tuple(dict.fromkeys((*step.delete, *strays))))


def _held(job: Job, now: int, waits: Waits) -> Decision:
    """Next step of a job that holds devices."""
    pods = faults.open_pods(job)
    record, placement = job.record, job.record.placement
    assert placement is not None, "only a placed job gets here"
    ranks, over = range(len(placement.nodes)), faults.done(placement, pods)
    missing = tuple(rank for rank in ranks if rank not in pods and rank not in over)
    succeeded = len(over) == len(ranks)
    stopped = None if succeeded else faults.stopped(job, pods, now, waits)
    if stopped is not None:
        # The next attempt starts whole: what is done of this one has not to be known any more, and takes room.
        return _stop(job, replace(stopped, placement=replace(placement, succeeded=())), now, waits)
    # Every rank that has succeeded goes on record, so that its work is not lost with its pod.
    if len(over) > len(placement.succeeded) or not (missing or placement.pods_created):
        created = placement.pods_created or not missing
        placement = replace(placement, succeeded=tuple(sorted(over)), pods_created=created)
    if missing:
        record = replace(record, placement=placement)
        report = explain.placed(job.gang, record, 0)
        return _decide(job, Verb.CREATE, record, report, create=missing)
    up = len(over) + sum(1 for rank, pod in pods.items() if pod.ready and rank not in over)
    differing = devices.differing(placement, pods)
    if len(differing) > placement.differing:
        record = replace(record, placement=replace(placement, differing=len(differing)))
        warning = Event("OtherDevices", devices.told(placement, differing), warning=True)
        return _decide(job, Verb.REPORT, record, explain.placed(job.gang, record, up), event=warning)
    first_up = record.started_at is None and up == len(ranks)
    started = now if first_up else record.started_at
    if succeeded:
        outcome = Outcome(True, now, f"{explain.count(len(ranks), 'replica')} succeeded in attempt {record.attempt}")
        record = replace(record, placement=placement, started_at=started, outcome=outcome)
        return _finish(job, record, outcome, closed=record.attempt)
    event = None
    if first_up:
        event = Event("Started", f"{explain.count(up, 'replica')} ready, attempt {record.attempt}")
    if first_up or placement is not record.placement:
        record = replace(record, placement=placement, started_at=started)
    held_up = faults.first_held_up(placement, pods)
    return _decide(job, Verb.REPORT, record, explain.placed(job.gang, record, up, held_up), event=event)


def _stop(job: Job, record: Record, now: int, waits: Waits) -> Decision:
    """Delete the pods of an attempt that has to end; give the devices back once none is left that may still run."""
    ending = record.ending
    assert ending is not None, "an attempt is stopped for a recorded cause"
    left = [pod for pod in job.pods if pod.attempt == record.attempt and not pod.ended]
    given_up = faults.unconfirmed(job, left, ending, now, waits)
    if len(given_up) == len(left) and not faults.shape_unknown(job, ending):
        return _close(job, record, given_up, now, waits)
    fresh = job.record.ending is None
    event = Event("Stopping", f"attempt {record.attempt}: {ending.message}", ending.cause is not Cause.SUSPENDED)
    doomed = _to_delete(tuple(left))
    return _decide(
        job,
        Verb.STOP if doomed else Verb.REPORT,
        record,
        explain.stopping(record, len(left), faults.waited_for(job, left, ending, waits)),
        delete=doomed,
        event=event if fresh else None,
    )


def _close(job: Job, record: Record, given_up: tuple[Pod, ...], now: int, waits: Waits) -> Decision:
    """Record the end of an attempt whose pods are all gone or done, or given up."""
    ending, placement = record.ending, record.placement
    assert ending is not None, "an attempt is closed for a recorded cause"
    assert placement is not None, "only an attempt with a placement can end"
    own = ending.cause is Cause.OWN_FAILURE
    sat = tuple(sorted(set(placement.nodes))) if own else ()
    over = Attempt(record.attempt, placement.admitted_at, ending.at, ending.cause, ending.first_failure, sat)
    former = tuple(replace(attempt, nodes=()) if attempt.nodes else attempt for attempt in record.attempts)
    failures, attempts = record.failures + own, (*former, over)[-KEPT_ATTEMPTS:]
    held = record.held + max(0, now - placement.admitted_at)
    # Unless somebody has allowed it more time while it was being stopped.
    if ending.cause is Cause.TIME_LIMIT and job.max_duration is not None and held >= job.max_duration:
        ended = _out_of_time(job, replace(record, ending=None, attempts=attempts, held=held), now)
        return replace(ended, closed=record.attempt)
    wait = charges.wait(sat, _backoff(ending, placement.admitted_at, failures, attempts), waits)
    freed = replace(
        record,
        ending=None,
        placement=None,
        started_at=None,
        failures=failures,
        attempts=attempts,
        held=held,
        retry_after=ending.at + wait if wait else None,
    )
    note = f"attempt {record.attempt} is over: {ending.message}{faults.without(given_up)}"
    event = Event("Requeued", note, own or bool(given_up))
    after = replace(job, record=freed)
    final = charges.last_allowed(after, waits)
    if ending.cause is Cause.SUSPENDED:
        report, event = explain.suspended(), replace(event, reason="Suspended", note=ending.message)
    elif final is not None and now < final[1]:
        report, event = _undecided(after, *final), replace(event, reason="ChargePending")
    else:
        report = explain.backing_off(after, explain.moment(ending.at + wait) if wait else None)
    return _decide(job, Verb.CLOSE, freed, report, event=event, closed=record.attempt)


def _out_of_time(job: Job, record: Record, now: int) -> Decision:
    """End a job that has held devices for as long as it may."""
    assert job.max_duration is not None, "a job without a limit is never out of time"
    text = explain.out_of_time(record.held, record.attempt, job.max_duration)
    outcome = Outcome(succeeded=False, at=now, message=text, out_of_time=True)
    return _finish(job, replace(record, outcome=outcome), outcome)


def _finish(job: Job, record: Record, outcome: Outcome, *, closed: int | None = None) -> Decision:
    name = "Succeeded" if outcome.succeeded else "Failed"
    event = Event(name, outcome.message, not outcome.succeeded)
    return _decide(job, Verb.FINISH, record, explain.finished(outcome), event=event, closed=closed)


def _backoff(ending: Ending, admitted_at: int, failures: int, attempts: tuple[Attempt, ...]) -> int:
    """Seconds to wait before the next attempt."""
    if ending.cause is Cause.OWN_FAILURE:
        return _doubled(failures)
    if ending.cause in _REFUSED:
        return _doubled(sum(1 for attempt in attempts if attempt.cause in _REFUSED))
    if ending.cause is Cause.PODS_LOST and ending.at - admitted_at < SHORT_ATTEMPT:
        return BACKOFF_BASE
    return 0


_REFUSED = (Cause.PODS_REFUSED, Cause.START_DEADLINE)


def _doubled(times: int) -> int:
    return min(BACKOFF_MOST, BACKOFF_BASE << min(times - 1, 10))


def _to_delete(pods: tuple[Pod, ...]) -> tuple[tuple[str, str], ...]:
    doomed = sorted((pod.attempt, pod.rank, pod.name, pod.uid) for pod in pods if not pod.ended and not pod.deleting)
    return tuple((name, uid) for _, _, name, uid in doomed)

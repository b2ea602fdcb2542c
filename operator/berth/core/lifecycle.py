"""One job, from its record and its pods to its next step.

Level-triggered: what was done before is read from the record and from the pods, never remembered. Each step is written
to the record before it shows in pods (a placement before the first pod, the cause of an ending before the first
deletion), so a fresh operator that looks at the same objects takes the same step.
"""

from dataclasses import replace

from berth.core import explain
from berth.core.model import Attempt, Cause, Ending, FirstFailure, Hindrance, Job, Outcome, Phase, Pod, Record
from berth.core.plan import Decision, Event, Report, Verb

BACKOFF_BASE = 10
BACKOFF_MOST = 600
"""Seconds before the next attempt after an own failure: doubling from the one to the other."""
SHORT_ATTEMPT = 60
"""An attempt that lost its pods within so many seconds waits `BACKOFF_BASE` before the next, so that whatever takes
pods away is not answered in a tight loop."""
KEPT_ATTEMPTS = 5


def advance(job: Job, now: int) -> Decision | None:
    """Decide the next step of one job; None if it wants devices and nothing but room keeps it waiting."""
    record = job.record
    if record.outcome is not None:
        return _after_the_end(job, record.outcome, now)
    if record.placement is None:
        return _without_devices(job, now)
    step = _held(job, now) if record.ending is None else _stop(job, record, now)
    return _without_strays(job, step)


def due(job: Job, now: int) -> int | None:
    """The next moment at which time alone changes the next step of this job."""
    record = job.record
    if record.outcome is not None and job.ttl is not None:
        return max(now, record.outcome.at + job.ttl)
    if record.retry_after is not None and record.placement is None and record.retry_after > now:
        return record.retry_after
    if record.placement is not None and record.ending is None and job.max_duration is not None:
        return max(now, record.placement.admitted_at + job.max_duration - record.held)
    return None


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


def _without_devices(job: Job, now: int) -> Decision | None:
    strays = _to_delete(job.pods)
    if strays:
        text = f"deleting {explain.count(len(strays), 'pod')} of an attempt that is over"
        report = explain.hindered(job, Hindrance("Stopping", text))
        return _decide(job, Verb.STOP, job.record, report, delete=strays)
    if job.suspended:
        return _decide(job, Verb.REPORT, job.record, explain.suspended())
    if job.max_duration is not None and job.record.held >= job.max_duration:
        return _out_of_time(job, job.record, now)
    if job.record.retry_after is not None and now < job.record.retry_after:
        return _decide(job, Verb.REPORT, job.record, explain.backing_off(job, explain.second(job.record.retry_after)))
    if job.hindrance is not None:
        return _decide(job, Verb.REPORT, job.record, explain.hindered(job, job.hindrance))
    return None


def _without_strays(job: Job, step: Decision) -> Decision:
    """The same step, and pods deleted that are of no rank of the current attempt.

    A create that was under way when an operator died may land after its attempt was closed.
    """
    placement = job.record.placement
    assert placement is not None, "only a placed job gets here"
    current, ranks = job.record.attempt, range(len(placement.nodes))
    strays = _to_delete(tuple(pod for pod in job.pods if pod.attempt != current or pod.rank not in ranks))
    if not strays:
        return step
    verb = Verb.STOP if step.verb is Verb.REPORT else step.verb
    return replace(step, verb=verb, delete=tuple(dict.fromkeys((*step.delete, *strays))))


def _held(job: Job, now: int) -> Decision:
    """Next step of a job that holds devices."""
    record = job.record
    placement = record.placement
    assert placement is not None, "only a placed job gets here"
    ranks = range(len(placement.nodes))
    pods = {pod.rank: pod for pod in job.pods if pod.attempt == record.attempt and pod.rank in ranks}
    missing = tuple(rank for rank in ranks if rank not in pods)
    succeeded = not missing and all(pod.phase is Phase.SUCCEEDED for pod in pods.values())
    ending = None if succeeded else _reason_to_stop(job, pods, missing, now)
    if ending is not None:
        return _stop(job, replace(record, ending=ending), now)
    if missing:
        report = explain.placed(job.gang, record, 0)
        return _decide(job, Verb.CREATE, record, report, create=missing)
    up = sum(1 for pod in pods.values() if pod.ready or pod.phase is Phase.SUCCEEDED)
    if not placement.pods_created:
        record = replace(record, placement=replace(placement, pods_created=True))
    event = None
    if record.started_at is None and up == len(ranks):
        record = replace(record, started_at=now)
        event = Event("Started", f"{explain.count(up, 'replica')} ready, attempt {record.attempt}")
    if succeeded:
        outcome = Outcome(True, now, f"{explain.count(len(ranks), 'replica')} succeeded in attempt {record.attempt}")
        return _finish(job, replace(record, outcome=outcome), outcome)
    return _decide(job, Verb.REPORT, record, explain.placed(job.gang, record, up), event=event)


def _reason_to_stop(job: Job, pods: dict[int, Pod], missing: tuple[int, ...], now: int) -> Ending | None:
    """Why the attempt cannot or must not go on; None if it can."""
    placement = job.record.placement
    assert placement is not None, "only a placed job gets here"
    # A container may answer SIGTERM with any exit code: what fails while somebody deletes it, or beside such, is lost.
    leaving = sorted((p.rank, p.name) for p in pods.values() if p.deleting and p.phase is not Phase.SUCCEEDED)
    failed = [pod for pod in pods.values() if pod.phase is Phase.FAILED]
    if failed and not leaving:
        disrupted = [pod for pod in failed if pod.disrupted]
        return _failure(min(disrupted or failed, key=lambda pod: (pod.finished_at or now, pod.rank)), now)
    if job.suspended:
        return Ending(Cause.SUSPENDED, now, "spec.suspend is true")
    held = job.record.held + now - placement.admitted_at
    if job.max_duration is not None and held >= job.max_duration:
        return Ending(Cause.TIME_LIMIT, now, explain.out_of_time(held, job.record.attempt, job.max_duration))
    if leaving:
        return Ending(Cause.PODS_LOST, now, f"somebody else deleted {_some([name for _, name in leaving])}")
    if missing and placement.pods_created:
        names = [f"{job.key.name}-{job.record.attempt}-{rank}" for rank in missing]
        return Ending(Cause.PODS_LOST, now, f"{_some(names)} vanished")
    if missing and job.refused is not None:
        return Ending(Cause.PODS_REFUSED, now, job.refused)
    if missing and placement.generation != job.generation:
        return Ending(Cause.EDITED, now, "the job was edited before all of its pods were created")
    return None


def _failure(first: Pod, now: int) -> Ending:
    """The ending that the first failed pod calls for: charged to the job unless the pod was taken away from it."""
    detail = FirstFailure(first.rank, first.node, first.exit_code, first.message)
    on = f"on node {first.node}" if first.node else "before it had a node"
    if first.disrupted:
        said = f": {first.message}" if first.message else ""
        return Ending(Cause.PODS_LOST, now, f"replica {first.rank} was taken away {on}{said}", detail)
    code = "" if first.exit_code is None else f" with exit code {first.exit_code}"
    return Ending(Cause.OWN_FAILURE, now, f"replica {first.rank} failed {on}{code}", detail)


def _stop(job: Job, record: Record, now: int) -> Decision:
    """Delete the pods of an attempt that has to end; give the devices back once none is left."""
    left = [pod for pod in job.pods if pod.attempt == record.attempt and not pod.ended]
    if not left:
        return _close(job, record, now)
    ending = record.ending
    assert ending is not None, "an attempt is stopped for a recorded cause"
    fresh = job.record.ending is None
    event = Event("Stopping", f"attempt {record.attempt}: {ending.message}", ending.cause is not Cause.SUSPENDED)
    doomed = _to_delete(tuple(left))
    return _decide(
        job,
        Verb.STOP if doomed else Verb.REPORT,
        record,
        explain.stopping(record, len(left)),
        delete=doomed,
        event=event if fresh else None,
    )


def _close(job: Job, record: Record, now: int) -> Decision:
    """Record the end of an attempt whose pods are all gone or done."""
    ending, placement = record.ending, record.placement
    assert ending is not None, "an attempt is closed for a recorded cause"
    assert placement is not None, "only an attempt with a placement can end"
    own = ending.cause is Cause.OWN_FAILURE
    failures = record.failures + own
    over = Attempt(record.attempt, placement.admitted_at, ending.at, ending.cause, ending.first_failure)
    attempts = (*record.attempts, over)[-KEPT_ATTEMPTS:]
    held = record.held + max(0, now - placement.admitted_at)
    # Unless somebody has allowed it more time while it was being stopped.
    if ending.cause is Cause.TIME_LIMIT and job.max_duration is not None and held >= job.max_duration:
        return _out_of_time(job, replace(record, ending=None, attempts=attempts, held=held), now)
    if own and failures > job.backoff_limit:
        text = f"{ending.message}; {explain.count(failures, 'failure')}, spec.backoffLimit is {job.backoff_limit}"
        outcome = Outcome(False, ending.at, text)
        ended = replace(record, ending=None, failures=failures, attempts=attempts, held=held, outcome=outcome)
        return _finish(job, ended, outcome)
    wait = _backoff(ending, placement.admitted_at, failures, attempts)
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
    if ending.cause is Cause.SUSPENDED:
        return _decide(job, Verb.CLOSE, freed, explain.suspended(), event=Event("Suspended", ending.message))
    report = explain.backing_off(replace(job, record=freed), explain.second(ending.at + wait) if wait else None)
    note = f"attempt {record.attempt} is over: {ending.message}"
    return _decide(job, Verb.CLOSE, freed, report, event=Event("Requeued", note, own))


def _out_of_time(job: Job, record: Record, now: int) -> Decision:
    """End a job that has held devices for as long as it may."""
    assert job.max_duration is not None, "a job without a limit is never out of time"
    text = explain.out_of_time(record.held, record.attempt, job.max_duration)
    outcome = Outcome(succeeded=False, at=now, message=text, out_of_time=True)
    return _finish(job, replace(record, outcome=outcome), outcome)


def _finish(job: Job, record: Record, outcome: Outcome) -> Decision:
    name = "Succeeded" if outcome.succeeded else "Failed"
    event = Event(name, outcome.message, not outcome.succeeded)
    return _decide(job, Verb.FINISH, record, explain.finished(outcome), event=event)


def _backoff(ending: Ending, admitted_at: int, failures: int, attempts: tuple[Attempt, ...]) -> int:
    """Seconds to wait before the next attempt."""
    if ending.cause is Cause.OWN_FAILURE:
        return _doubled(failures)
    if ending.cause is Cause.PODS_REFUSED:
        return _doubled(sum(1 for attempt in attempts if attempt.cause == Cause.PODS_REFUSED))
    if ending.cause is Cause.PODS_LOST and ending.at - admitted_at < SHORT_ATTEMPT:
        return BACKOFF_BASE
    return 0


def _doubled(times: int) -> int:
    return min(BACKOFF_MOST, BACKOFF_BASE << min(times - 1, 10))


def _to_delete(pods: tuple[Pod, ...]) -> tuple[tuple[str, str], ...]:
    doomed = sorted((pod.attempt, pod.rank, pod.name, pod.uid) for pod in pods if not pod.ended and not pod.deleting)
    return tuple((name, uid) for _, _, name, uid in doomed)


def _some(names: list[str]) -> str:
    """The first names of a list, and how many more."""
    shown = ", ".join(names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{'pod' if len(names) == 1 else 'pods'} {shown}{more}"

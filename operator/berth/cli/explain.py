"""`explain JOB`: all that is known of one job, as its status tells it: where it stands, why, and what would help.

Nothing is found out here: the operator has said it already. What is read is the object as it came, so that a plugin of
another version shows what it knows and leaves the rest.
"""

from collections.abc import Iterator
from typing import Any

from berth.cli.screen import Screen, labelled
from berth.cli.words import seconds, since, until
from berth.core.explain import count
from berth.text import age

JsonObject = dict[str, Any]


def name_of(job: JsonObject) -> str:
    """Namespace and name of a job."""
    return f"{job['metadata'].get('namespace', '')}/{job['metadata']['name']}"


def state_of(job: JsonObject) -> str:
    """The job's state in one word; `Unknown` until the operator has looked at it."""
    return str((job.get("status") or {}).get("state") or "Unknown")


def explained(job: JsonObject, now: int, screen: Screen) -> list[str]:
    """Lines about one job."""
    status = job.get("status") or {}
    pending = status.get("pending") or {}
    state = state_of(job)
    why = f": {pending['reason']}" if pending.get("reason") else ""
    return [
        f"{name_of(job)} is {screen.state(state)}{why}",
        *(line for label, text in _told(job, status, pending, now) for line in labelled(label, text, screen.prose)),
    ]


def _told(job: JsonObject, status: JsonObject, pending: JsonObject, now: int) -> Iterator[tuple[str, str]]:
    yield "asks for", asks(job)
    submitted = job["metadata"].get("creationTimestamp")
    if submitted:
        yield "submitted", f"{submitted} ({since(submitted, now)} ago)"
    yield from _doubts(job, status)
    if pending:
        yield from waits(pending, now)
    yield from _stands(status, pending)
    placement = status.get("placement") or {}
    if placement.get("nodes"):
        yield "nodes", f"{placement['nodes']} (in rank order)"
    if placement.get("devices"):
        yield "devices", f"{placement['devices']} (in rank order)"
    yield from _times(status, now)
    yield from _failures(job, status, now)


def asks(job: JsonObject) -> str:
    """`4 replicas of 8 devices, Required leaf, pools h800, priority 0, maxDuration 72h`."""
    spec = job.get("spec") or {}
    topology = spec.get("topology") or {}
    groups = topology.get("groups") or {}
    status = job.get("status") or {}
    replicas, devices = int(spec.get("replicas") or 0), int(spec.get("devicesPerReplica") or 0)
    parts = [
        f"{count(replicas, 'replica')} of {count(devices, 'device')}",
        f"{topology.get('policy', 'Required')} {topology['level']}" if topology.get("level") else "",
        f"groups of {groups['size']} inside one {groups['level']}" if groups else "",
        f"pools {', '.join(spec['pools'])}" if spec.get("pools") else "any pool",
        f"priority {status['priority']}" if status.get("priority") is not None else "",
        f"maxDuration {spec['maxDuration']}" if spec.get("maxDuration") else "no maxDuration",
    ]
    return ", ".join(part for part in parts if part)


def waits(pending: JsonObject, now: int) -> Iterator[tuple[str, str]]:
    """Why a job waits, by label: message, place in the queue, estimated start, nearest changes."""
    yield "why", str(pending.get("message") or pending.get("reason") or "")
    if pending.get("position") is not None:
        yield "position", f"{pending['position']} in the queue of its pools"
    if pending.get("estimatedStart"):
        left = until(pending["estimatedStart"], now)
        yield "estimated start", f"{pending['estimatedStart']} ({left if left == 'due' else f'in {left}'})"
    for change in pending.get("nearest") or ():
        yield "nearest", str(change)


def _doubts(job: JsonObject, status: JsonObject) -> Iterator[tuple[str, str]]:
    """What makes a status less than the whole truth."""
    if not status.get("state"):
        yield "note", "no operator has looked at it yet: is one running, and is it this cluster's?"
        return
    generation, observed = job["metadata"].get("generation"), status.get("observedGeneration")
    if observed is not None and generation is not None and observed < generation:
        yield "note", f"the status is about generation {observed} of the job, which is at {generation} by now"
    if job["metadata"].get("deletionTimestamp"):
        yield "note", "it is being deleted"


def _stands(status: JsonObject, pending: JsonObject) -> Iterator[tuple[str, str]]:
    """What the conditions say, where `pending` does not say it already."""
    said = {pending.get("message")}
    for condition in status.get("conditions") or ():
        message = condition.get("message") or ""
        kind, reason = str(condition.get("type")), condition.get("reason")
        if message and message not in said:
            said.add(message)
            yield kind, f"{condition.get('status')}, {reason}: {message}"


def _times(status: JsonObject, now: int) -> Iterator[tuple[str, str]]:
    placement = status.get("placement") or {}
    if status.get("attempt"):
        admitted = placement.get("admittedAt")
        running = f", admitted at {admitted}" if admitted else ""
        started = status.get("startedAt")
        yield "attempt", f"{status['attempt']}{running}{f', all replicas up at {started}' if started else ''}"
    finished = status.get("finishedAt")
    if finished:
        yield "finished", f"{finished} ({since(finished, now)} ago)"
    retry = seconds(status.get("retryAfter"))
    if retry is not None and retry > now:
        yield "next attempt", f"not before {status['retryAfter']} (in {age(retry - now)})"


def _failures(job: JsonObject, status: JsonObject, now: int) -> Iterator[tuple[str, str]]:
    if status.get("failures"):
        limit = (job.get("spec") or {}).get("backoffLimit", 3)
        yield "failures", f"{status['failures']} charged, spec.backoffLimit is {limit}"
    for refusal in status.get("refusals") or ():
        if (seconds(refusal.get("until")) or 0) > now:
            yield "avoids", f"{refusal.get('nodes')} until {refusal.get('until')}"
    attempts = status.get("attempts") or ()
    if attempts:
        yield "last ended", ended(attempts[-1])


def ended(attempt: JsonObject) -> str:
    """How an attempt ended: `attempt 1 (OwnFailure): replica 7 on node n7, exit code 1: CUDA error`."""
    text = f"attempt {attempt.get('attempt')} ({attempt.get('cause')})"
    found = first_failure(attempt)
    return f"{text}: {found}" if found else text


def first_failure(attempt: JsonObject) -> str:
    """Which replica failed first, how, and its last words; empty if none is named."""
    failure = attempt.get("firstFailure") or {}
    if not failure:
        return ""
    text = f"replica {failure.get('replica')}"
    if failure.get("node"):
        text += f" on node {failure['node']}"
    if failure.get("exitCode") is not None:
        text += f", exit code {failure['exitCode']}"
    return f"{text}: {failure['message']}" if failure.get("message") else text

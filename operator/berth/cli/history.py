"""`history JOB`: its attempts, what ended each, what was charged, and for how long it has held devices."""

from collections.abc import Iterator
from typing import Any

from berth.cli.explain import first_failure, name_of, state_of
from berth.cli.screen import Column, Screen, table
from berth.cli.words import seconds
from berth.core.explain import count, span

JsonObject = dict[str, Any]

_COLUMNS = (
    Column("ATTEMPT", right=True),
    Column("STARTED"),
    Column("ENDED"),
    Column("HELD", right=True),
    Column("CAUSE"),
    Column("FIRST FAILURE", least=13),
)


def told(job: JsonObject, now: int, screen: Screen) -> list[str]:
    """Lines about the past of one job."""
    head = f"{name_of(job)} is {screen.state(state_of(job))}; {'; '.join(_sums(job, now))}"
    return [head, *table(_COLUMNS, _rows(job, now), screen.columns)]


def _rows(job: JsonObject, now: int) -> Iterator[list[str]]:
    status = job.get("status") or {}
    for attempt in status.get("attempts") or ():
        started, ended = attempt.get("started"), attempt.get("ended")
        held = _between(started, ended, now)
        cause = str(attempt.get("cause") or "")
        yield [str(attempt.get("attempt")), started or "", ended or "", held, cause, first_failure(attempt)]
    placement = status.get("placement") or {}
    if placement.get("admittedAt"):
        started, ended = placement["admittedAt"], status.get("finishedAt")
        ending = status.get("ending") or {}
        cause = str(ending.get("cause") or ("Succeeded" if ended else ""))
        held = _between(started, ended, now)
        yield [str(status.get("attempt")), started, ended or "", held, cause, first_failure(ending)]


def _between(started: str | None, ended: str | None, now: int) -> str:
    """How long an attempt held its devices; of one that still does, until now."""
    first, last = seconds(started), seconds(ended) if ended else now
    return "" if first is None or last is None else span(max(0, last - first))


def _sums(job: JsonObject, now: int) -> Iterator[str]:
    spec, status = job.get("spec") or {}, job.get("status") or {}
    attempts = int(status.get("attempt") or 0)
    kept = status.get("attempts") or ()
    missing = int(kept[0].get("attempt") or 1) - 1 if kept else 0
    yield (
        count(attempts, "attempt")
        + (" (the first is no longer told)" if missing == 1 else "")
        + (f" (the first {missing} are no longer told)" if missing > 1 else "")
    )
    failures = count(int(status.get("failures") or 0), "failure")
    yield f"{failures} charged, spec.backoffLimit is {spec.get('backoffLimit', 3)}"
    held = _held(status, now)
    limit = f", spec.maxDuration is {spec['maxDuration']}" if spec.get("maxDuration") else ""
    yield f"held devices for {span(held)}{limit}"


def _held(status: JsonObject, now: int) -> int:
    """Seconds over all attempts. `heldSeconds` has those that are over; a placement that stands is not in it yet."""
    held = int(status.get("heldSeconds") or 0)
    admitted = seconds((status.get("placement") or {}).get("admittedAt"))
    if admitted is None:
        return held
    return held + max(0, (seconds(status.get("finishedAt")) or now) - admitted)

"""`history JOB`: its attempts, what ended each, what was charged, and for how long it has held devices."""

from collections.abc import Iterator
from typing import Any

from berth.cli.explain import first_failure, name_of, state_of
from berth.cli.screen import Screen, labelled
from berth.cli.words import seconds
from berth.core.explain import span
from berth.text import Column, table

JsonObject = dict[str, Any]

_COLUMNS = (
    Column("ATTEMPT", right=True),
    Column("STARTED"),
    Column("HELD", right=True),
    Column("CAUSE"),
    Column("FIRST FAILURE", least=13),
)


def told(job: JsonObject, now: int, screen: Screen) -> list[str]:
    """Lines about the past of one job."""
    sums = (line for label, text in _sums(job, now) for line in labelled(label, text, screen.prose))
    head = f"{name_of(job)} is {screen.state(state_of(job))}"
    return [head, *sums, *table(_COLUMNS, _rows(job, now), screen.columns)]


def _rows(job: JsonObject, now: int) -> Iterator[list[str]]:
    status = job.get("status") or {}
    for attempt in status.get("attempts") or ():
        started, ended = attempt.get("started"), attempt.get("ended")
        held = _between(started, ended, now)
        cause = str(attempt.get("cause") or "")
        yield [str(attempt.get("attempt")), started or "", held, cause, first_failure(attempt)]
    placement = status.get("placement") or {}
    if placement.get("admittedAt"):
        started, ended = placement["admittedAt"], status.get("finishedAt")
        ending = status.get("ending") or {}
        cause = str(ending.get("cause") or ("Succeeded" if ended else ""))
        held = _between(started, ended, now)
        yield [str(status.get("attempt")), started, held, cause, first_failure(ending)]


def _between(started: str | None, ended: str | None, now: int) -> str:
    """How long an attempt held its devices; of one that still does, until now."""
    first, last = seconds(started), seconds(ended) if ended else now
    return "" if first is None or last is None else span(max(0, last - first))


def _sums(job: JsonObject, now: int) -> Iterator[tuple[str, str]]:
    spec, status = job.get("spec") or {}, job.get("status") or {}
    kept = status.get("attempts") or ()
    missing = int(kept[0].get("attempt") or 1) - 1 if kept else 0
    gone = "the first is" if missing == 1 else f"the first {missing} are"
    yield "attempts", f"{status.get('attempt') or 0}{f', {gone} no longer told' if missing > 0 else ''}"
    yield "failures", f"{status.get('failures') or 0} charged, spec.backoffLimit is {spec.get('backoffLimit', 3)}"
    limit = f", spec.maxDuration is {spec['maxDuration']}" if spec.get("maxDuration") else ""
    yield "held devices for", f"{span(_held(status, now))}{limit}"


def _held(status: JsonObject, now: int) -> int:
    """Seconds over all attempts. `heldSeconds` has those that are over; a placement that stands is not in it yet."""
    held = int(status.get("heldSeconds") or 0)
    admitted = seconds((status.get("placement") or {}).get("admittedAt"))
    if admitted is None:
        return held
    return held + max(0, (seconds(status.get("finishedAt")) or now) - admitted)

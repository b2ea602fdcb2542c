"""`queue`: the jobs that wait, in the order in which they get their turn, why each waits, and when it may start.

The order is the operator's: higher priority, then the earlier submission, then the name. `POS` is the job's place in
the queue of those that wait for some pool of its own, as its status tells it; jobs that something else holds back (a
template that is refused, the pause after a failure) have none.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from berth.cli.screen import Screen
from berth.cli.words import seconds, since, until
from berth.text import Column, table

JsonObject = dict[str, Any]

_PLAIN = (
    Column("POS", right=True),
    Column("NAME", least=16),
    Column("REPLICAS", right=True),
    Column("EACH", right=True),
    Column("AGE"),
    Column("START"),
    Column("WHY", least=12),
)
_WIDE = (
    *_PLAIN[:6],
    Column("PRIORITY", right=True),
    Column("POOLS", least=8),
    Column("REASON"),
    Column("WHY", least=12),
)
_NAMESPACE = Column("NAMESPACE", least=9)


def waiting(jobs: Iterable[JsonObject], pool: str | None = None) -> list[JsonObject]:
    """Jobs that wait, in the order of the queue; with `pool`, only those that may run in it."""
    found = [job for job in jobs if (job.get("status") or {}).get("pending") and _may_run_in(job, pool)]
    return sorted(found, key=_order)


def _may_run_in(job: JsonObject, pool: str | None) -> bool:
    wanted = (job.get("spec") or {}).get("pools")
    return pool is None or not wanted or pool in wanted


def _order(job: JsonObject) -> tuple[int, int, str, str, str]:
    """As `core.cycle.precedence`, from what the object says."""
    metadata = job["metadata"]
    return (
        -int(job["status"].get("priority") or 0),
        seconds(metadata.get("creationTimestamp")) or 0,
        metadata.get("namespace", ""),
        metadata["name"],
        metadata.get("uid", ""),
    )


def rows(jobs: Sequence[JsonObject], now: int, screen: Screen, *, wide: bool, namespaces: bool) -> list[str]:
    """Lines of the table; none if nobody waits."""
    columns = _WIDE if wide else _PLAIN
    if namespaces:
        columns = (_NAMESPACE, *columns)
    cells = [
        [*([job["metadata"].get("namespace", "")] if namespaces else []), *_cells(job, now, wide=wide)] for job in jobs
    ]
    return table(columns, cells, screen.columns)


def _cells(job: JsonObject, now: int, *, wide: bool) -> list[str]:
    metadata, spec, status = job["metadata"], job.get("spec") or {}, job["status"]
    pending = status["pending"]
    position = pending.get("position")
    more = [str(status.get("priority") or 0), ",".join(spec.get("pools") or ()), str(pending.get("reason"))]
    return [
        "" if position is None else str(position),
        metadata["name"],
        str(spec.get("replicas", "")),
        str(spec.get("devicesPerReplica", "")),
        since(metadata.get("creationTimestamp"), now),
        until(pending.get("estimatedStart"), now),
        *(more if wide else ()),
        str(pending.get("message") or pending.get("reason")),
    ]

"""A job's status, read and written: the record of facts on one side, the wire model on the other.

`read(write(record))` is the record again; everything else in a status is told anew from the decision. When a condition
last changed is the one thing that only the former status knows.
"""

from dataclasses import asdict
from typing import Any

from berth.api.device_lists import fold_devices, unfold_devices
from berth.api.folding import fold, fold_ranks, unfold, unfold_ranks
from berth.api.job_status import JobStatus
from berth.api.job_status import State as WireState
from berth.core import explain
from berth.core.model import Attempt, Cause, Ending, FirstFailure, Outcome, Placement, Record, Refusal, widest_first
from berth.core.plan import Reason, Report, State


def read(status: JobStatus | None) -> Record:
    """Read the facts that a job's status keeps."""
    if status is None or status.attempt is None:
        return Record()
    return Record(
        attempt=status.attempt,
        placement=_placement(status),
        ending=_ending(status),
        failures=status.failures or 0,
        held=status.held_seconds or 0,
        retry_after=status.retry_after,
        started_at=status.started_at,
        outcome=_outcome(status),
        attempts=tuple(
            Attempt(
                a.attempt, a.started, a.ended, str(a.cause), _failure(a.first_failure), tuple(unfold(a.nodes or ""))
            )
            for a in status.attempts
        ),
        refusals=tuple(Refusal(frozenset(unfold(r.nodes)), r.until, r.generation) for r in status.refusals),
    )


def write(
    record: Record, report: Report, *, generation: int, priority: int, before: JobStatus | None, now: int
) -> JobStatus:
    """Compose a job's whole status. `before` is the status that stands now."""
    since: dict[tuple[str, str], int] = (
        {(c.type, c.status): c.last_transition_time for c in before.conditions} if before else {}
    )
    conditions = []
    for condition in report.conditions:
        status = "True" if condition.status else "False"
        conditions.append(
            {
                "type": condition.type,
                "status": status,
                "reason": str(condition.reason),
                "message": condition.message,
                "last_transition_time": since.get((condition.type, status), now),
                "observed_generation": generation,
            }
        )
    placement = record.placement
    return JobStatus.model_validate(
        {
            "observed_generation": generation,
            "state": str(report.state),
            "summary": summary(report),
            "conditions": conditions,
            "priority": priority,
            "pool": placement.pool if placement else None,
            "attempt": record.attempt or None,
            "placement": _wire_placement(placement) if placement else None,
            "ending": _wire_ending(record.ending) if record.ending else None,
            "failures": record.failures or None,
            "held_seconds": record.held or None,
            "retry_after": record.retry_after,
            "started_at": record.started_at,
            "finished_at": record.outcome.at if record.outcome else None,
            "pending": _wire_pending(report),
            "attempts": [{**asdict(attempt), "nodes": fold(attempt.nodes) or None} for attempt in record.attempts],
            "refusals": [{**asdict(refusal), "nodes": fold(sorted(refusal.nodes))} for refusal in record.refusals],
        }
    )


_FACTS = frozenset(
    {
        "attempt",
        "pool",
        "placement",
        "ending",
        "failures",
        "held_seconds",
        "retry_after",
        "started_at",
        "finished_at",
        "attempts",
        "refusals",
    }
)
"""Fields of a status that a record is read from."""


def tells(status: JobStatus, report: Report, *, generation: int, priority: int) -> bool:
    """Say whether a status tells this report already, its facts aside: to compose those again is what costs."""
    composed = write(Record(), report, generation=generation, priority=priority, before=status, now=0)
    told = JobStatus.model_fields.keys() - _FACTS
    return all(getattr(composed, field) == getattr(status, field) for field in told)


def summary(report: Report) -> str:
    """Where a job stands, in the few words that a column of `kubectl get -o wide` has room for."""
    if report.pending is not None:
        return report.pending.message
    finished = next(c for c in report.conditions if c.type == "Finished")
    if finished.status or report.state is State.SUSPENDED:
        return finished.message
    return next(c for c in report.conditions if c.type == "PodsReady").message


def _wire_placement(placement: Placement) -> dict[str, Any]:
    return {
        "domain": placement.domain,
        "level": placement.level,
        "spans": dict(placement.spans),
        "nodes": fold(placement.nodes),
        "devices": fold_devices(placement.devices) or None,
        "devices_differ": placement.differing or None,
        "pod_defaults": placement.defaults or None,
        "succeeded": fold_ranks(placement.succeeded) or None,
        "generation": placement.generation,
        "admitted_at": placement.admitted_at,
        "pods_created": placement.pods_created,
        "epoch": placement.epoch,
    }


def _wire_ending(ending: Ending) -> dict[str, Any]:
    failure = ending.first_failure
    return {
        "cause": str(ending.cause),
        "time": ending.at,
        "message": ending.message,
        "first_failure": asdict(failure) if failure else None,
    }


def _wire_pending(report: Report) -> dict[str, Any] | None:
    pending = report.pending
    if pending is None:
        return None
    return {
        "reason": str(pending.reason),
        "message": explain.told(pending),
        "nearest": tuple(map(str, pending.nearest)),
        "estimated_start": pending.forecast.start if pending.forecast else None,
        "position": pending.position,
    }


def _placement(status: JobStatus) -> Placement | None:
    wire = status.placement
    if wire is None:
        return None
    nodes, devices = tuple(unfold(wire.nodes)), unfold_devices(wire.devices or "")
    if devices and len(devices) != len(nodes):
        raise ValueError(
            f"status.placement names {len(nodes)} nodes by rank and the devices of {len(devices)} replicas"
        )
    succeeded = unfold_ranks(wire.succeeded or "", len(nodes))
    return Placement(
        pool=status.pool or "",
        domain=wire.domain,
        level=wire.level,
        spans=widest_first(wire.spans),
        nodes=nodes,
        generation=wire.generation,
        admitted_at=wire.admitted_at,
        pods_created=wire.pods_created,
        devices=devices,
        differing=wire.devices_differ or 0,
        defaults=wire.pod_defaults or "",
        epoch=wire.epoch,
        succeeded=succeeded,
    )


def _ending(status: JobStatus) -> Ending | None:
    wire = status.ending
    if wire is None:
        return None
    return Ending(Cause(wire.cause), wire.time, wire.message, _failure(wire.first_failure))


def _failure(wire: Any) -> FirstFailure | None:
    if wire is None:
        return None
    return FirstFailure(wire.replica, wire.node, wire.exit_code, wire.message)


def _outcome(status: JobStatus) -> Outcome | None:
    if status.finished_at is None:
        return None
    finished = next((c for c in status.conditions if c.type == "Finished"), None)
    return Outcome(
        succeeded=status.state is WireState.SUCCEEDED,
        at=status.finished_at,
        message=finished.message if finished else "",
        out_of_time=finished is not None and finished.reason == Reason.MAX_DURATION_EXCEEDED,
    )

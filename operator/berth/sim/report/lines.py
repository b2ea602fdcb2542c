"""Results as JSON lines: a header, one line for each job, a summary. The same result gives the same bytes.

Keys are sorted, and nothing that changes from one run of the program to the next is told: no time of day, no machine.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, TextIO

import berth
from berth.sim.measures.ground import left_out
from berth.sim.quality import Quality, Result
from berth.sim.record import Life

VERSION = 1
"""Of the format: raised when a key goes or changes its meaning."""


def write(stream: TextIO, results: Iterable[Result]) -> None:
    """Write all results, one after the other: a header, its jobs, its summary. `partial` stands in both."""
    for result in results:
        warm_up = left_out(result.case)
        _line(stream, _header(result))
        for life in result.run.lives:
            _line(stream, _job(result, life, counted=life.task.key not in warm_up))
        _line(stream, _summary(result.quality))


def _line(stream: TextIO, found: dict[str, Any]) -> None:
    stream.write(json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n")


def _header(result: Result) -> dict[str, Any]:
    case, run = result.case, result.run
    return {
        "kind": "run",
        "format": VERSION,
        "berth": berth.__version__,
        "case": case.name,
        "policy": case.policy,
        "queue": case.queue,
        "seed": case.seed,
        "load": case.load,
        "every": case.every,
        "until": case.until,
        "warmUp": case.warm_up,
        "slowdown": dict(case.slowdown.by_level),
        "backfill": asdict(case.backfill),
        "pools": [
            {
                "name": fleet.name,
                "resource": fleet.resource,
                "levels": list(fleet.levels),
                "nodes": len(fleet.nodes),
                "devices": sum(node.allocatable.get(fleet.resource, 0) for node in fleet.nodes),
            }
            for fleet in case.fleets
        ],
        "tasks": len(case.tasks),
        "outages": len(run.outages),
        "end": run.end,
        "partial": run.partial,
    }


def _job(result: Result, life: Life, *, counted: bool) -> dict[str, Any]:
    task, nodes = life.task, {fleet.name: fleet.nodes for fleet in result.case.fleets}
    return {
        "kind": "job",
        "namespace": task.key.namespace,
        "name": task.key.name,
        "tenant": task.tenant,
        "submit": task.submit,
        "replicas": task.gang.replicas,
        "devices": task.devices,
        "work": task.work,
        "priority": task.priority,
        "counted": counted,
        "wait": life.wait,
        "finished": life.finished,
        "outcome": life.outcome,
        "waiting": life.waiting,
        "attempts": [
            {
                "attempt": stint.attempt,
                "pool": stint.pool,
                "nodes": [nodes[stint.pool][position].name for position in stint.nodes],
                "start": stint.start,
                "end": stint.end,
                "cause": stint.cause,
                "seconds": asdict(stint.spent),
            }
            for stint in life.stints
        ],
    }


def _summary(quality: Quality) -> dict[str, Any]:
    return {"kind": "summary", **quality.wire()}

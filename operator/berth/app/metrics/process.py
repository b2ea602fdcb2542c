"""What is counted where it happens: requests, batches, cycles, decisions on record.

Counters begin at 0 with the process, and count what this process has done: a write whose answer was lost may have
happened and is not among the decisions.
"""

from prometheus_client import CollectorRegistry

from berth.api.job import TrainingJob
from berth.app.loop import Cycle
from berth.app.metrics.definition import counter, histogram
from berth.core.plan import Decision, Verb

_CYCLE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_LAG_SECONDS = (0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 1.5, 2.5, 5, 10, 30)
_CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_START_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
_WAIT_SECONDS = (1, 2, 5, 10, 30, 60, 300, 900, 1800, 3600, 14_400, 43_200, 86_400, 259_200, 604_800)

REQUESTS = counter(
    "berth_api_requests_total",
    "Requests to the API server, each try counted.",
    verb="get, list, watch, create, update, patch, apply, delete, deletecollection; `dry-run-` before one that stores "
    "nothing",
    resource="`pods`, `trainingjobs/status` and so on",
    code="HTTP status; 0: no answer",
)
REQUEST_SECONDS = histogram(
    "berth_api_request_seconds",
    "Seconds from sending a request to the headers of its answer, without the wait for one of the `connections`.",
    _CALL_SECONDS,
    verb="as above",
    resource="as above",
)
CHANGES = counter(
    "berth_changes_total", "Changes that reached the mirror: events of watches, answers to writes, decisions taken."
)
BATCHES = counter(
    "berth_batches_total",
    "Batches of changes; one cycle is run after each.",
    closed="by what: `quiet` (nothing came for `quietSeconds`), `limit` (`batchSeconds` were over), `due` (nothing had "
    "changed, but something was due)",
)
CYCLE_SECONDS = histogram(
    "berth_cycle_seconds",
    "Seconds of each phase of a cycle. The loop does nothing else meanwhile.",
    _CYCLE_SECONDS,
    phase="`snapshot`: freezing what is known; `decide`: making the plan; `actuate`: beginning to carry it out",
)
EVENT_LAG = histogram(
    "berth_event_lag_seconds",
    "Seconds from the moment when the first change of a batch reached the mirror to the end of the cycle that saw it: "
    "the wait of the change that waited longest. When an object changed at the API server is not known more finely "
    "than to the second, so the way from there is not in it.",
    _LAG_SECONDS,
)
DECISIONS = counter(
    "berth_decisions_total",
    "Decisions about jobs that are on record: the status was written, or needed no writing.",
    verb=f"{', '.join(verb.value for verb in Verb)}",
)
ATTEMPTS_ENDED = counter(
    "berth_attempts_ended_total",
    "Attempts whose end is on record, by the cause that was recorded then: a charge that is taken back later is not "
    "counted anew.",
    cause="`Succeeded`, or as in `status.attempts[].cause`",
)
ADMISSION_WAIT = histogram(
    "berth_admission_wait_seconds",
    "Seconds from a job's submission to its first admission, the time that it was suspended included.",
    _WAIT_SECONDS,
    pool="that of the placement",
    reason="what it had waited for last, as in `status.pending.reason`; `None`: it never had to wait",
)
GANG_START = histogram(
    "berth_gang_start_seconds",
    "Seconds from the admission of an attempt to all of its replicas ready.",
    _START_SECONDS,
    pool="that of the placement",
)
DEFINITIONS = (
    REQUESTS,
    REQUEST_SECONDS,
    CHANGES,
    BATCHES,
    CYCLE_SECONDS,
    EVENT_LAG,
    DECISIONS,
    ATTEMPTS_ENDED,
    ADMISSION_WAIT,
    GANG_START,
)


class Metrics:
    """The process's own counters and histograms."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = REQUESTS.counter(registry)
        self._request_seconds = REQUEST_SECONDS.histogram(registry)
        self._changes = CHANGES.counter(registry)
        self._batches = BATCHES.counter(registry)
        self._cycle = CYCLE_SECONDS.histogram(registry)
        self._lag = EVENT_LAG.histogram(registry)
        self._decisions = DECISIONS.counter(registry)
        self._ended = ATTEMPTS_ENDED.counter(registry)
        self._wait = ADMISSION_WAIT.histogram(registry)
        self._start = GANG_START.histogram(registry)

    def on_call(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(verb, resource, str(code)).inc()
        self._request_seconds.labels(verb, resource).observe(seconds)

    def on_cycle(self, cycle: Cycle) -> None:
        """Count one cycle, and the batch that it was run for."""
        self._cycle.labels("snapshot").observe(cycle.snapshot)
        self._cycle.labels("decide").observe(cycle.decide)
        self._cycle.labels("actuate").observe(cycle.actuate)
        self._changes.inc(cycle.batch.changes)
        self._batches.labels(cycle.batch.closed).inc()
        if cycle.lag is not None:
            self._lag.observe(cycle.lag)

    def on_record(self, seen: TrainingJob, decision: Decision) -> None:
        """Count a decision that is on record. `seen`: the job as it was decided about, with its former status."""
        self._decisions.labels(decision.verb.value).inc()
        before, record = seen.status, decision.record
        counted = before.attempts[-1].attempt if before and before.attempts else 0
        for attempt in record.attempts:
            if attempt.attempt > counted:
                self._ended.labels(str(attempt.cause)).inc()
        if record.outcome is not None and record.outcome.succeeded and (before is None or before.finished_at is None):
            self._ended.labels("Succeeded").inc()
        placement = record.placement
        if placement is None:
            return
        submitted = seen.metadata.creation_timestamp
        if decision.verb is Verb.ADMIT and (before is None or before.attempt is None) and submitted is not None:
            last = str(before.pending.reason) if before is not None and before.pending is not None else "None"
            self._wait.labels(placement.pool, last).observe(max(0, placement.admitted_at - submitted))
        if record.started_at is not None and (before is None or before.started_at is None):
            self._start.labels(placement.pool).observe(max(0, record.started_at - placement.admitted_at))

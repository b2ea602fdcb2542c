"""Metrics: counters where things happen, and gauges of state from one collector over the last snapshot.

Gauges are computed when they are scraped, from the snapshot that the last cycle decided on: nothing is kept in step by
hand, so nothing drifts, and labels of what is gone go with it.
"""

from collections import Counter as Count
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from berth.app.loop import LastCycle
from berth.core.census import census
from berth.core.cycle import Snapshot
from berth.core.plan import Plan

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The operator's own counters and histograms."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "berth_api_requests",
            "Requests to the API server, by verb, resource and HTTP code (0: no answer).",
            ["verb", "resource", "code"],
            registry=registry,
        )
        self._cycle = Histogram(
            "berth_cycle_seconds",
            "Duration of a cycle's phases: taking the snapshot, deciding.",
            ["phase"],
            buckets=_SECONDS,
            registry=registry,
        )

    def on_call(self, verb: str, resource: str, code: int, _seconds: float) -> None:
        """Count one request."""
        self._calls.labels(verb, resource, str(code)).inc()

    def on_cycle(self, snapshot: float, decide: float) -> None:
        """Count one cycle."""
        self._cycle.labels("snapshot").observe(snapshot)
        self._cycle.labels("decide").observe(decide)


class StateCollector(Collector):
    """Gauges over the last cycle. `ghosts` tells how many objects audits have found gone."""

    def __init__(self, last: Callable[[], LastCycle], ghosts: Callable[[], int]) -> None:
        self._last = last
        self._ghosts = ghosts

    def collect(self) -> Iterable[Metric]:
        """Compute all gauges."""
        last = self._last()
        yield CounterMetricFamily(
            "berth_ghosts", "Objects found gone by an audit instead of an event.", value=self._ghosts()
        )
        if last.snapshot is None or last.plan is None:
            return
        yield from _jobs(last.snapshot, last.plan)
        yield from _pools(last.snapshot)


def _jobs(snapshot: Snapshot, plan: Plan) -> Iterable[Metric]:
    holding: Count[str] = Count()
    waiting: Count[str] = Count()
    pending = {d.key: d.report.pending.reason for d in plan.decisions if d.report.pending is not None}
    for job in snapshot.jobs:
        if job.record.outcome is not None:
            holding["Succeeded" if job.record.outcome.succeeded else "Failed"] += 1
        elif job.record.placement is not None:
            holding["Running" if job.record.started_at is not None else "Starting"] += 1
        else:
            holding["Suspended" if job.suspended else "Pending"] += 1
            if job.key in pending:
                waiting[pending[job.key]] += 1
    jobs = GaugeMetricFamily("berth_jobs", "TrainingJobs by state.", labels=["state"])
    for state in ("Pending", "Starting", "Running", "Suspended", "Succeeded", "Failed"):
        jobs.add_metric([state], holding[state])
    yield jobs
    reasons = GaugeMetricFamily("berth_jobs_waiting", "TrainingJobs that wait, by reason.", labels=["reason"])
    for reason, number in sorted(waiting.items()):
        reasons.add_metric([reason], number)
    yield reasons


def _pools(snapshot: Snapshot) -> Iterable[Metric]:
    devices = GaugeMetricFamily("berth_devices", "Devices by pool and state.", labels=["pool", "state"])
    nodes = GaugeMetricFamily("berth_nodes", "Nodes by pool, and whether they take pods.", labels=["pool", "ready"])
    largest = GaugeMetricFamily(
        "berth_largest_free_devices",
        "Free devices on whole nodes below the domain of a level that has the most.",
        labels=["pool", "level"],
    )
    for name, pool in sorted(snapshot.pools.items()):
        counted = census(pool)
        devices.add_metric([name, "free"], counted.free)
        devices.add_metric([name, "used"], counted.used)
        devices.add_metric([name, "unavailable"], counted.unavailable)
        nodes.add_metric([name, "true"], counted.nodes_ready)
        nodes.add_metric([name, "false"], counted.nodes - counted.nodes_ready)
        for level in counted.levels:
            largest.add_metric([name, level.level], level.largest_free)
    yield devices
    yield nodes
    yield largest

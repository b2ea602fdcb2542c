"""`scrape_5000`: what one scrape of the operator's state costs, as its loop does nothing else meanwhile."""

import platform
from collections.abc import Callable
from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest

from berth.api.job import TrainingJob
from berth.app.metrics.process import Metrics
from berth.app.metrics.state import StateCollector
from berth.cluster import records
from berth.cluster.mirror import Mirror
from berth.cluster.project import ForeignPod
from berth.core import explain
from berth.core.admission import Pool, find, refusal
from berth.core.model import Gang, Job, JobKey, Record
from berth.core.plan import Report
from berth.core.slots import Ledger
from berth.core.topology import Tree
from e2e.bench import fleets
from e2e.bench.figures import Figure, bench, timed
from e2e.ground.progress import Progress

NODES, RUNNING, WAITING = 5_000, 2_000, 500
AGENTS = 2
"""Pods of others on each node: exporters, log shippers."""
_GANG = Gang(replicas=2, devices=8)
_LARGE = Gang(replicas=2_000, devices=8)


@bench("scrape_5000")
def scrape_5000(progress: Progress) -> Figure:
    """Count and write everything, as for a scrape."""
    progress.begin("scrape_5000", f"{NODES} nodes, {RUNNING + WAITING} jobs")
    registry = CollectorRegistry()
    registry.register(StateCollector(_mirror(), lambda: True))
    Metrics(registry)
    body = generate_latest(registry)
    found = timed(30, lambda _: _scrape(registry))
    progress.end(f"{found.median_ms} ms")
    return Figure(
        name="scrape_5000",
        value=found.median_ms,
        unit="ms",
        goal="at most 100 ms",
        conditions={
            "what": "count the state of the mirror and write it in the text format",
            "nodes": NODES,
            "jobs_running": RUNNING,
            "jobs_waiting": WAITING,
            "pods_of_others": NODES * AGENTS,
            "lines": body.count(b"\n"),
            "bytes": len(body),
            "repetitions": len(found.seconds),
            "clock": "processor time of one thread",
            "python": platform.python_version(),
        },
    )


def _scrape(registry: CollectorRegistry) -> Callable[[], object]:
    return lambda: generate_latest(registry)


def _mirror() -> Mirror:
    nodes = fleets.nodes(NODES)
    mirror = fleets.mirror(nodes)
    for node in nodes:
        for agent in range(AGENTS):
            name = f"agent-{agent}-{node.name}"
            pod = ForeignPod(name, node.name, (("cpu", 100), ("memory", 1 << 28), ("pods", 1)), version=1)
            mirror.put_foreign_pod(("kube-system", name), pod)
    tree, ordered = Tree.build("h800", fleets.LEVELS, nodes)
    pool = Pool("h800", fleets.RESOURCE, Ledger(tree, ordered))
    for number in range(RUNNING):
        berth = find(_GANG, {pool.name: pool})
        assert berth is not None, "there are two nodes for each running gang"
        berth.take()
        placement = replace(berth.placement(1, 0), pods_created=True)
        record = Record(attempt=1, placement=placement, started_at=0)
        mirror.put_job(_job(f"runs-{number}", _GANG, record, explain.placed(_GANG, record, _GANG.replicas)))
    waiting = Job(JobKey("team", "waits"), "waits", generation=1, submitted=0, gang=_LARGE)
    report = explain.waiting(waiting, refusal(_LARGE, {pool.name: pool}))
    for number in range(WAITING):
        mirror.put_job(_job(f"waits-{number}", _LARGE, Record(), report))
    return mirror


def _job(name: str, gang: Gang, record: Record, report: Report) -> TrainingJob:
    manifest = TrainingJob.model_validate(
        {
            "metadata": {"name": name, "namespace": "team", "uid": name, "generation": 1, "resourceVersion": "1"},
            "spec": {
                "replicas": gang.replicas,
                "devicesPerReplica": gang.devices,
                "template": {"spec": {"containers": [{"name": "trainer", "image": "trainer:1"}]}},
            },
        }
    )
    status = records.write(record, report, generation=1, priority=0, before=None, now=0)
    return manifest.model_copy(update={"status": status})

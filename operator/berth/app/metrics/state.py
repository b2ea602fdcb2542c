"""What is there, counted when it is scraped, from the mirror as it stands between two cycles.

The mirror holds what the API server has told, so these figures agree with what kubectl shows: a job's state and the
reason of its waiting are those of its status, devices are counted as for the status of their pool.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from berth.api.job_status import State
from berth.app.metrics.definition import counter, gauge
from berth.cluster.jobs import JobEntry
from berth.cluster.mirror import Mirror
from berth.cluster.pools import Members
from berth.core.admission import Pool
from berth.core.census import Health, LevelCensus, Use, census
from berth.core.topology import NODE_LEVEL

NOT_REPORTED = "NotReported"
WHOLE_POOL = "pool"
UNPLACED = "unplaced"

_POOL = "the AcceleratorPool"
_HEALTH = (
    f"of the node: {', '.join(f'`{health}`' for health in Health)}; `{UNPLACED}`: it lacks a label of some level, and "
    "takes nothing"
)
_LEVEL = f"a level of the pool's, `{NODE_LEVEL}`, or `{WHOLE_POOL}`: the pool as a whole"
_QUEUE_POOL = "the only pool that the job may run in; empty: several would do, or the one that it names is not there"
_REASON = f"as in `status.pending.reason`; `{NOT_REPORTED}`: no status has been written yet"

DEVICES = gauge(
    "berth_devices",
    "Devices of a pool; all of its series add up to the devices that nodes report.",
    pool=_POOL,
    state=f"{', '.join(f'`{use}`' for use in Use)}. Berth's are those of placements and of Berth's pods; unavailable "
    "are free ones on nodes that take nothing",
    health=_HEALTH,
)
NODES = gauge("berth_nodes", "Nodes of a pool.", pool=_POOL, health=_HEALTH)
DOMAINS = gauge(
    "berth_domains",
    "Domains of a level. Its free share is what is `free` of all.",
    pool=_POOL,
    level=_LEVEL,
    state="`free`: no device is taken, and every node takes pods; `full`: no device can be given; `partial`: the rest",
)
LARGEST_GANG = gauge(
    "berth_largest_gang_devices",
    "Devices of the largest gang, by whole nodes, that would fit inside one domain of the level now.",
    pool=_POOL,
    level=_LEVEL,
)
FRAGMENTATION = gauge(
    "berth_fragmentation_ratio",
    "1 - a / b. a: the largest gang that would fit inside one domain of the level now (`berth_largest_gang_devices`). "
    "b: what there would be room for if all free devices of the pool lay together: as many as are free, at most as "
    "many as the largest domain has. 0: the largest gang possible fits, or nothing is free; 1: no whole node is free, "
    "though devices are.",
    pool=_POOL,
    level=_LEVEL,
)
JOBS = gauge("berth_jobs", "TrainingJobs.", state="as in `status.state`")
PENDING_JOBS = gauge(
    "berth_pending_jobs", "TrainingJobs that wait for devices: the queue.", pool=_QUEUE_POOL, reason=_REASON
)
PENDING_DEVICES = gauge("berth_pending_devices", "Devices that these jobs ask for.", pool=_QUEUE_POOL, reason=_REASON)
PENDING_OLDEST = gauge(
    "berth_pending_oldest_seconds",
    "Seconds since the submission of the job that was submitted first, of these. How long jobs have waited until their "
    "admission: `berth_admission_wait_seconds`.",
    pool=_QUEUE_POOL,
    reason=_REASON,
)
GANGS = gauge(
    "berth_gangs",
    "Gangs that hold devices, by the narrowest domain that holds them.",
    pool="that of the placement",
    level=f"level of that domain: one of the pool's, `{NODE_LEVEL}`, or `{WHOLE_POOL}`",
)
GANG_DOMAINS = gauge(
    "berth_gang_domains",
    "Domains that gangs span, added up over the gangs that hold devices: divided by `sum by (pool) (berth_gangs)`, how "
    "many a gang spans on average.",
    pool="that of the placement",
    level=f"a level of the pool's, or `{NODE_LEVEL}`",
)
GHOSTS = counter(
    "berth_ghosts_total", "TrainingJobs and AcceleratorPools that an audit found gone though no event had told so."
)
DEFINITIONS = (
    DEVICES,
    NODES,
    DOMAINS,
    LARGEST_GANG,
    FRAGMENTATION,
    JOBS,
    PENDING_JOBS,
    PENDING_DEVICES,
    PENDING_OLDEST,
    GANGS,
    GANG_DOMAINS,
    GHOSTS,
)


class StateCollector(Collector):
    """Counts what is in the mirror. Nothing before `ready`: a mirror that is still being filled would tell half."""

    def __init__(self, mirror: Mirror, ready: Callable[[], bool], *, clock: Callable[[], float] = time.time) -> None:
        self._mirror = mirror
        self._ready = ready
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Count everything anew."""
        ghosts = GHOSTS.counted()
        ghosts.add_metric([], self._mirror.ghosts)
        yield ghosts
        if not self._ready():
            return
        pools = list(self._mirror.pools.members())
        yield from self._pools(pools)
        yield from _jobs(self._mirror.jobs.values())
        yield from self._queue()
        yield from _gangs(pools, self._mirror.jobs.values())

    def _pools(self, pools: Collection[Members]) -> Iterator[Metric]:
        devices, nodes, domains = DEVICES.gauge(), NODES.gauge(), DOMAINS.gauge()
        largest, fragmentation = LARGEST_GANG.gauge(), FRAGMENTATION.gauge()
        others = self._others({members.facts.resource for members in pools})
        for members in pools:
            facts = members.facts
            assert members.ledger is not None, "settled pools have a ledger"
            name, counted = facts.name, census(Pool(facts.name, facts.resource, members.ledger), others[facts.resource])
            for use, health in _KINDS:
                devices.add_metric([name, use, health], counted.devices.get((use, health), 0))
            without = self._mirror.pools.unplaced(members)
            unplaced = sum(node.allocatable.get(facts.resource, 0) for node in without)
            devices.add_metric([name, Use.UNAVAILABLE, UNPLACED], unplaced)
            for health, number in counted.nodes_by_health.items():
                nodes.add_metric([name, health], number)
            nodes.add_metric([name, UNPLACED], len(without))
            for level, of in ((WHOLE_POOL, counted.pool), *((of.level, of) for of in counted.levels)):
                for state, number in _states(of):
                    domains.add_metric([name, level, state], number)
                largest.add_metric([name, level], of.largest_free)
                fragmentation.add_metric([name, level], of.fragmentation)
        yield from (devices, nodes, domains, largest, fragmentation)

    def _others(self, resources: Iterable[str]) -> dict[str, Counter[str]]:
        """What pods of others hold of these resources, by node."""
        found: dict[str, Counter[str]] = {resource: Counter() for resource in resources}
        for pod in self._mirror.foreign_pods():
            for resource, amount in pod.requests:
                if resource in found:
                    found[resource][pod.node] += amount
        return found

    def _queue(self) -> Iterator[Metric]:
        now = self._clock()
        jobs: Counter[tuple[str, str]] = Counter()
        devices: Counter[tuple[str, str]] = Counter()
        oldest: dict[tuple[str, str], float] = {}
        for entry in self._mirror.jobs.values():
            reason = _waits_for(entry)
            if reason is None:
                continue
            spec = entry.manifest.spec
            key = (self._only_pool(entry), reason)
            jobs[key] += 1
            devices[key] += spec.replicas * spec.devices_per_replica
            age = max(0.0, now - (entry.manifest.metadata.creation_timestamp or now))
            oldest[key] = max(age, oldest.get(key, 0.0))
        for definition, found in ((PENDING_JOBS, jobs), (PENDING_DEVICES, devices), (PENDING_OLDEST, oldest)):
            family = definition.gauge()
            for key in sorted(found):
                family.add_metric(key, found[key])
            yield family

    def _only_pool(self, entry: JobEntry) -> str:
        pools = entry.manifest.spec.pools or ()
        return pools[0] if len(pools) == 1 and self._mirror.pools.facts(pools[0]) is not None else ""


_KINDS = tuple(
    (use, health)
    for use in Use
    for health in Health
    if use not in (Use.FREE, Use.UNAVAILABLE) or (use is Use.FREE) == (health is Health.READY)
)
"""Who may have a device, by health of its node: free ones are on ready nodes, unavailable ones on others."""


def _states(of: LevelCensus) -> tuple[tuple[str, int], ...]:
    return (("free", of.free), ("partial", of.partial), ("full", of.full))


def _jobs(entries: Iterable[JobEntry]) -> Iterator[Metric]:
    states: Counter[str] = Counter()
    for entry in entries:
        status = entry.manifest.status
        states[status.state if status is not None and status.state is not None else State.PENDING] += 1
    family = JOBS.gauge()
    for state in State:
        family.add_metric([state], states[state])
    yield family


def _waits_for(entry: JobEntry) -> str | None:
    """Why a job waits, as its status says; None if it does not."""
    status = entry.manifest.status
    if status is None:
        return NOT_REPORTED
    return str(status.pending.reason) if status.pending is not None else None


def _gangs(pools: Iterable[Members], entries: Iterable[JobEntry]) -> Iterator[Metric]:
    gangs: Counter[tuple[str, str]] = Counter()
    domains: Counter[tuple[str, str]] = Counter()
    for members in pools:
        name = members.facts.name
        named = [level for level, _ in members.facts.levels]
        gangs.update({(name, level): 0 for level in (WHOLE_POOL, *named, NODE_LEVEL)})
        domains.update({(name, level): 0 for level in (*named, NODE_LEVEL)})
    for entry in entries:
        placement = entry.record.holds
        if placement is None:
            continue
        gangs[placement.pool, WHOLE_POOL if placement.level == placement.pool else placement.level] += 1
        for level, number in placement.spans:
            domains[placement.pool, level] += number
    for definition, found in ((GANGS, gangs), (GANG_DOMAINS, domains)):
        family = definition.gauge()
        for key, number in sorted(found.items()):
            family.add_metric(key, number)
        yield family

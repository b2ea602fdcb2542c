"""The world of a run: jobs, pods, nodes and what is taken, as the heart's own types.

It stands where the mirror stands in a cluster, and keeps the same rules: what a job holds is taken from its record, at
admission, and given back when the record no longer holds it; who is concerned by a node's trouble is found by the
mirror's own `Health`. A cycle gets the jobs that it could decide about and no others: those that have changed, those
for which something is due, those that wait. For the rest it gets what they are expected to hold (`staying`), so that a
cycle costs what has changed and not what is there.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from heapq import heappop, heappush
from typing import Any

from berth.cluster.health import Health
from berth.core.admission import Pool, Stay
from berth.core.calendar import Calendar
from berth.core.cycle import Snapshot
from berth.core.lifecycle import due
from berth.core.model import OUT_OF_SERVICE, Job, JobKey, Mode, Node, Placement, Record, Taint, Trouble
from berth.core.slots import Ledger
from berth.core.stays import stays
from berth.core.topology import Tree
from berth.sim.case import Case, Fleet

PODS_PER_NODE = 110
"""Kubernetes' own default, for nodes of a case that say nothing of it."""
_MOST_INDEXES = 200
"""As in the mirror: distinct demands for which free slots are kept counted, per pool."""

Requests = tuple[tuple[str, int], ...]


class World:
    """All that a cycle may depend on, at one moment of the virtual clock."""

    def __init__(self, case: Case) -> None:
        self.jobs: dict[JobKey, Job] = {}
        self.pools: dict[str, Pool] = {fleet.name: _pool(fleet) for fleet in case.fleets}
        self.seats = {fleet.name: {node.name: at for at, node in enumerate(fleet.nodes)} for fleet in case.fleets}
        self._case = case
        self._home: dict[str, tuple[Pool, Node]] = {}
        self._health = Health()
        for pool in self.pools.values():
            for node in pool.ledger.nodes:
                if node.name in self._home:
                    raise ValueError(f"node {node.name} is in two pools; a node belongs to one")
                self._home[node.name] = (pool, node)
                self._health.put_node(node)
        self._changed: dict[JobKey, None] = {}
        self._waiting: dict[JobKey, None] = {}
        self._due: dict[JobKey, int] = {}
        self._wakes: list[tuple[int, JobKey]] = []
        self._calendar = Calendar()
        self._stays_of: dict[JobKey, list[Stay]] = {}
        self._down: Counter[str] = Counter()

    # Jobs

    def put(self, job: Job, now: int, *, decided: bool = False, **changes: Any) -> None:
        """Take in a job as it is from now on, with these changes, and take or give back what its record says.

        `decided`: a cycle has just looked at it, so that nothing more is due at this moment.
        """
        before = self.jobs.get(job.key)
        record, known = changes.get("record", job.record), before.record if before is not None else Record()
        if before is None or known is not record:
            changes |= self._recorded(job, known, record)
        if changes:
            job = replace(job, **changes)
        self.jobs[job.key] = job
        if known.holds is not record.holds or (record.holds is not None and record.ending is not known.ending):
            self._expect(job, now)
        self._watch(job, now, now + decided)

    def renew(self, job: Job) -> None:
        """Take in that a job's pods have changed, for the next cycle to look at."""
        self.jobs[job.key] = job
        self._changed[job.key] = None

    def drop(self, key: JobKey) -> None:
        """Forget a job that holds nothing."""
        job = self.jobs.pop(key)
        assert not job.claims, f"{key} holds devices"
        self._health.concern(job.uid, frozenset())
        for kept in (self._changed, self._waiting, self._due):
            kept.pop(key, None)

    def change(self, key: JobKey) -> None:
        """Have the next cycle look at a job."""
        self._changed[key] = None

    def _recorded(self, job: Job, known: Record, record: Record) -> dict[str, Any]:
        """What changes of a job with its record: what it claims, and which troubles concern it."""
        changes: dict[str, Any] = {}
        held, holds = known.holds, record.holds
        if held is not holds and (
            held is None or holds is None or (held.pool, held.nodes) != (holds.pool, holds.nodes)
        ):
            changes["claims"] = self._moved(job, holds)
        if held is not holds or known.attempts is not record.attempts:
            concerned = frozenset(holds.nodes if holds is not None else ())
            self._health.concern(job.uid, concerned.union(*(past.nodes for past in record.attempts[-1:])))
            troubles = self._health.troubles(job.uid)
            if troubles != job.troubles:
                changes["troubles"] = troubles
        return changes

    def _moved(self, job: Job, holds: Placement | None) -> dict[str, Requests]:
        """Give back what a job's claims say, and take what it holds now; what it claims then."""
        for node, requests in job.claims.items():
            self._ledger(node).give_back(self._position(node), requests)
        claims = self._claims(job, holds) if holds is not None else {}
        for node, requests in claims.items():
            self._take(node, requests)
        return claims

    def _claims(self, job: Job, placement: Placement) -> dict[str, Requests]:
        """What a placement takes, by node."""
        each = self.pools[placement.pool].demand(job.gang).requests
        return {
            node: tuple((name, amount * times) for name, amount in each)
            for node, times in Counter(placement.nodes).items()
        }

    def _take(self, node: str, requests: Requests) -> None:
        ledger, position = self._ledger(node), self._position(node)
        used = Counter(ledger.used[position])
        for name, amount in requests:
            used[name] += amount
            most = ledger.nodes[position].allocatable.get(name, 0)
            assert used[name] <= most, f"{node}: {used[name]} of {most} {name} taken"
        ledger.set_used(position, used)

    def _ledger(self, node: str) -> Ledger:
        return self._home[node][0].ledger

    def _position(self, node: str) -> int:
        return self._ledger(node).tree.position[node]

    def _watch(self, job: Job, now: int, earliest: int) -> None:
        """Know whether a job waits, and when time alone changes its next step."""
        if job.record.placement is None and job.record.outcome is None:
            self._waiting[job.key] = None
        else:
            self._waiting.pop(job.key, None)
        wake = due(job, now, self._case.waits)
        if wake is None:
            self._due.pop(job.key, None)
        else:
            wake = max(wake, earliest)
            if self._due.get(job.key) != wake:
                self._due[job.key] = wake
                heappush(self._wakes, (wake, job.key))

    # What is expected of those who hold devices

    def _expect(self, job: Job, now: int) -> None:
        for stay in self._stays_of.pop(job.key, ()):
            self._calendar.remove(stay)
        if job.record.holds is None:
            return
        found = stays([job], self.pools, now, self._case.backfill, {})
        for stay in found:
            self._calendar.add(stay)
        self._stays_of[job.key] = found

    def staying(self, now: int, but: Iterable[JobKey] = ()) -> Calendar:
        """Gangs that hold devices until they are expected to end, which is to come, but for those of some jobs."""
        while self._calendar.stays and self._calendar.stays[0].end <= now:
            self._expect(self.jobs[self._calendar.stays[0].key], now)
        others = [stay for key in but for stay in self._stays_of.get(key, ())]
        if not others:
            return self._calendar
        calendar = self._calendar.fork()
        for stay in others:
            calendar.remove(stay)
        return calendar

    # Nodes

    def is_down(self, node: str) -> bool:
        """Whether nothing runs on a node and nobody can be told to stop there."""
        return self._down[node] > 0

    def node_down(self, name: str, kind: Trouble, now: int) -> list[Job]:
        """A node fails; the jobs whose current attempts it has pods of."""
        self._down[name] += 1
        if self._down[name] == 1:
            node = self._home[name][1]
            if kind is Trouble.OUT_OF_SERVICE:
                node = replace(node, taints=(*node.taints, Taint(OUT_OF_SERVICE, "", "NoExecute")))
            self._set_node(replace(node, ready=False, unready_since=now), gone=kind is Trouble.GONE, now=now)
        return self._with_pods_on(name)

    def node_up(self, name: str, now: int) -> list[Job]:
        """A node is back; the jobs that had pods there. They ended with it."""
        self._down[name] -= 1
        if self._down[name]:
            return []
        concerned = self._with_pods_on(name)
        self._set_node(self._home[name][1], gone=False, now=now)
        return concerned

    def _with_pods_on(self, name: str) -> list[Job]:
        return [job for job in self.jobs.values() if any(pod.node == name for pod in job.pods)]

    def _set_node(self, node: Node, *, gone: bool, now: int) -> None:
        self._ledger(node.name).set_node(self._position(node.name), node)
        self._tell(self._health.drop_node(node.name) if gone else self._health.put_node(node), now)

    def _tell(self, concerned: Iterable[str], now: int) -> None:
        """Have jobs know that the troubles of their nodes have changed. A job's uid is its key, told."""
        for uid in sorted(concerned):
            job = self.jobs[key_of(uid)]
            self.put(replace(job, troubles=self._health.troubles(uid)), now)
            self.change(job.key)

    # What a cycle gets

    def steps(self, now: int) -> Snapshot | None:
        """Jobs that hold something, or must not have anything, and may have a step to take; None if there are none."""
        self._tell(self._health.judge(self._home), now)
        while self._wakes and self._wakes[0][0] <= now:
            wake, key = heappop(self._wakes)
            if self._due.get(key) == wake:
                del self._due[key]
                self._changed[key] = None
        changed = [key for key in self._changed if key not in self._waiting]
        for key in changed:
            del self._changed[key]
        return self._snapshot(changed) if changed else None

    def queue(self) -> Snapshot | None:
        """Jobs that have no devices; None if all have some."""
        for key in [key for key in self._changed if key in self._waiting]:
            del self._changed[key]
        return self._snapshot(self._waiting) if self._waiting else None

    def _snapshot(self, keys: Iterable[JobKey]) -> Snapshot:
        for pool in self.pools.values():
            pool.ledger.trim(_MOST_INDEXES)
        return Snapshot(
            jobs=tuple(self.jobs[key] for key in keys),
            pools=self.pools,
            mode=Mode.ACTIVE,
            waits=self._case.waits,
            backfill=self._case.backfill,
        )

    def wake_at(self) -> int | None:
        """The next moment at which time alone changes something; None if nothing is due."""
        while self._wakes and self._due.get(self._wakes[0][1]) != self._wakes[0][0]:
            heappop(self._wakes)
        moments = [self._wakes[0][0]] if self._wakes else []
        if self._waiting and self._calendar.stays:
            moments.append(self._calendar.ends[0])  # who outlives what was expected of it puts others off
        return min(moments, default=None)


def uid_of(key: JobKey) -> str:
    """The uid of a job of the simulator."""
    return str(key)


def key_of(uid: str) -> JobKey:
    """The job of a uid."""
    return JobKey(*uid.split("/", 1))


def _pool(fleet: Fleet) -> Pool:
    nodes = [replace(node, allocatable={"pods": PODS_PER_NODE, **node.allocatable}) for node in fleet.nodes]
    tree, ordered = Tree.build(fleet.name, fleet.levels, nodes)
    return Pool(fleet.name, fleet.resource, Ledger(tree, ordered), fleet.sizes, fleet.sizes_alone)

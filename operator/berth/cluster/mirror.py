"""The mirror: everything that a cycle may depend on, kept current by reflectors, handlers and answers to writes.

Not thread-safe, and with no await between reading and writing: all of it runs in the operator's one event loop.
"""

from collections.abc import Callable, Iterable, Mapping

from berth.api.job import TrainingJob
from berth.cluster.jobs import JobEntry, Replica
from berth.cluster.pools import PoolFacts, Pools
from berth.cluster.project import ForeignPod, NodeFacts, OwnPod
from berth.cluster.requests import Requests
from berth.core.cycle import Snapshot
from berth.core.model import JobKey, Mode, Record

Key = tuple[str, str]


class Mirror:
    """Nodes, pools, jobs and pods as last seen. `on_change` is called, without arguments, after every change."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self.pools = Pools()
        self.jobs: dict[JobKey, JobEntry] = {}
        self.default_priority = 0
        self.ghosts = 0
        """Objects that were found gone by an audit, not by an event."""
        self._on_change = on_change
        self._by_uid: dict[str, JobEntry] = {}
        self._own: dict[Key, OwnPod] = {}
        self._foreign: dict[Key, ForeignPod] = {}
        self._nodes: dict[Key, NodeFacts] = {}
        self._classes: dict[str, int] = {}
        self._touched: set[JobKey] = set()

    # Jobs

    def put_job(self, manifest: TrainingJob) -> None:
        """Take in a job, from an event or from the answer to a write."""
        key = JobKey(manifest.metadata.namespace, manifest.metadata.name)
        entry = self.jobs.get(key)
        if entry is not None and entry.uid != manifest.metadata.uid:
            if int(manifest.metadata.resource_version) <= entry.version:
                return
            self.drop_job(key, entry.uid)
            entry = None
        if entry is None:
            entry = self.jobs[key] = self._by_uid[manifest.metadata.uid] = JobEntry.of(manifest)
            entry.pods = {own.pod.name: own for own in self._own.values() if own.job_uid == entry.uid}
        elif not entry.renew(manifest):
            return
        self._job_changed(entry)

    def drop_job(self, key: JobKey, uid: str) -> None:
        """Forget a job that is gone. Its pods count by themselves until they are gone, too."""
        entry = self.jobs.get(key)
        if entry is None or entry.uid != uid:
            return
        del self.jobs[key], self._by_uid[uid]
        for node in entry.claims:
            self.pools.release(node, uid)
        for own in entry.pods.values():
            self._claim_pod(own)
        self._touched.discard(key)
        self._on_change()

    def assume(self, key: JobKey, record: Record) -> None:
        """Count a decision as taken while it is being carried out, and leave the job alone meanwhile."""
        entry = self.jobs[key]
        entry.assumed, entry.busy = record, True
        self._job_changed(entry)

    def settle(self, key: JobKey, uid: str) -> None:
        """Carrying out is over, well or not: from here on counts what the API server said."""
        entry = self._by_uid.get(uid)
        if entry is None or entry.key != key:
            return
        entry.assumed, entry.busy = None, False
        self._job_changed(entry)

    def set_replica(self, uid: str, replica: Replica) -> None:
        """Take in what a dry run found out about a job's replicas."""
        entry = self._by_uid.get(uid)
        if entry is not None and replica.generation == entry.generation:
            entry.replica, entry.stale_replica = replica, False
            self._job_changed(entry)

    def forget_replica(self, uid: str) -> None:
        """Have a job's replica tried again. Until then what was found out before still counts."""
        entry = self._by_uid.get(uid)
        if entry is not None and entry.replica is not None:
            entry.stale_replica = True
            self._on_change()

    def set_refused(self, uid: str, sentence: str | None) -> None:
        """Take in that the API server refuses pods of the current attempt; None when an attempt begins."""
        entry = self._by_uid.get(uid)
        if entry is not None and entry.refused != sentence:
            entry.refused = sentence
            self._job_changed(entry)

    def touch(self, key: JobKey) -> None:
        """Have the next cycle look at a job as if it had changed."""
        if key in self.jobs:
            self._touched.add(key)
            self._on_change()

    def touch_uid(self, uid: str) -> None:
        """The same, by uid; nothing if the job is gone."""
        entry = self._by_uid.get(uid)
        if entry is not None:
            self.touch(entry.key)

    def unprobed(self) -> Iterable[JobEntry]:
        """Jobs without devices of which nobody has tried yet whether the API server would take their pods."""
        for entry in self.jobs.values():
            if not entry.probed and entry.believed.placement is None and entry.believed.outcome is None:
                yield entry

    # Sinks of the reflectors and of answers to writes

    def put_own_pod(self, key: Key, own: OwnPod) -> None:
        """Take in one of Berth's pods."""
        known = self._own.get(key)
        if known is not None and known.version > own.version:
            return
        if known is not None and known.pod.uid != own.pod.uid:
            self.drop_own_pod(key)
        self._own[key] = own
        entry = self._by_uid.get(own.job_uid)
        if entry is not None:
            entry.pods[own.pod.name] = own
            self._pods_changed(entry)
        self._claim_pod(own)
        self._on_change()

    def drop_own_pod(self, key: Key) -> None:
        """Forget one of Berth's pods."""
        own = self._own.pop(key, None)
        if own is None:
            return
        self.pools.release(own.pod.node, own.pod.uid)
        entry = self._by_uid.get(own.job_uid)
        if entry is not None:
            entry.pods.pop(own.pod.name, None)
            self._pods_changed(entry)
        self._on_change()

    def put_foreign_pod(self, key: Key, pod: ForeignPod) -> None:
        """Take in somebody else's pod."""
        self.drop_foreign_pod(key)
        self._foreign[key] = pod
        self.pools.claim(pod.node, pod.uid, pod.requests)
        self._on_change()

    def drop_foreign_pod(self, key: Key) -> None:
        """Forget somebody else's pod."""
        known = self._foreign.pop(key, None)
        if known is not None:
            self.pools.release(known.node, known.uid)
            self._on_change()

    def put_node(self, key: Key, facts: NodeFacts) -> None:
        """Take in a node."""
        known = self._nodes.get(key)
        self._nodes[key] = facts
        if known is None or known.node != facts.node:
            self.pools.set_node(facts.node)
            self._on_change()

    def drop_node(self, key: Key) -> None:
        """Forget a node."""
        if self._nodes.pop(key, None) is not None:
            self.pools.drop_node(key[1])
            self._on_change()

    def put_pool(self, facts: PoolFacts) -> None:
        """Take in a pool."""
        known = self.pools.facts(facts.name)
        if known is not None and known.uid == facts.uid and known.version >= facts.version:
            return
        if self.pools.set_pool(facts):
            for entry in self.jobs.values():  # a placement's claims name the pool's resource
                self._claim_placement(entry)
            self._on_change()

    def drop_pool(self, name: str, uid: str) -> None:
        """Forget a pool that is gone."""
        known = self.pools.facts(name)
        if known is not None and known.uid == uid:
            self.pools.drop_pool(name)
            self._on_change()

    def set_priority_classes(self, classes: Mapping[str, tuple[int, bool]]) -> None:
        """Take in all PriorityClasses: name → (value, whether it is the cluster's default)."""
        self._classes = {name: value for name, (value, _) in classes.items()}
        self.default_priority = max((value for value, default in classes.values() if default), default=0)
        for entry in self.jobs.values():
            self._pods_changed(entry)
        self._on_change()

    # What goes out

    def snapshot(self, mode: Mode) -> Snapshot:
        """What a cycle needs, frozen, and everything that changed since the last snapshot marked as touched."""
        jobs = []
        for entry in self.jobs.values():
            if entry.view is None:
                entry.view = entry.to_view(self._classes, self.default_priority)
            jobs.append(entry.view)
        touched, self._touched = frozenset(self._touched), set()
        return Snapshot(jobs=tuple(jobs), pools=self.pools.snapshot(), mode=mode, touched=touched)

    def priority(self, entry: JobEntry) -> int:
        """A job's priority as it counts now."""
        return entry.priority(self._classes, self.default_priority)

    def own_pods(self) -> Mapping[Key, OwnPod]:
        """Berth's pods by (namespace, name); not to be changed."""
        return self._own

    # Claims

    def _job_changed(self, entry: JobEntry) -> None:
        self._pods_changed(entry)
        self._claim_placement(entry)
        for own in entry.pods.values():
            self._claim_pod(own)
        self._on_change()

    def _pods_changed(self, entry: JobEntry) -> None:
        entry.view = None
        self._touched.add(entry.key)

    def _claim_placement(self, entry: JobEntry) -> None:
        """Count what a placement takes, from the moment it was decided until its job has finished."""
        wanted: dict[str, Requests] = {}
        placement = entry.believed.holds
        facts = self.pools.facts(placement.pool) if placement else None
        if placement is not None and facts is not None:
            each = self._requests(entry, facts.resource)
            counts: dict[str, int] = {}
            for node in placement.nodes:
                counts[node] = counts.get(node, 0) + 1
            wanted = {node: tuple((name, n * times) for name, n in each) for node, times in counts.items()}
        for node in entry.claims.keys() - wanted.keys():
            self.pools.release(node, entry.uid)
        for node, requests in wanted.items():
            self.pools.claim(node, entry.uid, requests)
        entry.claims = wanted

    def _requests(self, entry: JobEntry, resource: str) -> Requests:
        """What one replica takes: as a dry run found it, or as a pod of the attempt says after a restart."""
        if entry.replica is None:
            attempt = entry.believed.attempt
            for own in entry.pods.values():
                if own.pod.attempt == attempt:
                    return own.requests
        return entry.gang().demand(resource).requests

    def _claim_pod(self, own: OwnPod) -> None:
        """Count a pod by itself unless its job's placement counts it."""
        pod = own.pod
        if not pod.node:
            return
        entry = self._by_uid.get(own.job_uid)
        believed = entry.believed if entry else None
        covered = believed is not None and believed.holds is not None and believed.attempt == pod.attempt
        if covered or pod.ended:
            self.pools.release(pod.node, pod.uid)
        else:
            self.pools.claim(pod.node, pod.uid, own.requests)

"""The mirror: everything that a cycle may depend on, kept current by reflectors, handlers and answers to writes.

Not thread-safe, and with no await between reading and writing: all of it runs in the operator's one event loop.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from berth.accel.hand_over import mounted
from berth.api.job import TrainingJob
from berth.cluster.claims import Claim
from berth.cluster.device_health import NodeHealth
from berth.cluster.health import Health
from berth.cluster.jobs import JobEntry, Replica
from berth.cluster.pools import PoolFacts, Pools
from berth.cluster.project import ForeignPod, NodeFacts, OwnPod, pod_name
from berth.cluster.requests import Requests
from berth.core.cycle import Snapshot
from berth.core.model import JobKey, Mode, Placement, Record

Key = tuple[str, str]

_REMEMBERED = 10_000
"""Uids of what is gone that are kept, so that nothing brings it back."""


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
        self._own_by_job: dict[str, dict[Key, OwnPod]] = {}
        self._believed_leaving: dict[Key, OwnPod] = {}
        self._foreign: dict[Key, ForeignPod] = {}
        self._nodes: dict[Key, NodeFacts] = {}
        self._device_health: dict[Key, NodeHealth] = {}
        self._health = Health()
        self._classes: dict[str, int] = {}
        self._touched: set[JobKey] = set()
        self._watched = 0  # the watch of Berth's pods has told everything up to this resourceVersion
        self._leaving: dict[str, JobEntry] = {}
        self._gone: dict[str, None] = {}

    # Jobs

    def put_job(self, manifest: TrainingJob) -> None:
        """Take in a job, from an event or from the answer to a write. One that is gone does not come back.

        Raises ValueError if its status cannot be read; then what was known of it stays as it was.
        """
        key = JobKey(manifest.metadata.namespace, manifest.metadata.name)
        if manifest.metadata.uid in self._gone:
            return
        entry = self.jobs.get(key)
        if entry is not None and entry.uid != manifest.metadata.uid:
            if int(manifest.metadata.resource_version) <= entry.version:
                return
            self.drop_job(key, entry.uid)
            entry = None
        if entry is None:
            entry = self.jobs[key] = self._by_uid[manifest.metadata.uid] = JobEntry.of(manifest)
            made = self._own_by_job.get(entry.uid, {})
            entry.pods = {own.pod.name: own for own in made.values() if self._owner(own) is entry}
        elif not entry.renew(manifest):
            return
        self._job_changed(entry)

    def drop_job(self, key: JobKey, uid: str) -> None:
        """Forget a job that is gone. Its pods count by themselves until they are gone, too.

        While something is being carried out for it, all that it holds is held: a pod may still be on its way there.
        """
        self._bury(uid)
        entry = self.jobs.get(key)
        if entry is None or entry.uid != uid:
            return
        del self.jobs[key], self._by_uid[uid]
        if entry.busy:
            self._leaving[uid] = entry
        else:
            self._let_go(entry)
        self._touched.discard(key)
        self._health.concern(uid, frozenset())
        self._on_change()

    def assume(self, key: JobKey, record: Record) -> None:
        """Count a decision as taken while it is being carried out, and leave the job alone meanwhile."""
        entry = self.jobs[key]
        entry.assumed, entry.busy = record, True
        self._job_changed(entry)

    def settle(self, key: JobKey, uid: str) -> None:
        """Carrying out is over, well or not: from here on counts what the API server said."""
        left = self._leaving.pop(uid, None)
        if left is not None:
            self._let_go(left)
            self._on_change()
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
        """Take in that the API server refuses pods of the current attempt; None when an attempt begins.

        What a dry run found out before is in doubt then: a replica is tried anew before the next attempt.
        """
        entry = self._by_uid.get(uid)
        if entry is not None and entry.refused != sentence:
            entry.refused = sentence
            entry.stale_replica |= sentence is not None
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
        """Jobs that may soon want pods of which nobody has tried yet whether the API server would take them."""
        for entry in self.jobs.values():
            record = entry.believed
            wanting = record.placement is None or record.ending is not None
            if wanting and record.outcome is None and not self._probed(entry):
                yield entry

    def landings(self, entry: JobEntry) -> list[PoolFacts]:
        """Usable pools that a job may run in, one for each set of defaults that they merge into replicas."""
        wanted = entry.manifest.spec.pools
        found: dict[str, PoolFacts] = {}
        for facts in self.pools.usable():
            if not wanted or facts.name in wanted:
                found.setdefault(facts.defaults_id, facts)
        return list(found.values())

    def _probed(self, entry: JobEntry) -> bool:
        if entry.replica is None or not entry.probed:
            return False
        known = {name for name, _ in entry.replica.shapes} or {""}
        return all(facts.defaults_id in known for facts in self.landings(entry))

    # Sinks of the reflectors and of answers to writes

    def put_own_pod(self, key: Key, own: OwnPod) -> None:
        """Take in one of Berth's pods as its watch tells it."""
        self._watched = max(self._watched, own.version)
        self._take_own_pod(key, own)

    def answer_own_pod(self, key: Key, own: OwnPod) -> None:
        """Take in one of Berth's pods from the answer to a write.

        What the watch has passed it has told already, the pod's end included: nothing would ever take a pod away again
        that its own answer had brought back.
        """
        if own.version > self._watched:
            self._take_own_pod(key, own)

    def own_pods_listed(self, version: int) -> None:
        """All of Berth's pods were listed at that resourceVersion; what is not on the list is dropped after this.

        Raises RuntimeError if the server's history has gone back, as after a restore: all that is known here may be of
        a future that never was, and only a fresh mirror helps.
        """
        if version < self._watched:
            raise RuntimeError(f"pods were listed at resourceVersion {version} after {self._watched}: start anew")
        self._watched = version

    def drop_own_pod(self, key: Key) -> None:
        """Forget one of Berth's pods that its watch tells gone."""
        own = self._own.get(key)
        # One that the watch has not come to yet is known from an answer: what went is an earlier pod of that name.
        if own is not None and own.version <= self._watched:
            self._forget_own_pod(key, own)

    def pod_is_gone(self, key: Key, uid: str) -> None:
        """Forget one of Berth's pods that the API server, asked about it, does not have."""
        own = self._own.get(key)
        if own is not None and own.pod.uid == uid:
            self._forget_own_pod(key, own)

    def pod_is_leaving(self, key: Key, uid: str) -> None:
        """Take in that the API server has agreed to delete one of Berth's pods, before its watch tells so."""
        own = self._own.get(key)
        if own is not None and own.pod.uid == uid and not own.pod.deleting:
            self._believed_leaving[key] = own
            self._take_own_pod(key, own)

    def pod_may_stay(self, key: Key, uid: str) -> None:
        """Believe `pod_is_leaving` no longer, if the watch has not told so since: then it is asked to go again."""
        leaving = self._believed_leaving.get(key)
        if leaving is None or leaving.pod.uid != uid:
            return
        del self._believed_leaving[key]
        if self._own.get(key) is leaving:
            self._take_own_pod(key, replace(leaving, pod=replace(leaving.pod, deleting=False)))

    def put_foreign_pod(self, key: Key, pod: ForeignPod) -> None:
        """Take in somebody else's pod."""
        self.drop_foreign_pod(key)
        self._foreign[key] = pod
        self.pools.claim(pod.node, _foreign(pod), Claim(pod.requests, told=pod.told))
        self._on_change()

    def drop_foreign_pod(self, key: Key) -> None:
        """Forget somebody else's pod."""
        known = self._foreign.pop(key, None)
        if known is not None:
            self.pools.release(known.node, _foreign(known))
            self._on_change()

    def put_node(self, key: Key, facts: NodeFacts) -> None:
        """Take in a node."""
        known = self._nodes.get(key)
        self._nodes[key] = facts
        if known is None or known.node != facts.node:
            self.pools.set_node(facts.node)
            self._tell(self._health.put_node(facts.node))
            self._on_change()

    def drop_node(self, key: Key) -> None:
        """Forget a node."""
        if self._nodes.pop(key, None) is not None:
            self.pools.drop_node(key[1])
            self._tell(self._health.drop_node(key[1]))
            self._on_change()

    def put_health(self, key: Key, told: NodeHealth) -> None:
        """Take in what a make's own tools say of the devices of a node; `key` is that of the object that says it."""
        known = self._device_health.get(key)
        if known != told:
            self._device_health[key] = told
            self.pools.set_health(*told)
            self._on_change()

    def drop_health(self, key: Key) -> None:
        """Forget it."""
        told = self._device_health.pop(key, None)
        if told is not None:
            self.pools.set_health(told[0], None)
            self._on_change()

    def put_pool(self, facts: PoolFacts) -> None:
        """Take in a pool."""
        known = self.pools.facts(facts.name)
        if facts.uid in self._gone or (known is not None and known.version >= facts.version):
            return
        if known is not None and known.uid != facts.uid:
            self._bury(known.uid)
        if self.pools.set_pool(facts):
            for entry in self.jobs.values():  # a placement's claims name the pool's resource
                self._claim_placement(entry)
            self._on_change()

    def drop_pool(self, name: str, uid: str) -> None:
        """Forget a pool that is gone."""
        self._bury(uid)
        known = self.pools.facts(name)
        if known is not None and known.uid == uid:
            self.pools.drop_pool(name)
            self._on_change()

    def set_priority_classes(self, classes: Mapping[str, tuple[int, bool]]) -> None:
        """Take in all PriorityClasses: name → (value, whether it is the cluster's default)."""
        self._classes = {name: value for name, (value, _) in classes.items()}
        # Kubernetes takes the smallest, too, where a race has made several defaults.
        self.default_priority = min((value for value, default in classes.values() if default), default=0)
        for entry in self.jobs.values():
            self._pods_changed(entry)
        self._on_change()

    # What goes out

    def snapshot(self, mode: Mode, epoch: int = 0) -> Snapshot:
        """What a cycle needs, frozen, and everything that changed since the last snapshot marked as touched."""
        self._tell(self._health.judge(self.pools.pooled()))
        jobs = []
        for entry in self.jobs.values():
            if entry.view is None:
                if entry.replica is None:
                    self._claim_placement(entry)  # its pods, known by now, say what a replica takes
                troubles = self._health.troubles(entry.uid)
                mounted_ = self._mounted_by_pod(entry)
                entry.view = entry.to_view(self._classes, self.default_priority, troubles, mounted_)
            jobs.append(entry.view)
        touched, self._touched = frozenset(self._touched), set()
        return Snapshot(jobs=tuple(jobs), pools=self.pools.snapshot(), mode=mode, touched=touched, epoch=epoch)

    def priority(self, entry: JobEntry) -> int:
        """A job's priority as it counts now."""
        return entry.priority(self._classes, self.default_priority)

    def own_pods(self) -> Mapping[Key, OwnPod]:
        """Berth's pods by (namespace, name); not to be changed."""
        return self._own

    def foreign_pods(self) -> Iterable[ForeignPod]:
        """Pods of others that are on nodes."""
        return self._foreign.values()

    # Jobs and pods together

    def _owner(self, own: OwnPod) -> JobEntry | None:
        """The job that made a pod; None if it is gone, or if the pod only wears its labels."""
        entry = self._by_uid.get(own.job_uid) or self._leaving.get(own.job_uid)
        return entry if entry is not None and entry.key == (own.namespace, own.job) else None

    def _take_own_pod(self, key: Key, own: OwnPod) -> None:
        known = self._own.get(key)
        if known is not None and known.version > own.version:
            return
        leaving = self._believed_leaving.get(key)
        if leaving is not None and leaving.pod.uid == own.pod.uid and not own.pod.deleting:
            own = self._believed_leaving[key] = replace(own, pod=replace(own.pod, deleting=True))
        if known is not None and (known.pod.uid, known.job_uid) != (own.pod.uid, own.job_uid):
            self._forget_own_pod(key, known)
        self._own[key] = self._own_by_job.setdefault(own.job_uid, {})[key] = own
        entry = self._owner(own)
        if entry is not None:
            entry.pods[own.pod.name] = own
            self._pods_changed(entry)
            if own.told != (known.told if known is not None else ()):
                self._claim_placement(entry)  # which devices it has is known now
        self._claim_pod(own)
        self._on_change()

    def _forget_own_pod(self, key: Key, own: OwnPod) -> None:
        del self._own[key]
        made = self._own_by_job[own.job_uid]
        del made[key]
        if not made:
            del self._own_by_job[own.job_uid]
        self.pools.release(own.pod.node, own.pod.uid)
        entry = self._owner(own)
        if entry is not None:
            entry.pods.pop(own.pod.name, None)
            self._pods_changed(entry)
        self._on_change()

    def _let_go(self, entry: JobEntry) -> None:
        """Give back what a job's placement held; its pods count by themselves."""
        for node in entry.claims:
            self.pools.release(node, entry.uid)
        for own in entry.pods.values():
            self._claim_pod(own)

    def _bury(self, uid: str) -> None:
        """Remember that a job or a pool is gone: an answer or an event may still tell of its life."""
        self._gone[uid] = None
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]

    def _job_changed(self, entry: JobEntry) -> None:
        self._pods_changed(entry)
        self._health.concern(entry.uid, entry.concerned())
        self._claim_placement(entry)
        for own in entry.pods.values():
            self._claim_pod(own)
        self._on_change()

    def _tell(self, concerned: Iterable[str]) -> None:
        """Have jobs looked at whose nodes have changed for the better or worse."""
        for uid in concerned:
            self._pods_changed(self._by_uid[uid])

    def _pods_changed(self, entry: JobEntry) -> None:
        entry.view = None
        self._touched.add(entry.key)

    def _claim_placement(self, entry: JobEntry) -> None:
        """Count what a placement takes, from the moment it was decided until its end is on record."""
        wanted, *former = [self._taken_by(entry, record) for record in entry.holding]
        for node, claim in (pair for claims in former for pair in claims.items()):
            wanted[node] = claim.beside(wanted.get(node))
        if wanted == entry.claims:
            return
        entry.view = None
        for node in entry.claims.keys() - wanted.keys():
            self.pools.release(node, entry.uid)
        for node, claim in wanted.items():
            self.pools.claim(node, entry.uid, claim)
        entry.claims = wanted

    def _taken_by(self, entry: JobEntry, record: Record) -> dict[str, Claim]:
        """What the placement of a record takes, by node."""
        placement = record.holds
        if placement is None:
            return {}
        each = self._requests(entry, record)
        ids = self._devices(entry, record, placement)
        counts = Counter(placement.nodes)
        return {
            node: Claim(tuple((name, n * times) for name, n in each), ids.get(node)) for node, times in counts.items()
        }

    def _devices(self, entry: JobEntry, record: Record, placement: Placement) -> dict[str, int]:
        """Mask of the devices that a placement takes, by node: those chosen, or those that a pod really has."""
        found: dict[str, int] = {}
        if placement.devices:
            told = self._mounted_by_pod(entry)
            for rank, (node, chosen) in enumerate(zip(placement.nodes, placement.devices, strict=True)):
                pod = pod_name(entry.key.name, record.attempt, rank)
                found[node] = found.get(node, 0) | told.get(pod, chosen)
        return found

    def _mounted_by_pod(self, entry: JobEntry) -> dict[str, int]:
        """Mask of the devices that a node's plugin says it has mounted, by pod, where it has said so."""
        placement = next((held for record in entry.holding if (held := record.holds) and held.devices), None)
        facts = self.pools.facts(placement.pool) if placement is not None else None
        if facts is None:
            return {}
        told = ((own.pod.name, mounted(facts.hand_over, dict(own.told))) for own in entry.pods.values() if own.told)
        return {name: mask for name, mask in told if mask is not None}

    def _requests(self, entry: JobEntry, record: Record) -> Requests:
        """What one replica of a record with a placement takes: as a dry run found it.

        After a restart nothing is known of that, and the pool may count another resource by now: then as a pod of the
        attempt says.
        """
        placement = record.placement
        assert placement is not None, "only a placement takes anything"
        resource, ranks = self.pools.resource(placement.pool) or "", len(placement.nodes)
        pods = (own for own in entry.pods.values() if own.pod.attempt == record.attempt and own.pod.rank < ranks)
        made = next((own.requests for own in pods), None)
        if made is not None and (entry.replica is None or all(name != resource for name, _ in made)):
            return made
        facts = self.pools.facts(placement.pool)
        return entry.gang().demand(resource, facts.defaults_id if facts else "").requests

    def _claim_pod(self, own: OwnPod) -> None:
        """Count a pod by itself unless its job's placement counts it."""
        pod = own.pod
        if not pod.node:
            return
        entry = self._owner(own)
        if pod.ended or (entry is not None and _as_placed(entry, own)):
            self.pools.release(pod.node, pod.uid)
        else:
            self.pools.claim(pod.node, pod.uid, Claim(own.requests, told=own.told))


def _as_placed(entry: JobEntry, own: OwnPod) -> bool:
    """Whether a pod sits where the placement that its job holds has put its rank."""
    pod = own.pod
    for record in entry.holding:
        held = record.holds
        if held is not None and record.attempt == pod.attempt and pod.rank < len(held.nodes):
            return held.nodes[pod.rank] == pod.node
    return False


def _foreign(pod: ForeignPod) -> str:
    """Under which name a foreign pod claims.

    Not its bare uid: it may have been one of Berth's, and the watches that tell so are in no order.
    """
    return f"foreign/{pod.uid}"

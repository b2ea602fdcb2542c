"""What stands around an operator: an API server that keeps objects, users, a kubelet, nodes.

Each public method is something that happens, without regard to whether it is nice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from berth.core.model import (
    OUT_OF_SERVICE,
    Gang,
    Job,
    JobKey,
    Node,
    NodeTrouble,
    Phase,
    Pod,
    Record,
    Taint,
    Trouble,
)
from tests.properties.fleets import Fleet


@dataclass
class JobObject:
    """A TrainingJob as the API server keeps it, and `charged`: its attempts that failed by their own fault."""

    spec: Job
    record: Record = field(default_factory=Record)
    version: int = 0
    charged: set[int] = field(default_factory=set)
    refused: str | None = None


@dataclass
class PodObject:
    """A Pod as the API server keeps it; it may run on one node only, once kube-scheduler finds it room there.

    `devices`: the mask of those that it asks for, where they are chosen by id.
    """

    pod: Pod
    owner: str
    gang: Gang
    meant_for: str
    devices: int = 0
    stuck: bool = False
    """Something keeps it from starting on its node."""


def count(used: dict[str, int], requests: Iterable[tuple[str, int]]) -> None:
    """Add requests to what is taken on a node."""
    for resource, amount in requests:
        used[resource] = used.get(resource, 0) + amount


def _nodes(record: Record) -> set[str]:
    """Nodes that concern a job."""
    held = record.holds.nodes if record.holds is not None else ()
    return {*held, *(name for attempt in record.attempts[-1:] for name in attempt.nodes)}


class Surroundings:
    """Everything around the operator. `touched`: jobs that changed since it last looked; None before its first look."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.now = 1_000
        self.nodes: dict[str, Node] = {node.name: node for node in fleet.nodes}
        self.jobs: dict[JobKey, JobObject] = {}
        self.pods: dict[str, PodObject] = {}
        self.wire: list[tuple[JobKey, str, PodObject]] = []
        self.touched: set[JobKey] | None = None
        self._serial = 0
        self._dying = ""

    # Users

    def submit(self, gang: Gang, *, priority: int, backoff_limit: int, ttl: int | None, deadline: int | None) -> None:
        """A new job."""
        self._serial += 1
        key = JobKey("team", f"job{self._serial}")
        spec = Job(
            key=key,
            uid=f"uid-{self._serial}",
            generation=1,
            submitted=self.now,
            gang=gang,
            priority=priority,
            backoff_limit=backoff_limit,
            ttl=ttl,
            start_deadline=deadline,
        )
        self.jobs[key] = JobObject(spec)
        self._touch(spec.uid)

    def change(self, which: int, **fields: object) -> None:
        """A user changes fields of a job's spec; its shape only while it holds nothing, as the API server sees to."""
        job = self._pick(which)
        if job is not None and not ("gang" in fields and job.record.placement is not None):
            job.spec = replace(job.spec, generation=job.spec.generation + 1, **fields)  # type: ignore[arg-type]
            job.version += 1
            self._touch(job.spec.uid)

    def suspend_as_it_ends(self, which: int) -> None:
        """A user suspends a job of which all pods have just succeeded."""
        job = self._pick(which)
        if job is not None:
            for known in self._pods_of(job):
                if known.pod.phase is Phase.RUNNING and not known.pod.deleting:
                    self._set_pod(known, phase=Phase.SUCCEEDED, ready=False)
            self.change(which, suspended=True)

    def delete_job(self, which: int) -> None:
        """A user deletes a job; its pods are collected."""
        job = self._pick(which)
        if job is not None:
            self.remove_job(job.spec.key)

    def remove_job(self, key: JobKey) -> None:
        """A job is gone, and what it owns is being deleted."""
        job = self.jobs.pop(key)
        for known in self.pods.values():
            if known.owner == job.spec.uid:
                known.pod = replace(known.pod, deleting=True)

    def refuse(self, which: int) -> None:
        """The API server takes no more pods of a job's current attempt."""
        job = self._pick(which)
        if job is not None and job.record.placement is not None:
            job.refused = "exceeded quota: team"
            self._touch(job.spec.uid)

    # The kubelet, and others who reach for pods

    def set_pod(self, which: int, **facts: object) -> None:
        """Something happens to one pod that has not ended."""
        alive = [name for name in sorted(self.pods) if not self.pods[name].pod.ended]
        if alive:
            self._set_pod(self.pods[alive[which % len(alive)]], **facts)

    def end_pod(self, which: int, **facts: object) -> None:
        """One pod that has not ended fails, by no fault of its own."""
        self.set_pod(which, phase=Phase.FAILED, ready=False, finished_at=self.now, **facts)

    def progress(self, which: int) -> None:
        """One pod gets a step further: it starts, it succeeds, or it is gone if somebody deleted it."""
        names = [name for name in sorted(self.pods) if self.pods[name].pod.deleting or not self.pods[name].pod.ended]
        if names:
            self._progress(names[which % len(names)], Phase.SUCCEEDED)

    def start_pods(self) -> None:
        """All pods that wait for it start."""
        for name in sorted(self.pods):
            self._progress(name, None)

    def fail(self, which: int) -> None:
        """A running pod fails by its own fault."""
        running = [k.pod.name for k in self.pods.values() if k.pod.phase is Phase.RUNNING and not k.pod.deleting]
        if running:
            self._progress(sorted(running)[which % len(running)], Phase.FAILED)

    def fail_of_dying_node(self, which: int) -> None:
        """A survivor of a dying node fails; the node itself is lost from sight the next time that time goes by."""
        running = sorted(k.pod.name for k in self.pods.values() if k.pod.phase is Phase.RUNNING and not k.pod.deleting)
        if running:
            known = self.pods[running[which % len(running)]]
            gang = (known.owner, known.pod.attempt)
            self._dying = max(k.pod.node for k in self.pods.values() if (k.owner, k.pod.attempt) == gang)
            self._progress(known.pod.name, Phase.FAILED)

    def vanish(self, which: int) -> None:
        """A pod is gone from one moment to the next."""
        if self.pods:
            name = sorted(self.pods)[which % len(self.pods)]
            self._touch(self.pods.pop(name).owner)

    def _progress(self, name: str, end: Phase | None) -> bool:
        """One step of one pod, running ones to their `end`; False if it has none to take."""
        known = self.pods[name]
        if self._without_contact(known.pod.node):
            return False
        if known.pod.deleting:
            self._touch(self.pods.pop(name).owner)
        elif known.pod.phase is Phase.PENDING and not known.stuck and self._has_room(known):
            self._set_pod(known, phase=Phase.RUNNING, ready=True, node=known.meant_for)
        elif known.pod.phase is Phase.RUNNING and end is Phase.SUCCEEDED:
            self._set_pod(known, phase=Phase.SUCCEEDED, ready=False)
        elif known.pod.phase is Phase.RUNNING and end is Phase.FAILED:
            for job in self.jobs.values():
                if job.spec.uid == known.owner:
                    job.charged.add(known.pod.attempt)
            self._set_pod(known, phase=Phase.FAILED, ready=False, exit_code=1, finished_at=self.now)
        else:
            return False
        return True

    def _has_room(self, known: PodObject) -> bool:
        """Whether kube-scheduler would bind a pod: it knows nothing of placements, only of pods on nodes."""
        node = self.nodes.get(known.meant_for)
        if node is None or node.cordoned or not node.ready:
            return False
        others = [p for p in self.pods.values() if p.pod.node == node.name and not p.pod.ended and p is not known]
        used: dict[str, int] = {}
        for other in [*others, known]:
            count(used, other.gang.demand(self.fleet.resource).requests)
        return all(amount <= node.allocatable.get(resource, 0) for resource, amount in used.items())

    def _without_contact(self, name: str) -> bool:
        """Whether a node's kubelet is out of reach: its pods stand still, also those that are being deleted."""
        node = self.nodes.get(name)
        return node is not None and node.unready_since is not None

    def _set_pod(self, known: PodObject, **facts: object) -> None:
        known.pod = replace(known.pod, **facts)  # type: ignore[arg-type]
        self._touch(known.owner)

    def wait(self, seconds: int) -> None:
        """Time goes by."""
        self.now += seconds
        if self._dying in self.nodes:
            self.sicken(sorted(self.nodes).index(self._dying))
        self._dying = ""

    # Nodes

    def set_node(self, which: int, **facts: object) -> None:
        """A node that is there is cordoned, loses devices, turns not ready, or the reverse."""
        if self.nodes:
            name = sorted(self.nodes)[which % len(self.nodes)]
            self.nodes[name] = replace(self.nodes[name], **facts)  # type: ignore[arg-type]

    def lose_node(self, which: int) -> None:
        """A node is gone, and its pods are taken away."""
        if self.nodes:
            name = sorted(self.nodes)[which % len(self.nodes)]
            del self.nodes[name]
            self._touch_sitting_on(name)
            for known in self.pods.values():
                if known.pod.node == name and not known.pod.ended:
                    self._set_pod(known, deleting=True, disrupted=True)

    def sicken(self, which: int) -> None:
        """A node is lost from sight."""
        if self.nodes:
            name = sorted(self.nodes)[which % len(self.nodes)]
            if self.nodes[name].unready_since is None:
                self.nodes[name] = replace(self.nodes[name], ready=False, unready_since=self.now)
                self._touch_sitting_on(name)

    def recover(self, which: int) -> None:
        """It is in sight again."""
        if self.nodes:
            name = sorted(self.nodes)[which % len(self.nodes)]
            self.nodes[name] = replace(self.nodes[name], ready=True, unready_since=None)
            self._touch_sitting_on(name)

    def put_out_of_service(self, which: int) -> None:
        """Somebody vouches that a node is down: its pods are taken away."""
        if self.nodes:
            name = sorted(self.nodes)[which % len(self.nodes)]
            self.nodes[name] = replace(self.nodes[name], taints=(Taint(OUT_OF_SERVICE, "", "NoExecute"),))
            self._touch_sitting_on(name)

    def stick(self, which: int) -> None:
        """A pod that has not started will not."""
        names = [name for name in sorted(self.pods) if self.pods[name].pod.phase is Phase.PENDING]
        if names:
            self.pods[names[which % len(names)]].stuck = True

    def restore_nodes(self) -> None:
        """All nodes are there as at the beginning, and nothing keeps a pod from starting."""
        for node in self.fleet.nodes:
            self.nodes[node.name] = node
            self._touch_sitting_on(node.name)
        for known in self.pods.values():
            known.stuck = False

    def troubles(self, record: Record) -> tuple[NodeTrouble, ...]:
        """What is wrong with the nodes of a job: of its placement, and of its last attempt if it was charged."""
        found = [NodeTrouble(name, Trouble.GONE) for name in _nodes(record) if name not in self.nodes]
        for name in _nodes(record):
            node = self.nodes.get(name)
            if node is not None and node.taints:
                found.append(NodeTrouble(name, Trouble.OUT_OF_SERVICE))
            elif node is not None and node.unready_since is not None:
                found.append(NodeTrouble(name, Trouble.NOT_READY, node.unready_since))
        return tuple(sorted(found, key=lambda trouble: trouble.node))

    def _touch_sitting_on(self, name: str) -> None:
        for job in self.jobs.values():
            if name in _nodes(job.record):
                self._touch(job.spec.uid)

    # The API server

    def late_create(self, which: int) -> None:
        """A create lands that was sent long ago."""
        if self.wire:
            self._create(*self.wire.pop(which % len(self.wire)))

    def late_creates(self) -> None:
        """All of them land."""
        while self.wire:
            self.late_create(0)

    def _create(self, key: JobKey, owner: str, made: PodObject) -> None:
        job = self.jobs.get(key)
        if job is None or job.spec.uid != owner:
            return  # an owner that is gone: the pod would be collected at once
        if job.refused is None:
            self.pods.setdefault(made.pod.name, made)
        self._touch(owner)

    def _pods_of(self, job: JobObject) -> list[PodObject]:
        return [known for known in self.pods.values() if known.owner == job.spec.uid]

    def _pick(self, which: int) -> JobObject | None:
        return self.jobs[sorted(self.jobs)[which % len(self.jobs)]] if self.jobs else None

    def _touch(self, uid: str) -> None:
        if self.touched is not None:
            self.touched |= {key for key, job in self.jobs.items() if job.spec.uid == uid}

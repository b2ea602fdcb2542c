"""TrainingJobs in the mirror: what each asks for, what is on record, its pods, and what was just decided for it.

What was decided counts at once (`assume`), before the API server has confirmed it, so that no later cycle gives the
same devices again; what the API server then answers, or says instead, takes its place. An object older than the one
that is known is never taken in, whichever way it arrives: answers to writes and events of watches are one stream,
ordered by resourceVersion.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from berth.api.job import TrainingJob
from berth.api.rules import duration_seconds
from berth.cluster import records
from berth.cluster.claims import Claim
from berth.cluster.project import OwnPod
from berth.cluster.requests import Requests
from berth.core.affinity import Terms
from berth.core.model import (
    Gang,
    Groups,
    Hindrance,
    Job,
    JobKey,
    NodeTrouble,
    Placement,
    Pod,
    Policy,
    Record,
    Shape,
    Toleration,
)
from berth.core.plan import Reason

NOTHING_TOLD: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica as the API server would make it, found by a dry run for one generation of the job.

    `shapes`: the same for each set of defaults that a pool merges into it, by the name of the defaults; empty if none
    has any.
    """

    generation: int
    requests: Requests = ()
    selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    affinity: Terms = ()
    shapes: tuple[tuple[str, Shape], ...] = ()
    hindrance: Hindrance | None = None


@dataclass(slots=True)
class JobEntry:
    """One TrainingJob: the object as last read, and what the mirror adds."""

    key: JobKey
    uid: str
    version: int
    manifest: TrainingJob
    record: Record
    pods: dict[str, OwnPod] = field(default_factory=dict)
    replica: Replica | None = None
    stale_replica: bool = False
    refused: str | None = None
    assumed: Record | None = None
    busy: bool = False
    claims: dict[str, Claim] = field(default_factory=dict)
    """What the placement takes, by node; replaced, never changed in place."""
    view: Job | None = None
    """The job as a cycle sees it; None after a change."""

    @classmethod
    def of(cls, manifest: TrainingJob) -> "JobEntry":
        """Take in a job that was not known."""
        metadata = manifest.metadata
        return cls(
            key=JobKey(metadata.namespace, metadata.name),
            uid=metadata.uid,
            version=int(metadata.resource_version),
            manifest=manifest,
            record=records.read(manifest.status),
        )

    def renew(self, manifest: TrainingJob) -> bool:
        """Take in a newer state of the object; False if it is not newer. ValueError if its status cannot be read."""
        version = int(manifest.metadata.resource_version)
        if version <= self.version:
            return False
        record = records.read(manifest.status)
        if manifest.status == self.manifest.status:  # one object for equal statuses: who told it can tell by identity
            manifest = manifest.model_copy(update={"status": self.manifest.status})
        self.manifest = manifest
        self.version = version
        self.record = record
        self.view = None
        return True

    @property
    def generation(self) -> int:
        """Which state of the spec is known."""
        return self.manifest.metadata.generation

    @property
    def probed(self) -> bool:
        """Whether what is known of its replicas is about this generation, and not to be found out anew."""
        return self.replica is not None and self.replica.generation == self.generation and not self.stale_replica

    @property
    def believed(self) -> Record:
        """What is on record, or is just being written."""
        return self.assumed or self.record

    @property
    def holding(self) -> tuple[Record, ...]:
        """The records whose devices count as taken, the newest first.

        A placement that is being written counts already; one that is being given back, or up for another one, counts
        until that is written, because a crash in between would leave it on record.
        """
        if self.assumed is None or self.assumed.holds is None:
            return (self.record,)
        if self.record.holds is None or self.record.attempt == self.assumed.attempt:
            return (self.assumed,)
        return (self.assumed, self.record)

    def gang(self) -> Gang:
        """What the job asks for, with what a dry run found out about its replicas."""
        spec = self.manifest.spec
        replica = self.replica or Replica(self.generation)
        groups = spec.topology.groups if spec.topology else None
        return Gang(
            replicas=spec.replicas,
            devices=spec.devices_per_replica,
            pools=tuple(spec.pools or ()),
            level=spec.topology.level if spec.topology else None,
            policy=Policy(spec.topology.policy) if spec.topology and spec.topology.level else Policy.PREFERRED,
            groups=Groups(groups.size, groups.level) if groups else None,
            requests=tuple(r for r in replica.requests if r[0] != "pods"),
            selector=replica.selector,
            tolerations=replica.tolerations,
            affinity=replica.affinity,
            shapes=replica.shapes,
        )

    def concerned(self) -> frozenset[str]:
        """Nodes whose fate matters to the job: of its placement, and of a failed attempt whose charge is not final."""
        believed = self.believed
        held = believed.placement.nodes if believed.placement is not None and believed.outcome is None else ()
        return frozenset(held).union(*(attempt.nodes for attempt in believed.attempts[-1:]))

    def to_view(
        self,
        classes: dict[str, int],
        default_priority: int,
        troubles: tuple[NodeTrouble, ...] = (),
        mounted: Mapping[str, int] = NOTHING_TOLD,
    ) -> Job:
        """The job as a cycle sees it.

        `troubles` are those of the nodes that concern it, `mounted` the masks of the devices that pods really have, by
        the pod's name, where that is known.
        """
        spec, metadata = self.manifest.spec, self.manifest.metadata
        return Job(
            key=self.key,
            uid=self.uid,
            generation=self.generation,
            submitted=metadata.creation_timestamp or 0,
            gang=self.gang(),
            record=self.believed,
            priority=self.priority(classes, default_priority),
            suspended=spec.suspend,
            deleting=metadata.deletion_timestamp is not None,
            backoff_limit=spec.backoff_limit,
            ttl=spec.ttl_seconds_after_finished,
            max_duration=duration_seconds(spec.max_duration) if spec.max_duration else None,
            pods=tuple(_with_devices(own.pod, mounted) for own in self.pods.values()),
            hindrance=self._hindrance(classes),
            refused=self.refused,
            start_deadline=duration_seconds(spec.start_deadline),
            troubles=troubles,
            claims={node: claim.requests for node, claim in self.claims.items()},
            giving_back=self._giving_back(),
            busy=self.busy,
        )

    def _giving_back(self) -> Placement | None:
        """The placement that is on record still, while it is being written that its gang has ended."""
        return self.record.holds if self.believed.holds is None else None

    def priority(self, classes: dict[str, int], default: int) -> int:
        """The value of the job's class; the cluster's default where it names none."""
        name = self.manifest.spec.priority_class_name
        return classes.get(name, default) if name else default

    def _hindrance(self, classes: dict[str, int]) -> Hindrance | None:
        name = self.manifest.spec.priority_class_name
        if name and name not in classes:
            text = f"spec.priorityClassName: there is no PriorityClass {name}; create it, or name one that exists"
            return Hindrance(Reason.UNKNOWN_PRIORITY_CLASS, text)
        if self.replica is None or self.replica.generation != self.generation:
            return Hindrance(Reason.VALIDATING, "a replica is being tried with a dry run")
        return self.replica.hindrance


def _with_devices(pod: Pod, mounted: Mapping[str, int]) -> Pod:
    mask = mounted.get(pod.name)
    return pod if mask is None else replace(pod, mounted=mask)

"""Objects as the API server shows them, in a few words: a test states only what it is about."""

from collections.abc import Mapping
from typing import Any

from berth.api import names
from berth.api.job import TrainingJob
from berth.api.wire import rfc3339
from berth.cluster import project
from berth.cluster.pools import PoolFacts, Requirement
from berth.cluster.project import ForeignPod, NodeFacts, OwnPod
from berth.core.model import Placement, Record, widest_first

GPU = "nvidia.com/gpu"
H800 = (Requirement("pool", "In", frozenset({"h800"})),)
LEVELS = (("spine", ("spine",)), ("leaf", ("leaf",)))
CREATED = "2026-11-22T03:00:00Z"

Json = dict[str, Any]


def job_object(
    name: str = "train",
    *,
    uid: str = "",
    version: int = 1,
    generation: int = 1,
    namespace: str = "team",
    template: Json | None = None,
    status: Json | None = None,
    deleting: bool = False,
    **spec: Any,
) -> Json:
    """A TrainingJob of two replicas with eight devices each; `spec` in camelCase."""
    metadata: Json = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"{name}-uid",
        "generation": generation,
        "resourceVersion": str(version),
        "creationTimestamp": CREATED,
    }
    if deleting:
        metadata["deletionTimestamp"] = CREATED
    found: Json = {
        "apiVersion": names.API_VERSION,
        "kind": names.JOB_KIND,
        "metadata": metadata,
        "spec": {"replicas": 2, "devicesPerReplica": 8, "template": template or a_template(), **spec},
    }
    return found if status is None else {**found, "status": status}


def a_job(name: str = "train", **facts: Any) -> TrainingJob:
    """The same, as the mirror takes it."""
    return TrainingJob.model_validate(job_object(name, **facts))


def a_template(*containers: Json, **spec: Any) -> Json:
    """A pod template; one plain container unless told."""
    return {"spec": {"containers": list(containers) or [{"name": "trainer", "image": "trainer:1"}], **spec}}


def a_placement(
    *nodes: str, pool: str = "h800", generation: int = 1, at: int = 1_000, created: bool = False
) -> Placement:
    """A placement on these nodes in rank order."""
    spans = widest_first({"spine": 1, "leaf": 1, "node": len(set(nodes))})
    return Placement(pool, "s1/l1", "leaf", spans, nodes, generation, at, created)


def placed(*nodes: str, attempt: int = 1, **facts: Any) -> Record:
    """A record of an attempt that sits on these nodes."""
    return Record(attempt=attempt, placement=a_placement(*nodes, **facts))


def status_of(record: Record) -> Json:
    """The part of a status that carries a record with nothing but a placement, as it is on the wire."""
    placement = record.placement
    if placement is None:
        return {"attempt": record.attempt}
    return {
        "attempt": record.attempt,
        "pool": placement.pool,
        "placement": {
            "domain": placement.domain,
            "level": placement.level,
            "spans": dict(placement.spans),
            "nodes": ",".join(placement.nodes),
            "generation": placement.generation,
            "admittedAt": rfc3339(placement.admitted_at),
            "podsCreated": placement.pods_created,
        },
    }


def pool_facts(
    name: str = "h800",
    *,
    uid: str = "",
    version: int = 1,
    created: int = 0,
    selector: tuple[Requirement, ...] = H800,
    levels: tuple[tuple[str, tuple[str, ...]], ...] = LEVELS,
    resource: str = GPU,
    **more: Any,
) -> PoolFacts:
    """A pool of the nodes that carry its label, under spines and leaves."""
    return PoolFacts(
        name=name,
        uid=uid or f"{name}-uid",
        generation=1,
        version=version,
        created=created,
        selector=selector,
        levels=levels,
        resource=resource,
        **more,
    )


def node_object(
    name: str,
    *,
    version: int = 1,
    labels: Mapping[str, str] | None = None,
    ready: bool = True,
    spec: Json | None = None,
    gpus: str = "8",
    **allocatable: str,
) -> Json:
    """A Node of pool h800 under spine s1 and leaf l1, with eight devices."""
    return {
        "metadata": {
            "name": name,
            "uid": f"{name}-uid",
            "resourceVersion": str(version),
            "labels": dict(labels) if labels is not None else {"pool": "h800", "spine": "s1", "leaf": "l1"},
        },
        "spec": spec or {},
        "status": {
            "allocatable": {GPU: gpus, "pods": "110", "cpu": "64", **allocatable},
            "conditions": [
                {"type": "DiskPressure", "status": "False"},
                {"type": "Ready", "status": str(ready)},
            ],
        },
    }


def a_node(name: str, **facts: Any) -> NodeFacts:
    """The same, projected."""
    return project.node(node_object(name, **facts))


def pod_object(
    name: str = "train-1-0",
    *,
    job: str = "train",
    job_uid: str = "",
    uid: str = "",
    version: int = 1,
    namespace: str = "team",
    node: str = "",
    devices: int = 8,
    labels: Mapping[str, str] | None = None,
    metadata: Json | None = None,
    spec: Json | None = None,
    **status: Any,
) -> Json:
    """A pod of Berth's that asks for eight devices; `status` in camelCase."""
    _, attempt, rank = name.rsplit("-", 2)
    own = {
        names.LABEL_JOB: job,
        names.LABEL_JOB_UID: job_uid or f"{job}-uid",
        names.LABEL_ATTEMPT: attempt,
        names.LABEL_REPLICA: rank,
    }
    found: Json = {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"{name}-uid",
            "resourceVersion": str(version),
            "labels": own if labels is None else dict(labels),
            **(metadata or {}),
        },
        "spec": {
            "containers": [{"name": "trainer", "resources": {"limits": {GPU: str(devices)}}}],
            **({"nodeName": node} if node else {}),
            **(spec or {}),
        },
        "status": {"phase": "Pending", **status},
    }
    return found


def own_pod(name: str = "train-1-0", **facts: Any) -> OwnPod:
    """The same, projected."""
    return project.own_pod(pod_object(name, **facts))


def foreign_pod(name: str, node: str, devices: int = 8, *, uid: str = "", version: int = 1) -> ForeignPod:
    """Somebody else's pod on a node."""
    found = project.foreign_pod(
        {
            "metadata": {
                "name": name,
                "namespace": "other",
                "uid": uid or f"{name}-uid",
                "resourceVersion": str(version),
            },
            "spec": {"nodeName": node, "containers": [{"name": "x", "resources": {"requests": {GPU: str(devices)}}}]},
            "status": {"phase": "Running"},
        }
    )
    assert found is not None
    return found

"""From wire objects to small slotted values: the projections that reflectors keep instead of bodies.

A 10,000-pod cluster as decoded JSON is a gigabyte; projected it is a few megabytes, and what a cycle can depend on is
visible in one file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from berth.api import names
from berth.cluster.claims import DeviceLists, device_lists, own_device_lists
from berth.cluster.quantities import amount
from berth.cluster.requests import Requests, of_pod
from berth.core.model import Node, Phase, Pod, Taint

_TAIL = 600
"""Characters of a replica's last words that are kept: a status has many jobs' worth of them."""
_WAITING = 300
"""The same of what a replica waits for."""
_REPLICA = re.compile(r"(.+)-([1-9][0-9]*)-(0|[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node before it is known which pool it belongs to: `node.path` is empty."""

    node: Node
    version: int


@dataclass(frozen=True, slots=True)
class OwnPod:
    """A pod that Berth made.

    `job` is the name of the job as the pod's name has it; empty, with attempt 0 and rank -1, if it has none. `told`:
    what its annotations say of its devices.
    """

    namespace: str
    job: str
    job_uid: str
    pod: Pod
    requests: Requests
    version: int
    told: DeviceLists = ()


@dataclass(frozen=True, slots=True)
class ForeignPod:
    """Somebody else's pod on a node: nothing but what it takes there, and what it says of its devices."""

    uid: str
    node: str
    requests: Requests
    version: int
    told: DeviceLists = ()


def version(obj: Mapping[str, Any]) -> int:
    """An object's resourceVersion as a number.

    Kubernetes promises since 1.35 (KEP-5504) that resourceVersions of one kind compare as numbers.
    """
    return int(obj["metadata"]["resourceVersion"])


def node(obj: dict[str, Any]) -> NodeFacts:
    """Project a Node."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    condition: Mapping[str, Any] = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {})
    ready = condition.get("status") == "True"
    # A node that has never said how it is has been unready since it is there.
    turned = condition.get("lastTransitionTime") or obj["metadata"].get("creationTimestamp")
    taints = tuple(Taint(t["key"], t.get("value") or "", t["effect"]) for t in spec.get("taints") or ())
    return NodeFacts(
        node=Node(
            name=obj["metadata"]["name"],
            path=(),
            allocatable={k: amount(k, q) for k, q in (status.get("allocatable") or {}).items()},
            labels=obj["metadata"].get("labels") or {},
            taints=taints,
            ready=ready and "deletionTimestamp" not in obj["metadata"],
            cordoned=bool(spec.get("unschedulable")),
            unready_since=None if ready else _seconds(turned) or 0,
        ),
        version=version(obj),
    )


def foreign_pod(obj: dict[str, Any]) -> ForeignPod | None:
    """Project somebody else's pod; None while it is on no node or when it has ended."""
    on = (obj.get("spec") or {}).get("nodeName")
    if not on or (obj.get("status") or {}).get("phase") in (Phase.SUCCEEDED, Phase.FAILED):
        return None
    metadata = obj["metadata"]
    told = device_lists(metadata.get("annotations"))
    return ForeignPod(metadata["uid"], on, of_pod(obj["spec"]), version(obj), told)


def pod_name(job: str, attempt: int, rank: int) -> str:
    """`<job>-<attempt>-<rank>`: also the host name of the replica."""
    return f"{job}-{attempt}-{rank}"


def own_pod(obj: dict[str, Any]) -> OwnPod:
    """Project a pod of Berth's.

    Job, attempt and rank are read from its name, which nobody can change, and not from its labels, which anybody may
    who may edit pods. A pod that wears Berth's labels under another name is nobody's, and takes what it takes.
    """
    metadata = obj["metadata"]
    name = _REPLICA.fullmatch(metadata["name"])
    job, attempt, rank = (name[1], int(name[2]), int(name[3])) if name else ("", 0, -1)
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    end = _end(status)
    return OwnPod(
        namespace=metadata["namespace"],
        job=job,
        job_uid=(metadata.get("labels") or {}).get(names.LABEL_JOB_UID, ""),
        pod=Pod(
            name=metadata["name"],
            uid=metadata["uid"],
            attempt=attempt,
            rank=rank,
            phase=Phase(status.get("phase") or Phase.PENDING),
            node=spec.get("nodeName") or "",
            ready=conditions.get("Ready", {}).get("status") == "True",
            deleting="deletionTimestamp" in metadata,
            disrupted=conditions.get("DisruptionTarget", {}).get("status") == "True",
            exit_code=end.exit_code,
            finished_at=end.at,
            message=end.message,
            waiting=_waiting(spec, status, conditions),
            unschedulable_since=_unschedulable_since(conditions),
            turned_away=_turned_away(spec, status),
        ),
        requests=of_pod(spec),
        version=version(obj),
        told=own_device_lists(metadata.get("annotations")),
    )


def priority_class(obj: dict[str, Any]) -> tuple[int, bool]:
    """Project a PriorityClass to its value, and whether it is the cluster's default."""
    return int(obj["value"]), bool(obj.get("globalDefault"))


@dataclass(frozen=True, slots=True)
class _End:
    exit_code: int | None
    at: int | None
    message: str


def _end(status: dict[str, Any]) -> _End:
    """How a pod ended: the first of its containers to fail, else what the pod itself says.

    Of failures within one second, that of a container comes before that of a sidecar: it is what stopped the sidecar.
    """
    ended = [
        end
        for kind in ("containerStatuses", "initContainerStatuses")
        for container in status.get(kind) or ()
        if (end := (container.get("state") or {}).get("terminated"))
    ]
    failed = [end for end in ended if end.get("exitCode")]
    if not failed:
        return _End(None, None, str(status.get("message") or status.get("reason") or ""))
    first = min(failed, key=lambda end: str(end.get("finishedAt") or "~"))
    at = first.get("finishedAt")
    words = str(first.get("message") or first.get("reason") or status.get("message") or "").strip()
    return _End(
        exit_code=int(first["exitCode"]),
        at=_seconds(at),
        message=words[-_TAIL:],
    )


def _seconds(at: str | None) -> int | None:
    """An RFC 3339 time in unix seconds."""
    return int(datetime.fromisoformat(at).timestamp()) if at else None


def _unschedulable_since(conditions: Mapping[str, Mapping[str, Any]]) -> int | None:
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable":
        return None
    return _seconds(scheduled.get("lastTransitionTime"))


def _turned_away(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """Why a node would not run a pod that is bound to it (`UnexpectedAdmissionError: …`); empty if it has run it."""
    reason = str(status.get("reason") or "")
    if status.get("phase") != Phase.FAILED or not spec.get("nodeName") or not reason:
        return ""
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            known = (container.get("state") or {}).keys() | (container.get("lastState") or {}).keys()
            if not known.isdisjoint(("running", "terminated")):
                return ""
    return _sentence(reason, str(status.get("message") or ""))


def _waiting(spec: Mapping[str, Any], status: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]) -> str:
    """What a pod that is not ready waits for; empty if it is ready, or has ended, or nobody has said.

    The kubelet's own word for a start that goes well (ContainerCreating) is told only where there is no other.
    """
    if status.get("phase") in (Phase.SUCCEEDED, Phase.FAILED) or conditions.get("Ready", {}).get("status") == "True":
        return ""
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return _sentence(str(scheduled.get("reason") or ""), str(scheduled.get("message") or ""))
    reported = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    if spec.get("nodeName") and not reported:
        return "no kubelet has reported"
    waits = [(entry["name"], wait) for entry in reported if (wait := (entry.get("state") or {}).get("waiting"))]
    waits.sort(key=lambda found: found[1].get("reason") in (None, "ContainerCreating", "PodInitializing"))
    if not waits:
        return ""
    name, wait = waits[0]
    return _sentence(f"container {name}: {wait.get('reason') or 'waiting'}", str(wait.get("message") or ""))


def _sentence(what: str, why: str) -> str:
    return (f"{what}: {why}" if why else what)[:_WAITING]

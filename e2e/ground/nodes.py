"""Simulated nodes: made quickly, run by KWOK, and broken on demand.

A node is created with its status, so that one request per node is enough; KWOK keeps the capacity that it finds.
KWOK runs the nodes that carry ``components.KUBELET_LABEL``.  To lose a node is to take the label and the lease
from KWOK and to say what the controller manager would say after its grace period: the node's status is unknown.
Its pods then stand still, and a deleted one stays, as on a machine without power.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from e2e.ground.api import Api, ApiError, JsonObject
from e2e.ground.components import KUBELET_LABEL, KUBELET_VALUE

_NODES = "/api/v1/nodes"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_NOT_FOUND = 404
_POLL_S = 0.2


def manifest(
    name: str,
    *,
    resources: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    taints: Sequence[Mapping[str, str]] = (),
) -> JsonObject:
    """A Node for KWOK; ``resources`` are its capacity and its allocatable, as quantities."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, **(labels or {}), KUBELET_LABEL: KUBELET_VALUE},
            "annotations": dict(annotations or {}),
        },
        "spec": {"taints": [dict(taint) for taint in taints]},
        "status": {
            "capacity": dict(resources),
            "allocatable": dict(resources),
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "KubeletReady",
                    "message": "simulated",
                    "lastHeartbeatTime": at,
                    "lastTransitionTime": at,
                }
            ],
            "phase": "Running",
        },
    }


def add(api: Api, manifests: Iterable[JsonObject], *, timeout_s: float = 120.0) -> list[str]:
    """Create nodes, wait until all are Ready, and return their names.

    ApiError when one is refused, TimeoutError naming some that are not Ready after ``timeout_s``.
    """
    wanted = list(manifests)
    api.each(lambda node: api.create(_NODES, node), wanted)
    names = [str(node["metadata"]["name"]) for node in wanted]
    wait_ready(api, names, timeout_s=timeout_s)
    return names


def wait_ready(api: Api, names: Iterable[str], *, timeout_s: float = 120.0) -> None:
    """Wait until all of these nodes are Ready and free of the taints that unready nodes carry."""
    wanted = set(names)
    end = time.monotonic() + timeout_s
    while missing := wanted - _ready(api):
        if time.monotonic() >= end:
            raise TimeoutError(
                f"{len(missing)} of {len(wanted)} nodes are not Ready after {timeout_s:.0f} s, "
                f"for instance {', '.join(sorted(missing)[:3])}"
            )
        time.sleep(_POLL_S)


def remove(api: Api, names: Iterable[str]) -> None:
    """Delete nodes with their leases; those that are gone already do not matter."""

    def gone(name: str) -> None:
        for collection in (_NODES, _LEASES):
            try:
                api.delete(f"{collection}/{name}")
            except ApiError as error:
                if error.status != _NOT_FOUND:
                    raise

    api.each(gone, names)


def cordon(api: Api, name: str, *, unschedulable: bool = True) -> None:
    """Close a node to new pods, or open it again."""
    api.patch(f"{_NODES}/{name}", {"spec": {"unschedulable": unschedulable or None}})


def taint(api: Api, name: str, key: str, *, effect: str = "NoSchedule", value: str = "") -> None:
    """Add a taint, or change the one of this key."""
    body = {"spec": {"taints": [{"key": key, "value": value, "effect": effect}]}}
    api.patch(f"{_NODES}/{name}", body, kind="strategic-merge")


def untaint(api: Api, name: str, key: str) -> None:
    """Take a taint away."""
    body = {"spec": {"taints": [{"$patch": "delete", "key": key}]}}
    api.patch(f"{_NODES}/{name}", body, kind="strategic-merge")


def set_allocatable(api: Api, name: str, resources: Mapping[str, str]) -> None:
    """Change what pods may use of a node, as a device plugin does that loses a device."""
    api.patch(f"{_NODES}/{name}/status", {"status": {"allocatable": dict(resources)}})


def fail(
    api: Api, name: str, *, ready: str = "Unknown", now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> None:
    """Lose a node: its Ready condition becomes ``Unknown`` (no contact) or ``False`` (the kubelet says so)."""
    api.patch(f"{_NODES}/{name}", {"metadata": {"labels": {KUBELET_LABEL: None}}})
    api.patch(f"{_LEASES}/{name}", {"spec": {"holderIdentity": None}})
    at = now().strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {
        "type": "Ready",
        "status": ready,
        "reason": "NodeStatusUnknown" if ready == "Unknown" else "KubeletNotReady",
        "message": "Kubelet stopped posting node status.",
        "lastTransitionTime": at,
    }
    api.patch(f"{_NODES}/{name}/status", {"status": {"conditions": [condition]}}, kind="strategic-merge")


def recover(api: Api, name: str, *, timeout_s: float = 60.0) -> None:
    """Bring a lost node back and wait until it is Ready."""
    api.patch(f"{_NODES}/{name}", {"metadata": {"labels": {KUBELET_LABEL: KUBELET_VALUE}}})
    wait_ready(api, [name], timeout_s=timeout_s)


def _ready(api: Api) -> set[str]:
    # resourceVersion=0 reads the API server's cache.
    listed = api.get(f"{_NODES}?resourceVersion=0")["items"]
    return {str(node["metadata"]["name"]) for node in listed if _is_ready(node)}


def _is_ready(node: JsonObject) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    taints = node.get("spec", {}).get("taints", [])
    return any(held["type"] == "Ready" and held["status"] == "True" for held in conditions) and not any(
        held["key"] in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable") for held in taints
    )

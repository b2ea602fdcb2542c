"""Simulated nodes: made quickly, run by KWOK, and broken on demand.

A node is created Ready, with its capacity, so that one request per node is enough (a node that has to become Ready
costs five more).  KWOK runs the nodes that carry ``components.KUBELET_LABEL``: it takes the node's lease, renews it
and plays the pods.  To lose a node is to take label and lease from KWOK and to say what the controller manager
would say after its grace period: the status is unknown.  Its pods then stand still, and a deleted one stays, as on
a machine without power.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from e2e.ground.api import Api, ApiError, JsonObject
from e2e.ground.components import KUBELET_LABEL, KUBELET_VALUE
from e2e.ground.waiting import until

_NODES = "/api/v1/nodes"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_NOT_FOUND = 404
_CONFLICT = 409
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
    at = _stamp()
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
            "nodeInfo": {"operatingSystem": "linux", "architecture": "amd64", "kubeletVersion": KUBELET_VALUE},
            "phase": "Running",
        },
    }


def add(api: Api, manifests: Iterable[JsonObject], *, kwok: bool = True, timeout_s: float = 120.0) -> list[str]:
    """Create nodes, wait until all are Ready and run by KWOK, and return their names.

    ``kwok`` is off for a control plane without it.  ApiError when a node is refused, TimeoutError naming some that
    are not ready after ``timeout_s``.
    """
    wanted = list(manifests)
    api.each(lambda node: api.create(_NODES, node), wanted)
    names = [str(node["metadata"]["name"]) for node in wanted]
    wait_ready(api, names, kwok=kwok, timeout_s=timeout_s)
    return names


def wait_ready(api: Api, names: Iterable[str], *, kwok: bool = True, timeout_s: float = 120.0) -> None:
    """Wait until these nodes are Ready, free of the taints of unready nodes and, with ``kwok``, run by KWOK."""
    missing = set(names)

    def all_ready() -> bool:
        missing.difference_update(_ready(api) & _held(api) if kwok else _ready(api))
        return not missing

    until(
        all_ready,
        lambda: f"{len(missing)} nodes to be Ready, for instance {', '.join(sorted(missing)[:3])}",
        timeout_s=timeout_s,
        poll_s=_POLL_S,
    )


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
    """Add a taint, or change those of this key."""
    _replace_taints(api, name, key, [{"key": key, "value": value, "effect": effect}])


def untaint(api: Api, name: str, key: str) -> None:
    """Take the taints of a key away."""
    _replace_taints(api, name, key, [])


def set_allocatable(api: Api, name: str, resources: Mapping[str, str]) -> None:
    """Change what pods may use of a node, as a device plugin does that loses a device."""
    api.patch(f"{_NODES}/{name}/status", {"status": {"allocatable": dict(resources)}})


def fail(api: Api, name: str, *, ready: str = "Unknown") -> None:
    """Lose a node: its Ready condition becomes ``Unknown`` (no contact) or ``False`` (the kubelet says so)."""
    api.patch(f"{_NODES}/{name}", {"metadata": {"labels": {KUBELET_LABEL: None}}})
    api.patch(f"{_LEASES}/{name}", {"spec": {"holderIdentity": None}})
    condition = {
        "type": "Ready",
        "status": ready,
        "reason": "NodeStatusUnknown" if ready == "Unknown" else "KubeletNotReady",
        "message": "simulated loss",
        "lastTransitionTime": _stamp(),
    }
    api.patch(f"{_NODES}/{name}/status", {"status": {"conditions": [condition]}}, kind="strategic-merge")


def recover(api: Api, name: str, *, timeout_s: float = 60.0) -> None:
    """Bring a lost node back and wait until it is Ready."""
    api.patch(f"{_NODES}/{name}", {"metadata": {"labels": {KUBELET_LABEL: KUBELET_VALUE}}})
    wait_ready(api, [name], timeout_s=timeout_s)


def _replace_taints(api: Api, name: str, key: str, wanted: Sequence[Mapping[str, str]]) -> None:
    # Taints are one list without keys for merging; the version in the patch refuses it if another changed the list.
    while True:
        node = api.get(f"{_NODES}/{name}")
        kept = [held for held in node["spec"].get("taints", []) if held["key"] != key]
        version = node["metadata"]["resourceVersion"]
        try:
            api.patch(
                f"{_NODES}/{name}", {"metadata": {"resourceVersion": version}, "spec": {"taints": [*kept, *wanted]}}
            )
        except ApiError as error:
            if error.status != _CONFLICT:
                raise
        else:
            return


def _ready(api: Api) -> set[str]:
    # resourceVersion=0 reads the API server's cache.
    listed = api.get(f"{_NODES}?resourceVersion=0")["items"]
    return {str(node["metadata"]["name"]) for node in listed if _is_ready(node)}


def _held(api: Api) -> set[str]:
    listed = api.get(f"{_LEASES}?resourceVersion=0")["items"]
    return {str(lease["metadata"]["name"]) for lease in listed if lease["spec"].get("holderIdentity")}


def _is_ready(node: JsonObject) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    taints = node.get("spec", {}).get("taints", [])
    return any(held["type"] == "Ready" and held["status"] == "True" for held in conditions) and not any(
        held["key"] in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable") for held in taints
    )


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""One test's corner of the cluster: nodes under a network of their own, pools over them, and jobs in one namespace."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from berth.api.folding import unfold
from berth.api.names import LABEL_ATTEMPT, LABEL_JOB, LABEL_REPLICA
from e2e.ground import nodes, stages
from e2e.ground.api import Api, ApiError, JsonObject
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from tests.integration.witness import Witness

GPU = "nvidia.com/gpu"
ROOT = Path(__file__).resolve().parents[2]
QUICK = {"reportSeconds": 0.2, "poolReportSeconds": 0.2, "refusedSeconds": 1, "chargeWindowSeconds": 2}
"""Settings of the operator that make a test wait less; what is waited for stays the same."""
POOLS = "/apis/berth.dev/v1alpha1/acceleratorpools"
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"

_NODE = {"cpu": "64", "memory": "512Gi", "pods": "110", GPU: "8"}
_NOT_FOUND = 404
_WAIT_S = 15.0
_COLLECTED_S = 45.0
"""The garbage collector learns of a new kind half a minute after its CRD was installed."""


def install(plane: ControlPlane) -> None:
    """Install the CRDs of this work tree and wait until they are served."""
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))


class Scene:
    """A pool ``self.pool`` (once ``cluster`` has made its nodes) and a namespace ``self.namespace``."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        add_nodes: Callable[[Iterable[JsonObject]], list[str]],
        *,
        number: int,
        watched: Callable[[], bool] = lambda: False,
    ) -> None:
        self.api = api
        self.namespace = namespace
        self.pool = f"pool-{number}"
        self.nodes: list[str] = []
        self._add_nodes = add_nodes
        self._watched = watched
        self._pools: list[str] = []
        self._classes: list[str] = []

    @property
    def jobs_path(self) -> str:
        """The collection of the scene's jobs."""
        return f"/apis/berth.dev/v1alpha1/namespaces/{self.namespace}/trainingjobs"

    @property
    def core(self) -> str:
        """The core API in the scene's namespace."""
        return f"/api/v1/namespaces/{self.namespace}"

    # The stage

    def cluster(
        self, *spines: Sequence[int], pool: bool = True, resources: Mapping[str, str] | None = None
    ) -> list[str]:
        """Add nodes, and the pool over them: for each spine the number of nodes of each of its leaves.

        ``cluster([4, 4], [4])`` has leaves of four nodes, two under spine-1 and one under spine-2. Nodes are named
        in network order. ``resources`` override those of a node. Returns when an operator that is watching knows them:
        it hears of nodes, pools and jobs by different watches, in any order, and would tell of half of them.
        """
        manifests: list[JsonObject] = []
        for spine, leaves in enumerate(spines, 1):
            for leaf, size in enumerate(leaves, 1):
                for _ in range(size):
                    manifests.append(self.node(len(self.nodes) + len(manifests) + 1, spine, leaf, resources or {}))
        added = self._add_nodes(manifests)
        self.nodes += added
        if pool:
            self.add_pool()
            if self._watched():
                self.wait_pool(self.pool, lambda status: status["nodes"]["total"] == len(self.nodes))
        return added

    def node(self, number: int, spine: int, leaf: int, resources: Mapping[str, str]) -> JsonObject:
        """Manifest of one node under a leaf."""
        return nodes.manifest(
            f"{self.pool}-n{number:02}",
            resources={**_NODE, **resources},
            labels={"scene": self.pool, "net/spine": f"spine-{spine}", "net/leaf": f"leaf-{spine}{leaf}"},
        )

    def label(self, names: Iterable[str], value: str) -> None:
        """Have nodes selected by another pool: one over the label `scene` of that value."""
        for name in names:
            self.api.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": {"scene": value}}})

    def add_pool(self, name: str = "", **spec: Any) -> JsonObject:
        """Create a pool over the scene's nodes; ``spec`` overrides fields of it."""
        name = name or self.pool
        self._pools.append(name)
        body = {
            "profile": "nvidia-h800",
            "nodeSelector": {"matchLabels": {"scene": self.pool}},
            "topology": [
                {"level": "spine", "nodeLabels": ["net/spine"]},
                {"level": "leaf", "nodeLabels": ["net/leaf"]},
            ],
            **spec,
        }
        manifest = {"apiVersion": "berth.dev/v1alpha1", "kind": "AcceleratorPool", "metadata": {"name": name}}
        return self.api.create(POOLS, {**manifest, "spec": body})

    def remove_pool(self, name: str = "") -> None:
        """Delete a pool."""
        name = name or self.pool
        self._pools.remove(name)
        self.api.delete(f"{POOLS}/{name}")

    def wait_pool(self, name: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until a pool's status is as ``condition`` says; that status."""
        last: dict[str, Any] = {}

        def met() -> bool:
            last.clear()
            last.update(self.api.get(f"{POOLS}/{name}").get("status", {}))
            return bool(last) and condition(last)

        until(met, lambda: f"pool {name}; its status is {json.dumps(last)}", timeout_s=_WAIT_S)
        return last

    def add_class(self, name: str, value: int) -> None:
        """Create a PriorityClass."""
        self._classes.append(name)
        self.api.create(CLASSES, {"metadata": {"name": name}, "value": value, "description": "of a test"})

    def foreign_pod(self, name: str, node: str, devices: int, **resources: str) -> None:
        """Create a pod of somebody else's on a node."""
        limits = {GPU: str(devices), **resources}
        container = {"name": "main", "image": "none", "resources": {"limits": limits, "requests": limits}}
        spec = {"nodeName": node, "containers": [container], "restartPolicy": "Never"}
        self.api.create(f"{self.core}/pods", {"metadata": {"name": name}, "spec": spec})

    # Jobs

    def submit(self, name: str, replicas: int = 1, devices: int = 8, **spec: Any) -> JsonObject:
        """Create a job in the scene's pool; see ``job`` for ``spec``."""
        return self.api.create(self.jobs_path, self.manifest(name, replicas, devices, **spec))

    def manifest(
        self,
        name: str,
        replicas: int = 1,
        devices: int = 8,
        *,
        sim: Mapping[str, float] | None = None,
        container: Mapping[str, Any] | None = None,
        pod: Mapping[str, Any] | None = None,
        **spec: Any,
    ) -> JsonObject:
        """A job. ``sim`` is how its pods are played (``run=2`` seconds, ``fail``, ``exit_code``, ``terminate``).

        ``container`` and ``pod`` are added to the template's container and spec, ``spec`` to the job's.
        """
        keys = {
            "run": stages.RUN_SECONDS,
            "fail": stages.FAIL_SECONDS,
            "exit_code": stages.EXIT_CODE,
            "terminate": stages.TERMINATE_SECONDS,
        }
        annotations = {keys[key]: str(value) for key, value in (sim or {}).items()}
        template: dict[str, Any] = {
            "spec": {
                "containers": [{"name": "trainer", "image": "registry.example/trainer:1", **(container or {})}],
                **(pod or {}),
            }
        }
        if annotations:
            template["metadata"] = {"annotations": annotations}
        body = {"replicas": replicas, "devicesPerReplica": devices, "pools": [self.pool], "template": template, **spec}
        manifest = {"apiVersion": "berth.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": name}}
        return {**manifest, "spec": {key: value for key, value in body.items() if value is not None}}

    def edit(self, name: str, **spec: Any) -> JsonObject:
        """Change fields of a job's spec."""
        return self.api.patch(f"{self.jobs_path}/{name}", {"spec": spec})

    def delete(self, name: str) -> None:
        """Delete a job, as kubectl does."""
        self.api.delete(f"{self.jobs_path}/{name}")

    def job(self, name: str) -> JsonObject:
        """A job as it stands."""
        return self.api.get(f"{self.jobs_path}/{name}")

    def jobs(self) -> dict[str, JsonObject]:
        """All jobs of the scene, by name."""
        return {job["metadata"]["name"]: job for job in self.api.get(self.jobs_path)["items"]}

    def status(self, name: str) -> dict[str, Any]:
        """A job's status; empty before the first."""
        found: dict[str, Any] = self.job(name).get("status", {})
        return found

    def condition(self, name: str, kind: str) -> tuple[str, str, str]:
        """Status, reason and message of a job's condition."""
        conditions = {c["type"]: c for c in self.status(name).get("conditions", [])}
        found = conditions.get(kind, {})
        return found.get("status", ""), found.get("reason", ""), found.get("message", "")

    def wait(self, name: str, state: str, *, timeout_s: float = _WAIT_S) -> dict[str, Any]:
        """Wait until a job is in a state; its status then."""
        return self.wait_for(name, lambda status: status.get("state") == state, f"to be {state}", timeout_s=timeout_s)

    def wait_pending(self, name: str, reason: str, *, says: str = "", timeout_s: float = _WAIT_S) -> dict[str, Any]:
        """Wait until a job is pending for a reason, with the message ``says`` if it is given; what it says then.

        The operator hears of nodes, pools, pods and jobs by different watches, in any order: a message with counts may
        be told of half of them first.
        """

        def waits(status: dict[str, Any]) -> bool:
            pending = status.get("pending", {})
            return bool(pending.get("reason") == reason) and says in ("", pending["message"])

        what = f"to wait for {reason}" + (f" and say {says!r}" if says else "")
        pending: dict[str, Any] = self.wait_for(name, waits, what, timeout_s=timeout_s)["pending"]
        return pending

    def wait_for(
        self, name: str, condition: Callable[[dict[str, Any]], bool], what: str, *, timeout_s: float = _WAIT_S
    ) -> dict[str, Any]:
        """Wait until a job's status is as ``condition`` says; that status."""
        last: dict[str, Any] = {}

        def met() -> bool:
            last.clear()
            last.update(self.status(name))
            return condition(last)

        until(met, lambda: f"job {name} {what}; its status is {json.dumps(last)}", timeout_s=timeout_s)
        return last

    def wait_gone(self, name: str, *, timeout_s: float = _COLLECTED_S) -> None:
        """Wait until a job and everything of it is gone."""
        until(lambda: name not in self.jobs(), f"job {name} to be gone", timeout_s=timeout_s)
        until(
            lambda: not self.pods(name) and not self.services(name),
            f"pods and services of {name} to be gone",
            timeout_s=timeout_s,
        )

    # What came of them

    def pods(self, job: str = "", *, attempt: int | None = None) -> dict[str, JsonObject]:
        """Pods of a job (of all jobs, without one), by name, in order of rank."""
        selector = f"{LABEL_JOB}={job}" if job else LABEL_JOB
        if attempt is not None:
            selector += f",{LABEL_ATTEMPT}={attempt}"
        items = self.api.get(f"{self.core}/pods?labelSelector={selector}")["items"]
        items.sort(key=lambda pod: int(pod["metadata"]["labels"][LABEL_REPLICA]))
        return {pod["metadata"]["name"]: pod for pod in items}

    def services(self, job: str) -> dict[str, JsonObject]:
        """Services of a job, by name."""
        items = self.api.get(f"{self.core}/services?labelSelector={LABEL_JOB}={job}")["items"]
        return {service["metadata"]["name"]: service for service in items}

    def placed(self, name: str) -> list[str]:
        """Nodes of a job's placement, in rank order; empty without one."""
        placement = self.status(name).get("placement")
        return unfold(placement["nodes"]) if placement else []

    def bound(self, name: str, *, attempt: int | None = None) -> list[str]:
        """Nodes that a job's pods are on, in rank order."""
        return [pod["spec"].get("nodeName", "") for pod in self.pods(name, attempt=attempt).values()]

    def over_committed(self) -> dict[str, int]:
        """Nodes of the scene on which pods hold more devices than there are, and how many they hold."""
        held = devices_held(self.api.get(f"{self.core}/pods?resourceVersion=0")["items"])
        return {node: devices for node, devices in held.items() if devices > int(_NODE[GPU])}

    def witness(self) -> Witness:
        """Sees every moment of the namespace's pods while it is a context."""
        return Witness(self.api, f"{self.core}/pods", held=devices_held, most=int(_NODE[GPU]))

    def events(self, reason: str) -> list[JsonObject]:
        """Events of a reason in the namespace."""
        items: list[JsonObject] = self.api.get(f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events")["items"]
        return [event for event in items if event["reason"] == reason]

    def clear(self) -> None:
        """Delete jobs, pools and classes."""
        self.api.delete(self.jobs_path)
        paths = [f"{POOLS}/{name}" for name in self._pools] + [f"{CLASSES}/{name}" for name in self._classes]
        for path in paths:
            try:
                self.api.delete(path)
            except ApiError as error:
                if error.status != _NOT_FOUND:
                    raise


def devices_held(pods: Iterable[JsonObject]) -> Counter[str]:
    """Devices that pods hold, by node: of those that are bound and have not ended."""
    held: Counter[str] = Counter()
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node and pod["status"].get("phase") not in ("Succeeded", "Failed"):
            for container in pod["spec"]["containers"]:
                held[node] += int(container.get("resources", {}).get("limits", {}).get(GPU, 0))
    return held


def environment(pod: JsonObject) -> dict[str, str]:
    """Environment of a pod's first container."""
    return {entry["name"]: entry["value"] for entry in pod["spec"]["containers"][0].get("env", [])}

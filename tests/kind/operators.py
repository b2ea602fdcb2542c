"""Berth's own pods in a kind cluster: who leads, and everything that they ever said.

A pod takes its log with it when it goes. So logs are gathered before anything is done that ends a pod, and the last
test judges all of them.
"""

import json

from e2e.ground.api import JsonObject
from e2e.ground.waiting import until
from e2e.kind import install
from e2e.kind.cluster import Cluster

_LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/berth-operator"
_PODS = f"/api/v1/namespaces/{install.NAMESPACE}/pods"


class Operators:
    """The operator's pods of one cluster, those that are there and those that were."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._logs: dict[str, str] = {}

    def pods(self) -> dict[str, JsonObject]:
        """Pods of the operator by name."""
        return {pod["metadata"]["name"]: pod for pod in self._cluster.api.get(_PODS)["items"]}

    def leader(self) -> str:
        """Name of the pod that holds the Lease; empty when none does."""
        return str(self._cluster.api.get(_LEASE)["spec"].get("holderIdentity") or "")

    def wait_leader(self, *, other_than: str = "") -> str:
        """Wait until a pod that is there leads; its name."""

        def leads() -> str | None:
            leader = self.leader()
            return leader if leader != other_than and leader in self.pods() else None

        found = until(leads, lambda: f"an operator to lead; the Lease has {self.leader()!r}", timeout_s=60, poll_s=0.3)
        assert found is not None
        return found

    def wait_image(self, image: str) -> None:
        """Wait until all that are there are of an image, the ones before gone, and one of them leads."""

        def images() -> set[str]:
            return {pod["spec"]["containers"][0]["image"] for pod in self.pods().values()}

        until(lambda: images() == {image}, lambda: f"operators of {image}; there are {images()}", timeout_s=90)
        self.wait_leader()

    def wait_available(self) -> None:
        """Wait until both are up again."""
        deployment = ("deployment", "--all", "-n", install.NAMESPACE)
        self._cluster.kubectl("wait", "--for=condition=Available", *deployment, "--timeout=120s")

    def gather(self) -> None:
        """Read the logs of all that are there, also of containers that have ended; call it before pods are ended."""
        for name in self.pods():
            for which, options in ((name, ()), (f"{name} before", ("--previous",))):
                read = self._cluster.kubectl_result("-n", install.NAMESPACE, "logs", name, *options)
                if read.returncode == 0:
                    self._logs[which] = read.stdout

    @property
    def log(self) -> str:
        """What was gathered, pod by pod."""
        return "\n".join(f"# {name}\n{text}" for name, text in self._logs.items())

    def lines(self) -> list[JsonObject]:
        """The lines that were gathered, each with the `pod` that wrote it."""
        return [
            {"pod": name, **json.loads(line)}
            for name, text in self._logs.items()
            for line in text.splitlines()
            if line.startswith("{")
        ]

    def others(self) -> list[str]:
        """What was gathered that is no line of the log: a traceback of the interpreter, for one."""
        return [line for text in self._logs.values() for line in text.splitlines() if not line.startswith("{")]

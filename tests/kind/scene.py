"""What the tests of the kind suite do with a cluster: submit, wait, look."""

import json
from typing import Any

from berth.api.names import LABEL_JOB, LABEL_REPLICA
from e2e.ground.api import Api, ApiError, JsonObject
from e2e.ground.waiting import until
from e2e.kind import install
from e2e.kind.cluster import Cluster
from tests.kind.operators import Operators

_JOBS = "/apis/berth.dev/v1alpha1/namespaces/{}/trainingjobs"


class Scene:
    """One namespace of a cluster with Berth in it."""

    def __init__(self, cluster: Cluster, operators: Operators, namespace: str) -> None:
        self.cluster = cluster
        self.operators = operators
        self.namespace = namespace

    @property
    def api(self) -> Api:
        return self.cluster.api

    def open(self) -> None:
        """Make the namespace and the pool, and wait until Berth counts all devices."""
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        self.cluster.kubectl("apply", "-f", "examples/10-pool-h800.yaml")

    def close(self) -> None:
        """Delete the namespace, and wait until its pods are gone."""
        self.cluster.kubectl("delete", "namespace", self.namespace, "--timeout=120s")

    def submit(self, name: str, *, replicas: int, devices: int, env: dict[str, str] | None = None, **spec: Any) -> None:
        """Submit a gang of trainers."""
        trainer = {
            "name": "trainer",
            "image": install.TRAINER,
            "imagePullPolicy": "Never",
            "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
        }
        pod = {"terminationGracePeriodSeconds": 5, "containers": [trainer]}
        self.api.create(
            _JOBS.format(self.namespace),
            {
                "apiVersion": "berth.dev/v1alpha1",
                "kind": "TrainingJob",
                "metadata": {"name": name},
                "spec": {
                    "replicas": replicas,
                    "devicesPerReplica": devices,
                    "runtime": "Torchrun",
                    "template": {"spec": pod},
                    **spec,
                },
            },
        )

    def path(self, name: str) -> str:
        """Where the API server has a job."""
        return f"{_JOBS.format(self.namespace)}/{name}"

    def job(self, name: str) -> JsonObject:
        """The job as it stands."""
        return self.api.get(self.path(name))

    def status(self, name: str) -> dict[str, Any]:
        """The job's status; empty before Berth has seen it."""
        found: dict[str, Any] = self.job(name).get("status", {})
        return found

    def wait(self, name: str, state: str, *, timeout_s: float = 120) -> dict[str, Any]:
        """Wait until the job is in a state; its status then."""

        def there() -> dict[str, Any] | None:
            status = self.status(name)
            return status if status.get("state") == state else None

        found = until(there, lambda: f"{name} to be {state}\n{self.told(name)}", timeout_s=timeout_s, poll_s=0.3)
        assert found is not None
        return found

    def pods(self, name: str) -> dict[str, JsonObject]:
        """Pods of a job by name, in order of rank."""
        found = self.api.get(f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={LABEL_JOB}={name}")["items"]
        found.sort(key=lambda pod: int(pod["metadata"]["labels"][LABEL_REPLICA]))
        return {pod["metadata"]["name"]: pod for pod in found}

    def said(self, pod: str) -> list[JsonObject]:
        """What a trainer printed: one JSON object for each line."""
        log = self.cluster.kubectl("-n", self.namespace, "logs", pod)
        return [json.loads(line) for line in log.splitlines() if line.startswith("{")]

    def told(self, name: str) -> str:
        """Everything that helps when a test fails."""
        try:
            status = json.dumps(self.status(name), indent=1)
        except ApiError as error:
            status = str(error)
        parts = [
            status,
            self.cluster.kubectl_result("-n", self.namespace, "get", "pods,events", "-o", "wide").stdout,
            self.cluster.kubectl_result("get", "nodes,apool", "-o", "wide").stdout,
            self.cluster.kubectl_result("-n", install.NAMESPACE, "get", "pods", "-o", "wide").stdout,
            "\n".join(self._operators_said()),
        ]
        return "\n".join(parts)

    def uids(self, name: str) -> dict[str, str]:
        """UIDs of a job's pods by name: the same pods have the same ones."""
        return {pod: found["metadata"]["uid"] for pod, found in self.pods(name).items()}

    def _operators_said(self) -> list[str]:
        self.operators.gather()
        return [line[:400] for line in self.operators.log.splitlines()[-20:]]

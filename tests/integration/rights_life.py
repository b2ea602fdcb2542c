"""A life in which everything happens that can happen to gangs, so that the operator asks for all that it ever asks for.

It is lived once under the chart's own account, on a control plane that logs each request of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from berth.api.names import LABEL_JOB_UID
from e2e.faults.calls import calls
from e2e.faults.proxy import FaultProxy
from e2e.faults.rules import Moment
from e2e.ground import nodes
from e2e.ground.api import Api, JsonObject
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration import audit
from tests.integration.charted import login, settings
from tests.integration.scene import Scene

NPU = "huawei.com/Ascend910"


@dataclass(frozen=True, slots=True)
class Life:
    """What the operator asked for with the code of each answer, and what it logged."""

    requests: list[tuple[audit.Request, int]]
    lines: list[dict[str, Any]]


def live(plane: ControlPlane, audit_log: Path, directory: Path) -> Life:
    """Two operators, one after the other, in a namespace and on nodes that are gone afterwards."""
    added: list[str] = []

    def add_nodes(manifests: Any) -> list[str]:
        found = nodes.add(plane.api, list(manifests))
        added.extend(found)
        return found

    plane.api.create("/api/v1/namespaces", {"metadata": {"name": "a-life"}})
    account = "/api/v1/namespaces/a-life/serviceaccounts/default"
    until(lambda: not plane.api.gone(account), "the namespace's service account", timeout_s=30)
    scene = Scene(plane.api, "a-life", add_nodes, number=99)
    try:
        with FaultProxy(login(plane, directory), directory / "proxy") as proxy:
            lines = _two_operators(scene, plane, proxy, audit_log, directory)
        return Life(list(audit.requests(audit_log)), lines)
    finally:
        scene.clear()
        plane.api.delete("/api/v1/namespaces/a-life/pods?gracePeriodSeconds=0")
        plane.api.delete("/api/v1/namespaces/a-life")
        nodes.remove(plane.api, added)


def _two_operators(
    scene: Scene, plane: ControlPlane, proxy: FaultProxy, audit_log: Path, directory: Path
) -> list[dict[str, Any]]:
    with OperatorProcess(proxy.kubeconfig, directory, settings=settings(plane), name="first") as first:
        _happens(scene, proxy)
        _ascend(scene)
        scene.wait_pool("npu", lambda status: status["nodes"]["total"] == 1)
        heard = calls(verb="watch", resource="configmaps")
        until(lambda: proxy.told(heard, "BOOKMARK") >= 0 and _watched(audit_log), "a watch of ConfigMaps", timeout_s=20)

        # The next leader raises the epoch, and reads the statuses that pools have.
        with OperatorProcess(
            login(plane, directory), directory, settings=settings(plane), name="second", wait=False
        ) as second:
            until(second.stands_by, "the second to stand by", timeout_s=60)
            first.stop()
            assert first.returncode == 0
            until(second.ready, "the second to lead", timeout_s=60)
            scene.submit("last", replicas=1)
            scene.wait("last", "Running")
        return [*first.logged(all_starts=True), *second.logged(all_starts=True)]


def _happens(scene: Scene, proxy: FaultProxy) -> None:
    """Gangs that run, lose answers, nodes and pods, are suspended, finished and removed."""
    scene.cluster([4, 4])
    # An answer that is lost: the pod is found made, and read; the same with a status, and the job is read.
    lost = proxy.refuse(calls(verb="create", resource="pods", dry_run=False), status=0, times=1, moment=Moment.AFTER)
    silent = proxy.refuse(calls(resource="trainingjobs", subresource="status"), status=0, times=1, moment=Moment.AFTER)
    scene.submit("train", replicas=3)
    scene.wait("train", "Running")
    assert (lost.refused, silent.refused) == (1, 1)

    # A node is lost: the gang's pods are marked and deleted, its Service and budget removed, and it goes on.
    gone = scene.placed("train")[1]
    nodes.remove(scene.api, [gone])
    scene.nodes.remove(gone)
    scene.wait_for("train", lambda s: s.get("attempt") == 2 and s.get("state") == "Running", "to be repaired")

    # A Service and a budget that are there with another owner get the right one.
    scene.submit("met", replicas=2, suspend=True)
    scene.wait("met", "Suspended")
    _meet(scene, "met")
    scene.edit("met", suspend=False)
    scene.wait("met", "Running")

    # A job that begins to wait for the same, twice: an event that is repeated.
    scene.submit("waits", replicas=4)
    scene.wait_pending("waits", "InsufficientDevices")
    scene.edit("waits", suspend=True)
    scene.wait("waits", "Suspended")
    scene.edit("waits", suspend=False)
    scene.wait_pending("waits", "InsufficientDevices")

    # Suspended, and finished, and removed when its time is over.
    for name in ("train", "met"):
        scene.edit(name, suspend=True)
        scene.wait(name, "Suspended")
    scene.delete("waits")
    scene.submit("short", replicas=2, sim={"run": 1}, ttlSecondsAfterFinished=1)
    scene.wait_for("short", lambda s: s.get("state") == "Succeeded", "to succeed")
    until(lambda: "short" not in scene.jobs(), "the job to be removed", timeout_s=20)


def _meet(scene: Scene, job: str) -> None:
    """A Service and a budget of a job that has none yet, as of a rank 0 that has gone."""
    uid = scene.job(job)["metadata"]["uid"]
    metadata = {"name": f"{job}-1", "labels": {LABEL_JOB_UID: uid}}
    scene.api.create(f"{scene.core}/services", {"metadata": metadata, "spec": {"clusterIP": "None"}})
    budgets = f"/apis/policy/v1/namespaces/{scene.namespace}/poddisruptionbudgets"
    scene.api.create(budgets, {"metadata": metadata, "spec": {"maxUnavailable": 0}})


def _ascend(scene: Scene) -> None:
    """A pool whose devices' health stands in ConfigMaps."""
    # A node that the scene's pool does not select.
    scene.nodes += scene._add_nodes(
        [nodes.manifest("npu-1", resources={"cpu": "64", "pods": "110", NPU: "8"}, labels={"scene": "npu"})]
    )
    scene.add_pool("npu", profile="ascend-910a-8", nodeSelector={"matchLabels": {"scene": "npu"}}, topology=[])


def _watched(log: Path) -> bool:
    return any((r.resource, r.verb) == ("configmaps", "watch") for r, _ in audit.requests(log))


class Role:
    """A role on the API server from which single verbs are taken while somebody looks."""

    def __init__(self, api: Api, grant: audit.Grant) -> None:
        scope = f"namespaces/{grant.namespace}/roles" if grant.namespace else "clusterroles"
        self._path = f"/apis/rbac.authorization.k8s.io/v1/{scope}/{grant.role}"
        self._api = api
        self._taken = grant

    def __enter__(self) -> None:
        self._role: JsonObject = self._api.get(self._path)
        granted = list(audit.grants([self._role]))
        assert self._taken in granted, f"{self._taken} is not granted"
        self._api.patch(self._path, {"rules": [audit.rule(grant) for grant in granted if grant != self._taken]})

    def __exit__(self, *_: object) -> None:
        self._api.patch(self._path, {"rules": self._role["rules"]})


def may(api: Api, user: str, request: audit.Request) -> bool:
    """Whether the API server's own authorizer lets a service account do that now."""
    resource, _, subresource = request.resource.partition("/")
    namespace = user.split(":")[2]
    asked = {
        "group": request.group,
        "resource": resource,
        "subresource": subresource,
        "verb": request.verb,
        "namespace": request.namespace,
        "name": request.name,
    }
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    review = {"spec": {"user": user, "groups": groups, "resourceAttributes": asked}}
    answer = api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])

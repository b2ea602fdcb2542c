"""In managed namespaces accelerators come by a TrainingJob, whichever way a pod asks for them and whoever makes it."""

from collections.abc import Callable
from typing import Any

import pytest

from e2e.ground.api import JsonObject
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from tests.integration.scene import Scene
from tests.integration.tenants import PARAMETERS, Tenant, grant, refusal

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.guarding",)

GPU = "nvidia.com/gpu"


def asking(resource: str = GPU, amount: str = "8", **more: Any) -> JsonObject:
    """Resources of a container that asks for accelerators."""
    return {"resources": {"limits": {resource: amount}, **more}}


def env(name: str, **value: Any) -> JsonObject:
    """Environment of a container."""
    return {"env": [{"name": name, **value}]}


def side(name: str = "side", **fields: Any) -> JsonObject:
    """One more container."""
    return {"name": name, "image": "none", **fields}


def only_jobs(field: str, resource: str = GPU) -> str:
    return (
        f"berth-accelerators: spec.{field}.resources.limits: {resource} is given to TrainingJobs only in this "
        "namespace; remove it, or create a TrainingJob instead of the pod"
    )


def mounts(field: str, variable: str) -> str:
    return (
        f"berth-accelerators: spec.{field}.env: {variable} has devices mounted that nobody gave; remove it, or set it "
        "to none"
    )


DEBUGGING = {"apiGroups": [""], "resources": ["pods/ephemeralcontainers", "pods/resize"], "verbs": ["*"]}
"""Rights that the role `edit` has not, and that tenants are often given besides."""
CLAIM = [{"name": "gpus", "resourceClaimTemplateName": "gpus"}]
BY_CLAIM = (
    "berth-accelerators: spec.resourceClaims[gpus]: devices are given to TrainingJobs only in this namespace; remove "
    "it, or create a TrainingJob instead of the pod"
)


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        pytest.param({"container": asking()}, only_jobs("containers[main]"), id="asks for GPUs"),
        pytest.param({"container": asking(amount="0")}, only_jobs("containers[main]"), id="asks for none of them"),
        pytest.param(
            {"container": asking("huawei.com/Ascend910")},
            only_jobs("containers[main]", "huawei.com/Ascend910"),
            id="asks for NPUs",
        ),
        pytest.param(
            {"container": asking("nvidia.com/gpu.shared")},
            only_jobs("containers[main]", "nvidia.com/gpu.shared"),
            id="asks for shares of GPUs",
        ),
        pytest.param(
            {"container": asking("huawei.com/Ascend910-2c")},
            only_jobs("containers[main]", "huawei.com/Ascend910-2c"),
            id="asks for slices of an NPU",
        ),
        pytest.param(
            {"container": asking("nvidia.com/mig-1g.5gb")},
            only_jobs("containers[main]", "nvidia.com/mig-1g.5gb"),
            id="asks for a MIG slice",
        ),
        pytest.param(
            {"initContainers": [side(**asking())]}, only_jobs("initContainers[side]"), id="asks in an init container"
        ),
        pytest.param(
            {"initContainers": [side(restartPolicy="Always", **asking())]},
            only_jobs("initContainers[side]"),
            id="asks in a sidecar",
        ),
        pytest.param({"resourceClaims": CLAIM}, BY_CLAIM, id="asks by a claim"),
        pytest.param(
            {"container": env("NVIDIA_VISIBLE_DEVICES", value="all")},
            mounts("containers[main]", "NVIDIA_VISIBLE_DEVICES"),
            id="has all GPUs mounted",
        ),
        pytest.param(
            {"initContainers": [side(**env("ASCEND_VISIBLE_DEVICES", value="0-7"))]},
            mounts("initContainers[side]", "ASCEND_VISIBLE_DEVICES"),
            id="has NPUs mounted in an init container",
        ),
        pytest.param(
            {"container": env("NVIDIA_VISIBLE_DEVICES", valueFrom={"fieldRef": {"fieldPath": "metadata.name"}})},
            mounts("containers[main]", "NVIDIA_VISIBLE_DEVICES"),
            id="has them mounted by reference",
        ),
        pytest.param({"container": env("NVIDIA_VISIBLE_DEVICES", value="void")}, "taken", id="wants none mounted"),
        pytest.param({"container": asking("cpu", "8")}, "taken", id="asks for CPU"),
        pytest.param({"container": asking("rdma/hca", "1")}, "taken", id="asks for a network card"),
    ],
)
def test_a_pod_that(tenant: Tenant, pod: dict[str, Any], said: str) -> None:
    """What is refused is refused with the field, what it asks for, and the way to get it."""
    assert refusal(lambda: tenant.api.create(f"{tenant.core}/pods?dryRun=All", tenant.pod(**pod))) == said


@pytest.mark.parametrize(
    ("pod", "says"),
    [
        pytest.param(
            {"container": {"resources": {"requests": {GPU: "8"}}}},
            "Limit must be set for non overcommitable resources",
            id="requests without limits",
        ),
        pytest.param(
            {"resources": {"limits": {GPU: "8"}}},
            'supported values: "cpu", "hugepages-", "memory"',
            id="resources of the whole pod",
        ),
        pytest.param(
            {"ephemeralContainers": [side(**asking())]}, "cannot be set on create", id="an ephemeral container at once"
        ),
    ],
)
def test_kubernetes_itself_refuses(tenant: Tenant, pod: dict[str, Any], says: str) -> None:
    """Why the policy need not look there: should Kubernetes ever take it, this fails."""
    said = refusal(lambda: tenant.api.create(f"{tenant.core}/pods?dryRun=All", tenant.pod(**pod)))
    assert says in said
    assert "berth-" not in said


def test_a_pod_that_runs_gets_no_devices_later(guarded_plane: ControlPlane, tenant: Tenant) -> None:
    """Neither by editing it, nor by resizing it, nor by a container for debugging."""
    grant(guarded_plane, tenant, DEBUGGING)
    tenant.api.create(f"{tenant.core}/pods", tenant.pod(schedulerName="nobody"))
    path = f"{tenant.core}/pods/pod"
    more = {"spec": {"containers": [{"name": "main", **asking()}]}}
    for subresource in ("", "/resize"):
        said = refusal(lambda at=subresource: tenant.api.patch(f"{path}{at}", more, kind="strategic-merge"))  # type: ignore[misc]
        assert "is invalid" in said or "Forbidden" in said or "forbidden" in said, said
        assert GPU not in str(tenant.api.get(path)["spec"])
    debug = {"spec": {"ephemeralContainers": [side("debug", **env("NVIDIA_VISIBLE_DEVICES", value="all"))]}}
    said = refusal(lambda: tenant.api.patch(f"{path}/ephemeralcontainers", debug, kind="strategic-merge"))
    assert said == mounts("ephemeralContainers[debug]", "NVIDIA_VISIBLE_DEVICES")
    debug = {"spec": {"ephemeralContainers": [side("debug", **asking())]}}
    said = refusal(lambda: tenant.api.patch(f"{path}/ephemeralcontainers", debug, kind="strategic-merge"))
    assert "resources: Forbidden: cannot be set for an Ephemeral Container" in said
    plain = {"spec": {"ephemeralContainers": [side("debug")]}}
    assert refusal(lambda: tenant.api.patch(f"{path}/ephemeralcontainers", plain, kind="strategic-merge")) == "taken"


def test_a_controller_gets_no_devices_for_a_tenant(guarded_plane: ControlPlane, tenant: Tenant) -> None:
    """A Deployment is taken, its pods are not; the event on its ReplicaSet says why."""
    pod = tenant.pod(labels={"app": "web"}, container=asking())
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": pod}
    path = f"/apis/apps/v1/namespaces/{tenant.namespace}/deployments"
    tenant.api.create(path, {"metadata": {"name": "web"}, "spec": spec})

    def told() -> bool:
        events = tenant.api.get(f"/apis/events.k8s.io/v1/namespaces/{tenant.namespace}/events")["items"]
        return any(f"{GPU} is given to TrainingJobs only" in event.get("note", "") for event in events)

    until(told, "the ReplicaSet to say why it has no pods", timeout_s=20)
    assert tenant.api.get(f"{tenant.core}/pods")["items"] == []


def test_a_namespace_without_the_label_is_not_managed(new_tenant: Callable[..., Tenant]) -> None:
    """Nothing of this holds there; Berth counts what its pods take."""
    tenant = new_tenant(managed=False)
    pod = tenant.pod(container=asking())
    assert refusal(lambda: tenant.api.create(f"{tenant.core}/pods", pod)) == "taken"


def test_a_tenant_cannot_unmanage_its_namespace(tenant: Tenant) -> None:
    """Namespaces are not the role `edit`'s to change."""
    path = f"/api/v1/namespaces/{tenant.namespace}"
    said = refusal(lambda: tenant.api.patch(path, {"metadata": {"labels": {"berth.dev/managed": None}}}))
    assert "cannot patch resource" in said


def test_a_replica_of_a_job_has_its_devices(guarded_plane: ControlPlane, fleet: Scene, tenant: Tenant) -> None:
    """The way that is left; and its containers may be debugged, and looked at with all of Kubernetes' tools."""
    grant(guarded_plane, tenant, DEBUGGING)
    fleet.cluster([1])
    tenant.api.create(tenant.jobs, fleet.manifest("train"))
    fleet.wait("train", "Running")
    path = f"{tenant.core}/pods/train-1-0"
    assert tenant.api.get(path)["spec"]["containers"][0]["resources"]["limits"] == {GPU: "8"}
    debug = {"spec": {"ephemeralContainers": [side("debug")]}}
    tenant.api.patch(f"{path}/ephemeralcontainers", debug, kind="strategic-merge")
    assert tenant.api.get(path)["spec"]["ephemeralContainers"][0]["name"] == "debug"


def test_claims_may_be_allowed_by_parameter(guarded_plane: ControlPlane, tenant: Tenant) -> None:
    """Where claims are for other things than accelerators, such as network cards."""
    pod = tenant.pod(resourceClaims=CLAIM)

    def said() -> str:
        return refusal(lambda: tenant.api.create(f"{tenant.core}/pods?dryRun=All", pod))

    guarded_plane.api.patch(PARAMETERS, {"data": {"resourceClaims": "Allow"}})
    try:
        until(lambda: said() == "taken", "claims to be let pass", timeout_s=15)
    finally:
        guarded_plane.api.patch(PARAMETERS, {"data": {"resourceClaims": "Deny"}})
    until(lambda: said() == BY_CLAIM, "claims to be refused again", timeout_s=15)

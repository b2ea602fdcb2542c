"""Only Berth writes labels, annotations and statuses that it goes by; everybody's daily work on pods goes on."""

from collections.abc import Callable
from typing import Any

import pytest

from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import POOLS, Scene
from tests.integration.tenants import PARAMETERS, Tenant, grant, person, refusal
from tests.manifests import PLACEMENT, job, pool

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.guarding",)

UID = "berth.dev/job-uid"
REAL = "huawei.com/AscendReal"
LABEL = (
    "berth-ownership: metadata.labels[{}]: {}: labels that start with berth.dev/ are written by Berth alone; leave it "
    "as it was, and create a TrainingJob for a gang"
)
ANNOTATION = (
    "berth-ownership: metadata.annotations[{}]: {}: annotations that start with berth.dev/ are written by Berth alone; "
    "leave it as it was"
)
DEVICES = (
    "berth-ownership: metadata.annotations[{}]: {}: which devices a pod gets is said by Berth and answered by the "
    "device plugin; leave it as it was"
)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        pytest.param(
            {"labels": {"berth.dev/job": "x"}}, LABEL.format("berth.dev/job", '"x" cannot be set'), id="a job's name"
        ),
        pytest.param(
            {"labels": {"berth.dev/replica": "0"}}, LABEL.format("berth.dev/replica", '"0" cannot be set'), id="a rank"
        ),
        pytest.param(
            {"annotations": {"berth.dev/devices": "0-7"}},
            ANNOTATION.format("berth.dev/devices", '"0-7" cannot be set'),
            id="devices",
        ),
        pytest.param(
            {"annotations": {"huawei.com/Ascend910": "Ascend910-0"}},
            DEVICES.format("huawei.com/Ascend910", '"Ascend910-0" cannot be set'),
            id="devices in the words of the Ascend plugin",
        ),
        pytest.param(
            {"annotations": {"predicate-time": "1"}},
            DEVICES.format("predicate-time", '"1" cannot be set'),
            id="its order of pods",
        ),
        pytest.param(
            {"annotations": {REAL: "Ascend910-0"}}, DEVICES.format(REAL, '"Ascend910-0" cannot be set'), id="its answer"
        ),
        pytest.param({"labels": {"app": "web", "sim.berth.dev/x": "1"}}, "taken", id="labels of the tenant's own"),
        pytest.param({"annotations": {"example.com/devices": "Ascend910-0"}}, "taken", id="annotations of its own"),
    ],
)
def test_a_pod_made_with(tenant: Tenant, metadata: dict[str, Any], said: str) -> None:
    """A tenant's pod carries no mark of Berth's and no word of a device plugin's."""
    assert refusal(lambda: tenant.api.create(f"{tenant.core}/pods", tenant.pod(**metadata))) == said


def test_outside_managed_namespaces_a_pod_still_cannot_pass_for_a_replica(
    berth: OperatorProcess, new_tenant: Callable[..., Tenant]
) -> None:
    """By the uid of a job alone a pod would be taken for Berth's: that is refused everywhere, and nothing else is."""
    tenant = new_tenant(managed=False)
    forged = tenant.pod(labels={UID: "x"})
    by_fence = "berth-fence: berth-fence: label berth.dev/epoch is"  # the API server tells one refusal of several
    said = refusal(lambda: tenant.api.create(f"{tenant.core}/pods", forged))
    assert said == LABEL.format(UID, '"x" cannot be set') or said.startswith(by_fence)
    new = tenant.pod(labels={UID: "x", "berth.dev/epoch": "999999"})
    said = refusal(lambda: tenant.api.create(f"{tenant.core}/pods", new))
    assert said in (
        LABEL.format(UID, '"x" cannot be set'),
        LABEL.format("berth.dev/epoch", '"999999" cannot be set'),
    )
    other = tenant.pod("other", labels={"berth.dev/replica": "0"})
    assert refusal(lambda: tenant.api.create(f"{tenant.core}/pods", other)) == "taken"


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        pytest.param(
            {"metadata": {"labels": {UID: None}}}, LABEL.format(UID, "cannot be removed"), id="the label of its job"
        ),
        pytest.param(
            {"metadata": {"labels": {"berth.dev/replica": "7"}}},
            LABEL.format("berth.dev/replica", '"7" cannot be set'),
            id="its rank",
        ),
        pytest.param(
            {"metadata": {"annotations": {REAL: "Ascend910-7"}}},
            DEVICES.format(REAL, '"Ascend910-7" cannot be set'),
            id="what the plugin has mounted",
        ),
        pytest.param(
            {"metadata": {"ownerReferences": []}},
            "berth-ownership: metadata.ownerReferences: cannot change: a replica belongs to its TrainingJob; leave it "
            "as it was, and delete the job to end it",
            id="its owner",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["example.com/stay"]}},
            'berth-ownership: metadata.finalizers: "example.com/stay" cannot be set: a replica that cannot go would '
            "keep its devices; remove it",
            id="that it may go",
        ),
        pytest.param({"metadata": {"labels": {"note": "x"}}}, "taken", id="a label of the tenant's"),
        pytest.param({"metadata": {"annotations": {"note": "x"}}}, "taken", id="an annotation of the tenant's"),
        pytest.param({"spec": {"activeDeadlineSeconds": 100000}}, "taken", id="a field of its spec that may change"),
    ],
)
def test_a_replica_of_which_its_tenant_changes(fleet: Scene, tenant: Tenant, patch: dict[str, Any], said: str) -> None:
    """A tenant may edit pods of its namespace; of a replica it cannot change what Berth goes by."""
    fleet.cluster([1])
    fleet.submit("train", devices=1)
    fleet.wait("train", "Running")
    path = f"{tenant.core}/pods/train-1-0"
    assert refusal(lambda: tenant.api.patch(f"{path}?dryRun=All", patch)) == said


def test_a_status_written_by_a_tenant_who_may(guarded_plane: ControlPlane, tenant: Tenant) -> None:
    """Even where a role is too kind: no placement, no count of failures, no devices of a pool."""
    grant(guarded_plane, tenant, {"apiGroups": ["berth.dev"], "resources": ["*"], "verbs": ["*"]})
    tenant.api.create(tenant.jobs, job("train"))
    said = (
        f'berth-status: status: cannot be written by "{tenant.user}": it is what Berth reports and goes by; change '
        "spec instead"
    )
    forged = {"status": {"state": "Running", "pool": "h800", "placement": PLACEMENT}}
    assert refusal(lambda: tenant.api.patch(f"{tenant.jobs}/train/status", forged)) == said
    whole = {**tenant.api.get(f"{tenant.jobs}/train"), "status": {"failures": 0}}
    assert refusal(lambda: tenant.api.replace(f"{tenant.jobs}/train/status", whole)) == said
    made = tenant.api.create(tenant.jobs, {**job("other"), **forged})
    assert made.get("status") is None, "a status in a new job is dropped by the API server itself"


def test_a_status_of_a_pool_is_berths(guarded_plane: ControlPlane) -> None:
    """An administrator of another name than the break-glass ones is refused, too."""
    guarded_plane.api.create(POOLS, pool("status-pool"))
    kind = {"metadata": {"name": "cluster-operator"}}
    guarded_plane.api.create("/api/v1/namespaces/default/serviceaccounts", kind)
    try:
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        subject = {"kind": "ServiceAccount", "name": "cluster-operator", "namespace": "default"}
        guarded_plane.api.create(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            {"metadata": {"name": "cluster-operator"}, "roleRef": role, "subjects": [subject]},
        )
        path, forged = f"{POOLS}/status-pool/status", {"status": {"resourceName": "nvidia.com/gpu"}}
        with person(guarded_plane, "default", "cluster-operator") as administrator:
            assert refusal(lambda: administrator.patch(path, forged)) == (
                'berth-status: status: cannot be written by "system:serviceaccount:default:cluster-operator": it is '
                "what Berth reports and goes by; change spec instead"
            )
            _break_glass(guarded_plane, "system:serviceaccount:default:cluster-operator")
            until(
                lambda: refusal(lambda: administrator.patch(path, forged)) == "taken",
                "the break-glass user to be let pass",
                timeout_s=15,
            )
    finally:
        _break_glass(guarded_plane, "")
        guarded_plane.api.delete(f"{POOLS}/status-pool")


def _break_glass(plane: ControlPlane, user: str) -> None:
    plane.api.patch(PARAMETERS, {"data": {"breakGlassUsers": user}})


def test_a_device_plugin_answers_and_says_nothing_else(guarded_plane: ControlPlane, fleet: Scene) -> None:
    """The Ascend plugin writes its annotations under an account of kube-system; Berth's own it cannot write either."""
    fleet.cluster([1])
    fleet.submit("train", devices=1)
    fleet.wait("train", "Running")
    path = f"{fleet.core}/pods/train-1-0?dryRun=All"
    answer = {"metadata": {"annotations": {REAL: "Ascend910-0", "predicate-time": "18446744073709551615"}}}
    forged = {"metadata": {"annotations": {"berth.dev/devices": "1"}}}
    with person(guarded_plane, "kube-system", "device-plugin") as plugin:
        assert refusal(lambda: plugin.patch(path, answer)) == "taken"
        assert refusal(lambda: plugin.patch(path, forged)) == ANNOTATION.format(
            "berth.dev/devices", '"1" cannot be set'
        )


def test_a_controller_writes_no_device_for_a_tenant(guarded_plane: ControlPlane, tenant: Tenant) -> None:
    """The pods of a Deployment are made by an account of kube-system, with the annotations that the tenant wrote."""
    pod = tenant.pod(labels={"app": "web"}, annotations={REAL: "Ascend910-0"})
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": pod}
    path = f"/apis/apps/v1/namespaces/{tenant.namespace}/deployments"
    tenant.api.create(path, {"metadata": {"name": "web"}, "spec": spec})

    def told() -> bool:
        events = tenant.api.get(f"/apis/events.k8s.io/v1/namespaces/{tenant.namespace}/events")["items"]
        return any(f'metadata.annotations[{REAL}]: "Ascend910-0" cannot be set' in event["note"] for event in events)

    until(told, "the ReplicaSet to say why it has no pods", timeout_s=20)
    assert tenant.api.get(f"{tenant.core}/pods")["items"] == []


def test_binding_a_pod_writes_no_annotation(guarded_plane: ControlPlane, tenant: Tenant) -> None:
    """What stands on a Binding is copied to the pod: nobody gets an annotation on a pod that way."""
    grant(guarded_plane, tenant, {"apiGroups": [""], "resources": ["pods/binding"], "verbs": ["create"]})
    tenant.api.create(f"{tenant.core}/pods", tenant.pod(schedulerName="nobody"))
    body = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "pod", "annotations": {REAL: "Ascend910-0"}},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "anywhere"},
    }
    said = refusal(lambda: tenant.api.create(f"{tenant.core}/pods/pod/binding", body))
    assert said == DEVICES.format(REAL, '"Ascend910-0" cannot be set')


def test_a_write_to_a_pods_status_changes_no_label(guarded_plane: ControlPlane, fleet: Scene, tenant: Tenant) -> None:
    """A role that lets write the status of pods lets write their labels, too; Berth's are kept."""
    grant(guarded_plane, tenant, {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["*"]})
    fleet.cluster([1])
    fleet.submit("train", devices=1)
    fleet.wait("train", "Running")
    path = f"{tenant.core}/pods/train-1-0/status"
    for metadata in ({"labels": {UID: None}}, {"annotations": {REAL: "Ascend910-0"}}):
        said = refusal(lambda changed=metadata: tenant.api.patch(path, {"metadata": changed}))  # type: ignore[misc]
        assert said == (
            "berth-ownership-by-status: metadata: labels and annotations of a replica cannot change with its status: "
            "Berth goes by them; leave them as they were"
        )
    own = tenant.pod("own", schedulerName="nobody")
    tenant.api.create(f"{tenant.core}/pods", own)
    forged = {"metadata": {"labels": {UID: "x"}}}
    assert "berth-ownership-by-status: " in refusal(lambda: tenant.api.patch(f"{tenant.core}/pods/own/status", forged))


def test_a_gang_lives_its_life_under_the_policies(fleet: Scene, tenant: Tenant) -> None:
    """Scheduler, kubelets, the garbage collector and Berth do what they do; the tenant submits and deletes."""
    fleet.cluster([2])
    tenant.api.create(tenant.jobs, fleet.manifest("train", replicas=2))
    fleet.wait("train", "Running")
    fleet.edit("train", suspend=True)
    fleet.wait("train", "Suspended")
    fleet.edit("train", suspend=False)
    fleet.wait("train", "Running")
    tenant.api.delete(f"{tenant.jobs}/train")
    fleet.wait_gone("train")

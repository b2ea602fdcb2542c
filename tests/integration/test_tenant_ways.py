"""What a tenant tries, by its own credentials, to get devices past Berth or rights that it has not, and what it gets.

The ways by forged marks, statuses, classes, claims and controllers stand in `test_policies_*`. Here are those by a
job's template, by what lies around a gang, and by other namespaces. `docs/concepts/security.md` has the whole table.
"""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from e2e.ground.api import JsonObject
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from tests.integration.scene import GPU, Scene, devices_held
from tests.integration.tenants import Tenant, grant, refusal
from tests.manifests import job

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.guarding",)

TEMPLATE = "spec.template.spec"
CANNOT = "{}.{}: Invalid value: {}: cannot be set: {}"
PLACE = "Berth decides the nodes; remove it, and use spec.topology, or nodeSelector for a property of the nodes"


def a_job(fleet: Scene, *, metadata: JsonObject | None = None, **pod: Any) -> JsonObject:
    """A job with fields in its pods' spec, and in their metadata."""
    manifest = fleet.manifest("train", devices=1, container=pod.pop("container", None), pod=pod)
    if metadata is not None:
        manifest["spec"]["template"]["metadata"] = metadata
    return manifest


# What a template may not say: refused when it is applied


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("nodeName", "n1", f'nodeName: Invalid value: "n1": cannot be set: {PLACE}'),
        (
            "schedulerName",
            "mine",
            'schedulerName: Invalid value: "mine": cannot be set: the scheduler that Berth works',
        ),
        ("hostname", "train-1-0", 'hostname: Invalid value: "train-1-0": cannot be set: Berth names the replicas'),
        ("subdomain", "other-1", 'subdomain: Invalid value: "other-1": cannot be set: Berth names the replicas'),
        ("priority", 2_000_000, "priority: Invalid value: 2000000: cannot be set: Berth orders jobs, not pods"),
        ("priorityClassName", "system-node-critical", "priorityClassName: Invalid value: "),
        ("preemptionPolicy", "Never", 'preemptionPolicy: Invalid value: "Never": cannot be set: Berth orders jobs'),
        (
            "resourceClaims",
            [{"name": "x"}],
            "resourceClaims: Invalid value: cannot be set: devices from resource claims",
        ),
        ("schedulingGates", [{"name": "x"}], "schedulingGates: Invalid value: cannot be set: Berth creates pods when"),
        ("ephemeralContainers", [{"name": "x"}], "ephemeralContainers: Invalid value: cannot be set: Kubernetes takes"),
        (
            "activeDeadlineSeconds",
            5,
            "activeDeadlineSeconds: Invalid value: 5: cannot be set: it would end one replica",
        ),
        ("restartPolicy", "Always", 'restartPolicy: Invalid value: "Always": must be Never, or left out'),
        (
            "terminationGracePeriodSeconds",
            10**7,
            "terminationGracePeriodSeconds: Invalid value: 10000000: must be from 1 ",
        ),
        ("terminationGracePeriodSeconds", 0, "terminationGracePeriodSeconds: Invalid value: 0: must be from 1 to 3600"),
    ],
)
def test_a_template_may_not_set(tenant: Tenant, field: str, value: Any, says: str) -> None:
    """What Berth decides, and what would keep devices beyond its decisions."""
    manifest = job("train")
    manifest["spec"]["template"]["spec"][field] = value
    assert f"{TEMPLATE}.{says}" in refusal(lambda: tenant.api.create(tenant.jobs, manifest))


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        (
            {"labels": {"berth.dev/job-uid": "x"}},
            '"berth.dev/job-uid" must be removed: labels and annotations that start',
        ),
        (
            {"annotations": {"berth.dev/devices": "0"}},
            '"berth.dev/devices" must be removed: labels and annotations that',
        ),
    ],
)
def test_a_templates_metadata_may_not_set_marks_of_berths(tenant: Tenant, metadata: JsonObject, says: str) -> None:
    """Berth would carry them to the pods under its own name."""
    manifest = job("train")
    manifest["spec"]["template"]["metadata"] = metadata
    assert says in refusal(lambda: tenant.api.create(tenant.jobs, manifest))


@pytest.mark.parametrize(
    "metadata",
    [
        {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "x"}]},
        {"finalizers": ["example.com/stay"]},
        {"namespace": "kube-system"},
        {"name": "mine"},
    ],
    ids=lambda metadata: next(iter(metadata)),
)
def test_of_a_templates_metadata_only_labels_and_annotations_are_kept(
    fleet: Scene, tenant: Tenant, metadata: JsonObject
) -> None:
    """Owners, finalizers, names and namespaces are dropped when the job is stored: no pod ever has them."""
    fleet.cluster([1])
    stored = tenant.api.create(tenant.jobs, a_job(fleet, metadata={"labels": {"team": "x"}, **metadata}))
    assert stored["spec"]["template"]["metadata"] == {"labels": {"team": "x"}}
    fleet.wait("train", "Running")
    pod = fleet.pods("train")["train-1-0"]["metadata"]
    assert [owner["kind"] for owner in pod["ownerReferences"]] == ["TrainingJob"]
    assert "finalizers" not in pod


# What is found when a replica is tried: the job waits and says why


@pytest.mark.parametrize(
    ("level", "pod", "says"),
    [
        ("baseline", {"hostNetwork": True}, "host namespaces (hostNetwork=true)"),
        ("baseline", {"hostPID": True}, "host namespaces (hostPID=true)"),
        (
            "baseline",
            {"volumes": [{"name": "host", "hostPath": {"path": "/dev"}}]},
            'hostPath volumes (volume "host")',
        ),
        (
            "baseline",
            {"container": {"securityContext": {"privileged": True}}},
            'privileged (container "trainer" must not set securityContext.privileged=true)',
        ),
        ("restricted", {}, "allowPrivilegeEscalation != false"),
        ("", {"serviceAccountName": "somebody-elses"}, 'serviceaccount "somebody-elses" not found'),
    ],
    ids=["the network of the node", "its processes", "its files", "all of it", "more than restricted", "an account"],
)
def test_a_template_has_no_more_rights_than_a_pod_of_its_namespace(
    fleet: Scene, tenant: Tenant, guarded_plane: ControlPlane, level: str, pod: dict[str, Any], says: str
) -> None:
    """Pod Security and ServiceAccounts judge what Berth makes as any pod: there is none, and the job says why."""
    labels = {"pod-security.kubernetes.io/enforce": level or None}
    guarded_plane.api.patch(f"/api/v1/namespaces/{tenant.namespace}", {"metadata": {"labels": labels}})
    fleet.cluster([1])
    tenant.api.create(tenant.jobs, a_job(fleet, **pod))
    pending = fleet.wait_pending("train", "TemplateRefused")
    assert says in pending["message"]
    assert fleet.pods() == {}


@pytest.mark.parametrize(
    ("metadata", "pod", "says"),
    [
        (
            {"annotations": {"huawei.com/AscendReal": "Ascend910-7"}},
            {},
            (
                "spec.template.metadata.annotations[huawei.com/AscendReal]: 'Ascend910-7': which devices a replica "
                "gets is Berth's to say; remove it"
            ),
        ),
        (
            None,
            {"container": {"env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]}},
            (
                "spec.template.spec.containers[0].env[0]: NVIDIA_VISIBLE_DEVICES has devices mounted that the job does "
                "not ask for; remove it, or set it to none"
            ),
        ),
        (
            None,
            {"container": {"resources": {"limits": {GPU: "8"}}}},
            (
                f"spec.template.spec.containers[0].resources.limits[{GPU}]: 8: the containers of a replica must ask "
                "for spec.devicesPerReplica (1) in all; leave it out, and the first container gets them"
            ),
        ),
        (
            None,
            {"initContainers": [{"name": "more", "image": "none", "resources": {"limits": {GPU: "8"}}}]},
            (
                f"spec.template.spec.initContainers[0].resources.limits[{GPU}]: '8': an init container may ask for "
                "spec.devicesPerReplica (1) at most; lower it"
            ),
        ),
        (
            None,
            {
                "initContainers": [
                    {"name": "more", "image": "none", "restartPolicy": "Always", "resources": {"limits": {GPU: "7"}}}
                ]
            },
            (
                f"spec.template.spec.initContainers[0].resources.limits[{GPU}]: '7': a sidecar would hold devices "
                "beside spec.devicesPerReplica (1); remove it"
            ),
        ),
    ],
    ids=["a plugin's answer", "a runtime's variable", "a container", "an init container", "a sidecar"],
)
def test_a_template_gets_no_device_that_the_job_does_not_ask_for_by(
    fleet: Scene, tenant: Tenant, metadata: JsonObject | None, pod: dict[str, Any], says: str
) -> None:
    """The policies trust Berth's pods, so Berth refuses what they refuse to others."""
    fleet.cluster([1])
    tenant.api.create(tenant.jobs, a_job(fleet, metadata=metadata, **pod))
    assert fleet.wait_pending("train", "TemplateRefused")["message"] == says
    assert fleet.pods() == {}


def test_a_job_bound_by_berth_itself_stays_off_nodes_that_are_closed(fleet: Scene, tenant: Tenant) -> None:
    """`binding: Direct` passes kube-scheduler, and nothing else: what a node keeps off is planned with."""
    (node,) = fleet.cluster([1])
    taint = {"key": "reserved", "value": "x", "effect": "NoSchedule"}
    fleet.api.patch(f"/api/v1/nodes/{node}", {"spec": {"taints": [taint]}})
    tenant.api.create(tenant.jobs, {**a_job(fleet), "spec": {**a_job(fleet)["spec"], "binding": "Direct"}})
    fleet.wait_for("train", lambda status: "pending" in status, "to wait")
    assert fleet.pods() == {}


# What lies around a gang


def test_a_pod_under_a_replicas_name_keeps_the_gang_out(fleet: Scene, tenant: Tenant) -> None:
    """The job waits and says whose fault it is; the pod is neither taken over nor deleted."""
    fleet.cluster([2])
    path = f"{tenant.core}/pods"
    made = tenant.api.create(path, tenant.pod("train-1-0", schedulerName="nobody"))
    tenant.api.create(tenant.jobs, fleet.manifest("train", replicas=2))
    pending = fleet.wait_pending("train", "TemplateRefused")
    assert pending["message"] == (
        "a pod train-1-0 is there already and is not this job's; delete it, or rename the job"
    )
    assert tenant.api.get(f"{path}/train-1-0")["metadata"]["uid"] == made["metadata"]["uid"]


@pytest.mark.parametrize("kind", ["services", "poddisruptionbudgets"])
def test_a_service_or_budget_under_a_gangs_name_costs_an_attempt(fleet: Scene, tenant: Tenant, kind: str) -> None:
    """The attempt gives its devices back at once, the next has a name of its own; the tenant's object stays."""
    fleet.cluster([2])
    path, spec = f"{tenant.core}/services", {"ports": [{"port": 1}]}
    if kind == "poddisruptionbudgets":
        path = f"/apis/policy/v1/namespaces/{tenant.namespace}/poddisruptionbudgets"
        spec = {"minAvailable": 0, "selector": {"matchLabels": {"a": "b"}}}  # type: ignore[dict-item]
    made = tenant.api.create(path, {"metadata": {"name": "train-1"}, "spec": spec})
    tenant.api.create(tenant.jobs, fleet.manifest("train", replicas=2))
    status = fleet.wait("train", "Running", timeout_s=30)
    assert [(attempt["attempt"], attempt["cause"]) for attempt in status["attempts"]] == [(1, "PodsRefused")]
    assert tenant.api.get(f"{path}/train-1")["metadata"]["uid"] == made["metadata"]["uid"]


def test_a_pod_that_names_a_job_as_its_owner_is_none_of_its_replicas(fleet: Scene, tenant: Tenant) -> None:
    """An owner reference is only a request to be deleted with the owner: it takes no place and counts as nobody's."""
    fleet.cluster([1])
    made = tenant.api.create(tenant.jobs, fleet.manifest("train", devices=1))
    fleet.wait("train", "Running")
    owner = {
        "apiVersion": "berth.dev/v1alpha1",
        "kind": "TrainingJob",
        "name": "train",
        "uid": made["metadata"]["uid"],
        "controller": True,
    }
    tenant.api.create(f"{tenant.core}/pods", tenant.pod("train-1-1", owners=[owner], schedulerName="nobody"))
    assert list(fleet.pods("train")) == ["train-1-0"]
    assert fleet.status("train")["state"] == "Running"
    tenant.api.delete(f"{tenant.jobs}/train")
    fleet.wait_gone("train")
    until(lambda: not tenant.api.get(f"{tenant.core}/pods")["items"], "the pod to go with the job", timeout_s=45)


@pytest.mark.parametrize(
    ("field", "value"),
    [("replicas", 2), ("devicesPerReplica", 8), ("pools", ["other"]), ("topology", {"level": "leaf"})],
)
def test_a_gang_that_is_placed_does_not_grow(fleet: Scene, tenant: Tenant, field: str, value: Any) -> None:
    """The schema keeps the shape of a placed job as it was; there is no second rule for that, and no `scale`."""
    fleet.cluster([2])
    tenant.api.create(tenant.jobs, fleet.manifest("train", devices=1))
    fleet.wait("train", "Running")
    said = refusal(lambda: tenant.api.patch(f"{tenant.jobs}/train", {"spec": {field: value}}))
    assert f"spec.{field}: Invalid value: " in said
    assert "cannot change while the gang is placed: set spec.suspend to true first, and back to false" in said
    assert refusal(lambda: fleet.api.get(f"{tenant.jobs}/train/scale")).startswith("404")


def test_evicting_a_replica_waits_for_the_gangs_budget(fleet: Scene, tenant: Tenant) -> None:
    """Without its budget the tenant has what it has by deleting the pod: its own gang starts anew."""
    fleet.cluster([1])
    tenant.api.create(tenant.jobs, fleet.manifest("train", devices=1))
    fleet.wait("train", "Running")
    budget = f"/apis/policy/v1/namespaces/{tenant.namespace}/poddisruptionbudgets/train-1"
    until(lambda: fleet.api.get(budget).get("status", {}).get("expectedPods"), "the budget to count", timeout_s=15)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "train-1-0"}}
    said = refusal(lambda: tenant.api.create(f"{tenant.core}/pods/train-1-0/eviction", eviction))
    assert "Cannot evict pod as it would violate the pod's disruption budget" in said
    tenant.api.delete(budget)
    tenant.api.create(f"{tenant.core}/pods/train-1-0/eviction", eviction)
    fleet.wait_for("train", lambda status: status.get("attempt") == 2, "to start anew", timeout_s=30)
    assert fleet.over_committed() == {}


# Others, and the cluster


@pytest.mark.parametrize(
    ("what", "request_of"),
    [
        ("bind a pod", lambda t, _: t.api.create(f"{t.core}/pods/x/binding", {"target": {"name": "n1"}})),
        ("write a pod's status", lambda t, _: t.api.patch(f"{t.core}/pods/x/status", {"status": {}})),
        ("delete pods of another", lambda t, o: t.api.delete(f"{o.core}/pods/x")),
        ("delete jobs of another", lambda t, o: t.api.delete(f"{o.jobs}/train")),
        ("submit for another", lambda t, o: t.api.create(o.jobs, job("train"))),
        ("read jobs of another", lambda t, o: t.api.get(o.jobs)),
        ("change a pool", lambda t, _: t.api.delete("/apis/berth.dev/v1alpha1/acceleratorpools/x")),
        ("change a node", lambda t, _: t.api.patch("/api/v1/nodes/x", {"metadata": {"labels": {"a": "b"}}})),
        ("make a class", lambda t, _: t.api.create("/apis/scheduling.k8s.io/v1/priorityclasses", {"value": 1})),
        (
            "change the parameters",
            lambda t, _: t.api.patch("/api/v1/namespaces/kube-system/configmaps/berth-policies", {"data": {}}),
        ),
        (
            "change the fence",
            lambda t, _: t.api.patch("/api/v1/namespaces/kube-system/configmaps/berth-operator", {"data": {}}),
        ),
        (
            "take the Lease",
            lambda t, _: t.api.patch(
                "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/berth-operator", {"spec": {}}
            ),
        ),
        (
            "have a token of Berth's",
            lambda t, _: t.api.create("/api/v1/namespaces/berth-system/serviceaccounts/berth/token", {"spec": {}}),
        ),
        (
            "remove a policy",
            lambda t, _: t.api.delete(
                "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/berth-ownership"
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_tenant_may_not(
    new_tenant: Callable[..., Tenant], what: str, request_of: Callable[[Tenant, Tenant], object]
) -> None:
    """Kubernetes' own rights end at its namespace, whatever Berth does."""
    tenant, other = new_tenant(), new_tenant()
    assert refusal(lambda: request_of(tenant, other)).startswith("403 Forbidden "), what


def test_a_projected_token_is_for_an_account_of_its_own_namespace(fleet: Scene, tenant: Tenant) -> None:
    """A replica gets what a pod gets: the token of its namespace's account, never Berth's."""
    fleet.cluster([1])
    token = {"serviceAccountToken": {"path": "token", "audience": "api"}}
    volume = {"name": "who", "projected": {"sources": [token]}}
    tenant.api.create(tenant.jobs, a_job(fleet, volumes=[volume]))
    fleet.wait("train", "Running")
    spec = fleet.pods("train")["train-1-0"]["spec"]
    assert spec["serviceAccountName"] == "default"
    request = {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "train-1-0"}}}
    path = f"{fleet.core}/serviceaccounts/default/token"
    claims = fleet.api.create(path, request)["status"]["token"].split(".")[1]
    subject = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)).decode()
    assert f"system:serviceaccount:{tenant.namespace}:default" in subject


def test_a_job_in_a_namespace_that_is_not_managed_is_placed_like_any_other(
    fleet: Scene, new_tenant: Callable[..., Tenant]
) -> None:
    """The label decides about pods beside Berth; devices are given once, in whatever namespace."""
    fleet.cluster([1])
    other = new_tenant(managed=False)
    other.api.create(other.jobs, fleet.manifest("first"))
    until(
        lambda: other.api.get(f"{other.jobs}/first").get("status", {}).get("state") == "Running",
        "the job to run",
        timeout_s=15,
    )
    fleet.submit("second")
    fleet.wait_pending("second", "InsufficientDevices")


def test_a_pod_beside_berth_where_it_may_be_is_counted(fleet: Scene, new_tenant: Callable[..., Tenant]) -> None:
    """In a namespace that is not managed a pod takes devices, and no gang is placed upon them."""
    (node,) = fleet.cluster([1])
    other = new_tenant(managed=False)
    other.api.create(
        f"{other.core}/pods",
        other.pod(container={"resources": {"limits": {GPU: "8"}}}, nodeSelector={"kubernetes.io/hostname": node}),
    )
    until(
        lambda: devices_held(other.api.get(f"{other.core}/pods")["items"])[node] == 8,
        "the pod to be bound",
        timeout_s=15,
    )
    fleet.submit("train")
    fleet.wait_pending("train", "InsufficientDevices")
    assert fleet.over_committed() == {}


def test_a_right_to_bind_pods_lends_no_devices(guarded_plane: ControlPlane, fleet: Scene, tenant: Tenant) -> None:
    """A tenant who may bind pods can bind only pods that it may make, and these have no devices."""
    (node,) = fleet.cluster([1])
    grant(guarded_plane, tenant, {"apiGroups": [""], "resources": ["pods/binding"], "verbs": ["create"]})
    tenant.api.create(f"{tenant.core}/pods", tenant.pod(schedulerName="nobody"))
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "pod"}, "target": target}
    assert refusal(lambda: tenant.api.create(f"{tenant.core}/pods/pod/binding", body)) == "taken"
    assert devices_held(tenant.api.get(f"{tenant.core}/pods")["items"])[node] == 0

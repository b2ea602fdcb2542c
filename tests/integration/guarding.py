"""Fixtures of the tests that try what a tenant can do: a control plane with the policies, Berth and tenants on it.

A pytest plugin, named by the modules that want it. Nobody here is an administrator but the fixtures: Berth runs under
its own service account, and a tenant is a service account of its namespace with Kubernetes' role `edit` there, to which
the TrainingJobs are added as an installation does it. The control plane is its own, because the policies hold for all.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.ground import nodes
from e2e.ground.api import Api, ApiError, JsonObject
from e2e.ground.binaries import Binaries
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import QUICK, ROOT, Scene, install

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
MANAGED = "berth.dev/managed"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Tenant:
    """Somebody with the role `edit` in one namespace, and nothing anywhere else; `api` are requests as that person."""

    namespace: str
    api: Api
    user: str

    @property
    def core(self) -> str:
        """The core API in the tenant's namespace."""
        return f"/api/v1/namespaces/{self.namespace}"

    @property
    def jobs(self) -> str:
        """The tenant's jobs."""
        return f"/apis/berth.dev/v1alpha1/namespaces/{self.namespace}/trainingjobs"

    def pod(self, name: str = "pod", **spec: Any) -> JsonObject:
        """Manifest of a plain pod; ``labels``, ``annotations``, ``finalizers`` and ``owners`` go to its metadata."""
        metadata: JsonObject = {"name": name}
        keys = {"labels": "labels", "annotations": "annotations", "finalizers": "finalizers"}
        for key, field in {**keys, "owners": "ownerReferences"}.items():
            if key in spec:
                metadata[field] = spec.pop(key)
        container = {"name": "main", "image": "none", **spec.pop("container", {})}
        return {"metadata": metadata, "spec": {"containers": [container], **spec}}


def refusal(request: Callable[[], object]) -> str:
    """What the API server says against a request; `taken` if it says nothing.

    Of a policy the sentence behind its name: `berth-ownership: metadata...`.
    """
    try:
        request()
    except ApiError as error:
        return told(str(error))
    return "taken"


def told(text: str) -> str:
    """A refusal without the names of the request; of a policy, its name and sentence."""
    found = re.search(r"ValidatingAdmissionPolicy '([^']+)' with binding '[^']+' denied request: (.*)", text)
    return f"{found[1]}: {found[2]}" if found else text.partition(": ")[2]


@pytest.fixture(scope="session")
def guarded_plane(programs: Binaries) -> Iterator[ControlPlane]:
    """A control plane with Berth's kinds, policies and service account, as an installation leaves it."""
    with ControlPlane(binaries=programs) as plane:
        install(plane)
        plane.kubectl("apply", "-f", str(ROOT / "policies"))
        plane.api.create("/api/v1/namespaces", {"metadata": {"name": "berth-system"}})
        plane.api.create("/api/v1/namespaces/berth-system/serviceaccounts", {"metadata": {"name": "berth"}})
        _bind(plane.api, "berth", "cluster-admin", "berth-system", "berth")
        _bind(plane.api, "kube-system-plugin", "cluster-admin", "kube-system", "device-plugin")
        plane.api.create("/api/v1/namespaces/kube-system/serviceaccounts", {"metadata": {"name": "device-plugin"}})
        rules = [{"apiGroups": ["berth.dev"], "resources": ["trainingjobs"], "verbs": ["*"]}]
        label = {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}
        plane.api.create(
            f"{RBAC}/clusterroles", {"metadata": {"name": "berth-test-edit", "labels": label}, "rules": rules}
        )
        until(lambda: _aggregated(plane.api), "the role edit to have TrainingJobs", timeout_s=15)
        yield plane


@pytest.fixture(scope="session")
def berth(guarded_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """The operator under its own service account, with the Lease and the fence of an installation."""
    directory = tmp_path_factory.mktemp("berth")
    kubeconfig = directory / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    token = _token(guarded_plane.api, "berth-system", "berth")
    content = yaml.safe_load(guarded_plane.kubeconfig.read_text())
    content["users"][0]["user"] = {"token": token}
    kubeconfig.write_text(yaml.safe_dump(content))
    settings = {**QUICK, "leaseName": "berth-operator"}
    with OperatorProcess(kubeconfig, directory, settings=settings) as running:
        yield running
        assert [line for line in running.logged(level="ERROR") if line["logger"].startswith("berth")] == []


@pytest.fixture
def new_tenant(guarded_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[Callable[..., Tenant]]:
    """Makes tenants, each with a namespace of its own: ``new_tenant(managed=False)``; gone after the test."""
    api = guarded_plane.api
    made: list[str] = []

    def make(*, managed: bool = True, **labels: str) -> Tenant:
        words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))[:30].strip("-")
        namespace = f"{words}-{next(_numbers)}"
        keys = {key.replace("__", "/").replace("_", "-"): value for key, value in labels.items()}
        marks = {MANAGED: "true", **keys} if managed else keys
        api.create("/api/v1/namespaces", {"metadata": {"name": namespace, "labels": marks}})
        made.append(namespace)
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        until(lambda: bool(api.get(accounts)["items"]), f"the service account of {namespace}", timeout_s=30)
        api.create(accounts, {"metadata": {"name": "tenant"}})
        _bind(api, "tenant", "edit", namespace, "tenant", inside=True)
        person = Api.with_token(guarded_plane.kubeconfig, _token(api, namespace, "tenant"))
        return Tenant(namespace, person, f"system:serviceaccount:{namespace}:tenant")

    yield make
    for namespace in made:
        api.delete(f"/apis/berth.dev/v1alpha1/namespaces/{namespace}/trainingjobs")
        api.delete(f"/api/v1/namespaces/{namespace}/pods?gracePeriodSeconds=0")
        api.delete(f"/api/v1/namespaces/{namespace}")


@pytest.fixture
def tenant(new_tenant: Callable[..., Tenant]) -> Tenant:
    """A tenant with a managed namespace."""
    return new_tenant()


@pytest.fixture
def fleet(guarded_plane: ControlPlane, berth: OperatorProcess, tenant: Tenant) -> Iterator[Scene]:
    """Nodes and a pool for one test, and the tenant's namespace as the administrator sees it."""
    api = guarded_plane.api
    added: list[str] = []

    def add(manifests: Iterable[JsonObject]) -> list[str]:
        wanted = list(manifests)
        added.extend(str(node["metadata"]["name"]) for node in wanted)
        return nodes.add(api, wanted)

    scene = Scene(api, tenant.namespace, add, number=next(_numbers) + 5000)
    yield scene
    scene.clear()
    nodes.remove(api, added)


def person(plane: ControlPlane, namespace: str, account: str) -> Api:
    """Requests as a service account that is there."""
    return Api.with_token(plane.kubeconfig, _token(plane.api, namespace, account))


def grant(plane: ControlPlane, tenant: Tenant, *rules: JsonObject) -> None:
    """Give a tenant more rights in its namespace, such as an administrator does who is too kind."""
    role = f"{RBAC}/namespaces/{tenant.namespace}/roles"
    plane.api.create(role, {"metadata": {"name": "more"}, "rules": list(rules)})
    _bind(plane.api, "more", "more", tenant.namespace, "tenant", inside=True, kind="Role")


def changed(plane: ControlPlane, name: str, **data: str | None) -> Path:
    """Change parameters in a ConfigMap of kube-system; None takes a key away."""
    plane.api.patch(f"/api/v1/namespaces/kube-system/configmaps/{name}", {"data": data})
    return ROOT / "policies"


def _bind(
    api: Api, name: str, role: str, namespace: str, account: str, *, inside: bool = False, kind: str = "ClusterRole"
) -> None:
    """Bind a role to a service account: in its namespace only (``inside``), or everywhere."""
    path = f"{RBAC}/namespaces/{namespace}/rolebindings" if inside else f"{RBAC}/clusterrolebindings"
    api.create(
        path,
        {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        },
    )


def _token(api: Api, namespace: str, account: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}
    return str(api.create(path, request)["status"]["token"])


def _aggregated(api: Api) -> bool:
    rules = api.get(f"{RBAC}/clusterroles/edit")["rules"]
    return any("trainingjobs" in rule.get("resources", ()) for rule in rules)

"""Fixtures of the tests that try what a tenant can do: a control plane with the policies, Berth and tenants on it.

A pytest plugin, named by the modules that want it. Nobody here is an administrator but the fixtures: Berth runs under
its own service account, and a tenant is a service account of its namespace with Kubernetes' role `edit` there, to which
the TrainingJobs are added as an installation does it. The control plane is its own, because the policies hold for all.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator

import pytest
import yaml

from e2e.ground import nodes
from e2e.ground.api import Api, JsonObject
from e2e.ground.binaries import Binaries
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import POOLS, QUICK, ROOT, Scene, install
from tests.integration.tenants import MANAGED, RBAC, Tenant, bind, hold_again, person, token
from tests.manifests import pool

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def guarded_plane(programs: Binaries) -> Iterator[ControlPlane]:
    """A control plane with Berth's kinds, policies and service account, as an installation leaves it."""
    with ControlPlane(binaries=programs) as plane:
        install(plane)
        plane.kubectl("apply", "-f", str(ROOT / "policies"))
        plane.api.create("/api/v1/namespaces", {"metadata": {"name": "berth-system"}})
        plane.api.create("/api/v1/namespaces/berth-system/serviceaccounts", {"metadata": {"name": "berth"}})
        bind(plane.api, "berth", "cluster-admin", "berth-system", "berth")
        bind(plane.api, "kube-system-plugin", "cluster-admin", "kube-system", "device-plugin")
        plane.api.create("/api/v1/namespaces/kube-system/serviceaccounts", {"metadata": {"name": "device-plugin"}})
        rules = [{"apiGroups": ["berth.dev"], "resources": ["trainingjobs"], "verbs": ["*"]}]
        label = {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}
        plane.api.create(
            f"{RBAC}/clusterroles", {"metadata": {"name": "berth-test-edit", "labels": label}, "rules": rules}
        )
        until(lambda: _aggregated(plane.api), "the role edit to have TrainingJobs", timeout_s=15)
        plane.api.create(POOLS, pool("in-force", nodeSelector={"matchLabels": {"nodes": "none"}}))
        plane.api.create("/api/v1/namespaces", {"metadata": {"name": "in-force", "labels": {MANAGED: "true"}}})
        hold_again(plane)
        yield plane


@pytest.fixture(scope="session")
def berth(guarded_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """The operator under its own service account, with the Lease and the fence of an installation."""
    directory = tmp_path_factory.mktemp("berth")
    kubeconfig = directory / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    login = token(guarded_plane.api, "berth-system", "berth")
    content = yaml.safe_load(guarded_plane.kubeconfig.read_text())
    content["users"][0]["user"] = {"token": login}
    kubeconfig.write_text(yaml.safe_dump(content))
    settings = {**QUICK, "leaseName": "berth-operator"}
    with OperatorProcess(kubeconfig, directory, settings=settings) as running:
        yield running
        errors = [line for line in running.logged(level="ERROR") if line["logger"].startswith("berth")]
        # One test takes the parameters away for a moment.
        assert [str(line) for line in errors if "no params found" not in str(line)] == []


@pytest.fixture
def new_tenant(guarded_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[Callable[..., Tenant]]:
    """Makes tenants, each with a namespace of its own: ``new_tenant(managed=False)``; gone after the test."""
    api = guarded_plane.api
    made: dict[str, Api] = {}

    def make(*, managed: bool = True, **labels: str) -> Tenant:
        words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))[:30].strip("-")
        namespace = f"{words}-{next(_numbers)}"
        keys = {key.replace("__", "/").replace("_", "-"): value for key, value in labels.items()}
        marks = {MANAGED: "true", **keys} if managed else keys
        api.create("/api/v1/namespaces", {"metadata": {"name": namespace, "labels": marks}})
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        until(lambda: bool(api.get(accounts)["items"]), f"the service account of {namespace}", timeout_s=30)
        api.create(accounts, {"metadata": {"name": "tenant"}})
        bind(api, "tenant", "edit", namespace, "tenant", inside=True)
        made[namespace] = person(guarded_plane, namespace, "tenant")
        return Tenant(namespace, made[namespace], f"system:serviceaccount:{namespace}:tenant")

    yield make
    for namespace, requests in made.items():
        requests.close()
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


def _aggregated(api: Api) -> bool:
    rules = api.get(f"{RBAC}/clusterroles/edit")["rules"]
    return any("trainingjobs" in rule.get("resources", ()) for rule in rules)
